#include "nbd/option_codec.h"

#include "base/byte_reader.h"
#include "base/byte_writer.h"
#include "base/limits.h"

namespace aurochs::nbd {
namespace {

std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// A 32-bit length and as many bytes.
std::optional<std::string_view> TakeString(ByteReader& reader) {
  if (reader.remaining() < 4) return std::nullopt;
  const uint32_t length_bytes = reader.U32();
  if (length_bytes > reader.remaining()) return std::nullopt;
  return AsText(reader.Bytes(length_bytes));
}

std::span<std::byte> Extend(OptionOutput& output, size_t bytes) {
  output.resize(output.size() + bytes);
  return std::span(output).last(bytes);
}

}  // namespace

std::optional<InfoQuery> DecodeInfoQuery(std::span<const std::byte> data) {
  ByteReader reader(data);
  const auto name = TakeString(reader);
  if (!name || reader.remaining() < 2) return std::nullopt;

  InfoQuery query{.name = *name};
  const uint16_t count = reader.U16();
  if (reader.remaining() != size_t{count} * 2) return std::nullopt;
  for (uint16_t i = 0; i < count; ++i) {
    const uint16_t type = reader.U16();
    if (type == static_cast<uint16_t>(InfoType::kName)) query.wants_name = true;
    if (type == static_cast<uint16_t>(InfoType::kDescription)) query.wants_description = true;
  }
  return query;
}

std::optional<MetaContextQuery> DecodeMetaContextQuery(std::span<const std::byte> data) {
  ByteReader reader(data);
  const auto name = TakeString(reader);
  if (!name || reader.remaining() < 4) return std::nullopt;

  MetaContextQuery query{.name = *name};
  const uint32_t count = reader.U32();
  for (uint32_t i = 0; i < count; ++i) {
    const auto one = TakeString(reader);
    if (!one) return std::nullopt;
    if (query.queries.size() < kNbdContextQueriesMax) query.queries.push_back(*one);
  }
  if (!reader.AtEnd()) return std::nullopt;
  query.too_many = count > kNbdContextQueriesMax;
  return query;
}

bool IsExportName(std::string_view name) {
  return !name.empty() && name.size() <= kNbdExportNameBytesMax &&
         name.find('\0') == std::string_view::npos;
}

void AppendU16(OptionOutput& output, uint16_t value) {
  StoreBigEndian(Extend(output, sizeof value).data(), value);
}

void AppendU32(OptionOutput& output, uint32_t value) {
  StoreBigEndian(Extend(output, sizeof value).data(), value);
}

void AppendU64(OptionOutput& output, uint64_t value) {
  StoreBigEndian(Extend(output, sizeof value).data(), value);
}

void AppendText(OptionOutput& output, std::string_view text) {
  ByteWriter(Extend(output, text.size())).Bytes(std::as_bytes(std::span(text)));
}

void AppendReplyHeader(OptionOutput& output, Option option, OptionReply type, size_t data_bytes) {
  AppendU64(output, kOptionReplyMagic);
  AppendU32(output, static_cast<uint32_t>(option));
  AppendU32(output, static_cast<uint32_t>(type));
  AppendU32(output, static_cast<uint32_t>(data_bytes));
}

void AppendAck(OptionOutput& output, Option option) {
  AppendReplyHeader(output, option, OptionReply::kAck, 0);
}

void AppendError(OptionOutput& output, Option option, OptionReply type, std::string_view message) {
  AppendReplyHeader(output, option, type, message.size());
  AppendText(output, message);
}

void AppendServer(OptionOutput& output, const ExportDescription& one) {
  AppendReplyHeader(output, Option::kList, OptionReply::kServer,
                    4 + one.name.size() + one.description.size());
  AppendU32(output, static_cast<uint32_t>(one.name.size()));
  AppendText(output, one.name);
  AppendText(output, one.description);
}

void AppendInfoExport(OptionOutput& output, Option option, const ExportDescription& chosen,
                      uint16_t transmission_flags) {
  AppendReplyHeader(output, option, OptionReply::kInfo, 12);
  AppendU16(output, static_cast<uint16_t>(InfoType::kExport));
  AppendU64(output, chosen.info.size_bytes);
  AppendU16(output, transmission_flags);
}

void AppendInfoText(OptionOutput& output, Option option, InfoType type, std::string_view text) {
  AppendReplyHeader(output, option, OptionReply::kInfo, 2 + text.size());
  AppendU16(output, static_cast<uint16_t>(type));
  AppendText(output, text);
}

void AppendInfoBlockSize(OptionOutput& output, Option option, const DeviceInfo& info) {
  AppendReplyHeader(output, option, OptionReply::kInfo, 14);
  AppendU16(output, static_cast<uint16_t>(InfoType::kBlockSize));
  AppendU32(output, info.logical_block_bytes);
  AppendU32(output, info.physical_block_bytes);
  AppendU32(output, kRequestBytesMax);
}

void AppendMetaContext(OptionOutput& output, Option option, uint32_t id, std::string_view name) {
  AppendReplyHeader(output, option, OptionReply::kMetaContext, 4 + name.size());
  AppendU32(output, id);
  AppendText(output, name);
}

}  // namespace aurochs::nbd
