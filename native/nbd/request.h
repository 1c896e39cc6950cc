// The request message (proto.md, "Request message") and what is wrong with one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "block/block_device.h"
#include "nbd/spec.h"

namespace aurochs::nbd {

struct RequestHeader {
  uint16_t flags = 0;
  Command command = Command::kRead;  // any number: the client may send commands that do not exist
  uint64_t cookie = 0;
  Extent extent;

  bool Has(uint16_t flag) const { return (flags & flag) != 0; }
  // Whether as many bytes as the extent is long follow the header.
  bool HasPayload() const { return command == Command::kWrite; }
};

// Nothing if the magic is wrong: then the stream is out of step and cannot be used any more.
std::optional<RequestHeader> DecodeRequestHeader(
    std::span<const std::byte, kRequestHeaderBytes> bytes);

// What was negotiated, as far as it decides which requests are valid.
struct RequestRules {
  bool read_only = false;
  bool structured_replies = false;
  bool allocation_context = false;
};

// The error that proto.md demands for an invalid request; kNone for a valid one. Not for kDisc,
// which has no answer.
NbdError JudgeRequest(const RequestHeader& header, const RequestRules& rules,
                      const BlockDevice& device);

}  // namespace aurochs::nbd
