// The request message, compact or extended (proto.md, "Request message"), and what is wrong with
// one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/limits.h"
#include "block/block_device.h"
#include "nbd/meta_context.h"
#include "nbd/spec.h"

namespace aurochs::nbd {

struct RequestHeader {
  uint16_t flags = 0;
  Command command = Command::kRead;  // any number: the client may send commands that do not exist
  uint64_t cookie = 0;
  Extent extent;
  uint64_t payload_bytes = 0;      // as many follow the header
  uint32_t contexts = UINT32_MAX;  // BLOCK_STATUS: bit i stands for the i-th that was selected

  bool Wants(size_t context) const { return ((contexts >> context) & 1) != 0; }
  bool Has(uint16_t flag) const { return (flags & flag) != 0; }
};

inline size_t RequestHeaderBytes(ReplyStyle style) {
  return style == ReplyStyle::kExtended ? kExtendedRequestHeaderBytes : kRequestHeaderBytes;
}
// `bytes` are RequestHeaderBytes(style). Nothing if the magic is wrong, or if an extended header
// announces a payload that is longer than kRequestBytesMax: then the stream is out of step, or
// would be of no use for long, and ends.
std::optional<RequestHeader> DecodeRequestHeader(std::span<const std::byte> bytes,
                                                 ReplyStyle style);

// What was negotiated, as far as it decides which requests are valid.
struct RequestRules {
  bool read_only = false;
  ReplyStyle replies = ReplyStyle::kSimple;
  std::vector<MetaContext> contexts;
};

// The payload of a BLOCK_STATUS request: effect length, and the contexts that it asks about. Puts
// them in the header's place of it; false if the payload is malformed, or one of the contexts was
// not selected or comes twice.
bool DecodeStatusPayload(std::span<const std::byte> payload, std::span<const MetaContext> selected,
                         RequestHeader* header);
inline constexpr uint64_t kStatusPayloadBytesMax = 8 + 4 * uint64_t{kNbdContextsSelectedMax};

// The error that proto.md demands for an invalid request; kNone for a valid one. Not for kDisc,
// which has no answer.
NbdError JudgeRequest(const RequestHeader& header, const RequestRules& rules,
                      const BlockDevice& device);

}  // namespace aurochs::nbd
