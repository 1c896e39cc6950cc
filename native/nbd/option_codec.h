// Decodes the data of options and encodes the answers to them (proto.md, "Option types" and "Option
// reply types").
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nbd/export_catalog.h"
#include "nbd/spec.h"

namespace aurochs::nbd {

// The data of INFO and GO.
struct InfoQuery {
  std::string_view name;
  bool wants_name = false;
  bool wants_description = false;
};

// The data of LIST_META_CONTEXT and SET_META_CONTEXT.
struct MetaContextQuery {
  std::string_view name;
  std::vector<std::string_view> queries;
  bool too_many = false;
};

// Nothing if the data is malformed: lengths that lead out of it or leave a rest. The views point
// into `data`. A metadata query keeps kNbdContextQueriesMax of its queries.
std::optional<InfoQuery> DecodeInfoQuery(std::span<const std::byte> data);
std::optional<MetaContextQuery> DecodeMetaContextQuery(std::span<const std::byte> data);

// Whether a name may be that of an export: 1 to kNbdExportNameBytesMax bytes without NUL.
bool IsExportName(std::string_view name);

using OptionOutput = std::vector<std::byte>;

void AppendU16(OptionOutput& output, uint16_t value);
void AppendU32(OptionOutput& output, uint32_t value);
void AppendU64(OptionOutput& output, uint64_t value);
void AppendText(OptionOutput& output, std::string_view text);

void AppendReplyHeader(OptionOutput& output, Option option, OptionReply type, size_t data_bytes);
void AppendAck(OptionOutput& output, Option option);
// `message` is for a person who reads the client's output.
void AppendError(OptionOutput& output, Option option, OptionReply type, std::string_view message);
void AppendServer(OptionOutput& output, const ExportDescription& one);
void AppendInfoExport(OptionOutput& output, Option option, const ExportDescription& chosen,
                      uint16_t transmission_flags);
void AppendInfoText(OptionOutput& output, Option option, InfoType type, std::string_view text);
void AppendInfoBlockSize(OptionOutput& output, Option option, const DeviceInfo& info);
void AppendMetaContext(OptionOutput& output, Option option, uint32_t id, std::string_view name);

}  // namespace aurochs::nbd
