#include "nbd/request.h"

#include <algorithm>

#include "base/byte_reader.h"
#include "base/limits.h"

namespace aurochs::nbd {
namespace {

// The flags that are documented for the command (proto.md, "Command flags"). FUA is for all.
uint16_t AllowedFlags(Command command, const RequestRules& rules) {
  const bool extended = rules.replies == ReplyStyle::kExtended;
  switch (command) {
    case Command::kRead:
      return kCommandFlagFua | (rules.replies != ReplyStyle::kSimple ? kCommandFlagDf : 0);
    case Command::kWrite: return kCommandFlagFua | (extended ? kCommandFlagPayloadLen : 0);
    case Command::kWriteZeroes: return kCommandFlagFua | kCommandFlagNoHole | kCommandFlagFastZero;
    case Command::kBlockStatus:
      return kCommandFlagFua | kCommandFlagReqOne | (extended ? kCommandFlagPayloadLen : 0);
    case Command::kDisc:
    case Command::kFlush:
    case Command::kTrim:
    case Command::kCache: return kCommandFlagFua;
  }
  return 0;
}

bool IsAlignedTo(const Extent& extent, uint32_t block_bytes) {
  return IsAligned(extent.offset_bytes, block_bytes) && IsAligned(extent.length_bytes, block_bytes);
}

// Faster than writing zeros: whole blocks of the range are given back rather than written.
bool IsFastZero(const RequestHeader& header, const DeviceInfo& info) {
  if (!info.can_unmap || header.Has(kCommandFlagNoHole)) return false;
  const uint64_t first = AlignUp(header.extent.offset_bytes, info.physical_block_bytes);
  return header.extent.length_bytes >= info.physical_block_bytes &&
         first + info.physical_block_bytes <= header.extent.end_bytes();
}

NbdError JudgeRange(const RequestHeader& header, const BlockDevice& device, NbdError beyond_end) {
  if (!device.Contains(header.extent)) return beyond_end;
  if (!IsAlignedTo(header.extent, device.info().logical_block_bytes)) return NbdError::kEinval;
  return NbdError::kNone;
}

NbdError JudgeRead(const RequestHeader& header, const RequestRules& rules,
                   const BlockDevice& device) {
  if (header.extent.length_bytes > kRequestBytesMax) {
    return rules.replies == ReplyStyle::kSimple ? NbdError::kEinval : NbdError::kEoverflow;
  }
  return JudgeRange(header, device, NbdError::kEinval);
}

NbdError JudgeChange(const RequestHeader& header, const RequestRules& rules,
                     const BlockDevice& device) {
  if (rules.read_only || device.info().read_only) return NbdError::kEperm;
  if (header.command == Command::kWrite) {
    // What is written follows the header, so an extended one has to say so.
    if (header.payload_bytes != header.extent.length_bytes) return NbdError::kEinval;
    if (header.extent.length_bytes > kRequestBytesMax) return NbdError::kEinval;
  }
  if (header.command == Command::kTrim) {
    if (!device.info().can_unmap) return NbdError::kEinval;  // SEND_TRIM was not set.
    return JudgeRange(header, device, NbdError::kEinval);
  }
  const NbdError error = JudgeRange(header, device, NbdError::kEnospc);
  if (error != NbdError::kNone) return error;
  if (header.Has(kCommandFlagFastZero) && !IsFastZero(header, device.info())) {
    return NbdError::kEnotsup;
  }
  const bool written = header.command == Command::kWriteZeroes && header.Has(kCommandFlagNoHole);
  if (written && header.extent.length_bytes > kNbdZerosWrittenBytesMax) {
    return NbdError::kEoverflow;
  }
  return NbdError::kNone;
}

}  // namespace

std::optional<RequestHeader> DecodeRequestHeader(std::span<const std::byte> bytes,
                                                 ReplyStyle style) {
  const bool extended = style == ReplyStyle::kExtended;
  ByteReader reader(bytes);
  if (reader.U32() != (extended ? kExtendedRequestMagic : kRequestMagic)) return std::nullopt;
  RequestHeader header;
  header.flags = reader.U16();
  header.command = static_cast<Command>(reader.U16());
  header.cookie = reader.U64();
  header.extent.offset_bytes = reader.U64();
  header.extent.length_bytes = extended ? reader.U64() : reader.U32();
  const bool has_payload =
      extended ? header.Has(kCommandFlagPayloadLen) : header.command == Command::kWrite;
  if (has_payload) header.payload_bytes = header.extent.length_bytes;
  if (extended && header.payload_bytes > kRequestBytesMax) return std::nullopt;
  return header;
}

bool DecodeStatusPayload(std::span<const std::byte> payload, std::span<const MetaContext> selected,
                         RequestHeader* header) {
  if (payload.size() <= 8 || payload.size() % 4 != 0) return false;
  ByteReader reader(payload);
  const uint64_t length_bytes = reader.U64();
  uint32_t contexts = 0;
  while (!reader.AtEnd()) {
    const uint32_t id = reader.U32();
    const auto found = std::find_if(selected.begin(), selected.end(),
                                    [id](const MetaContext& one) { return one.id == id; });
    if (found == selected.end()) return false;
    const uint32_t bit = 1u << (found - selected.begin());
    if ((contexts & bit) != 0) return false;
    contexts |= bit;
  }
  header->extent.length_bytes = length_bytes;
  header->payload_bytes = 0;
  header->contexts = contexts;
  return true;
}

NbdError JudgeRequest(const RequestHeader& header, const RequestRules& rules,
                      const BlockDevice& device) {
  if ((header.flags & ~AllowedFlags(header.command, rules)) != 0) return NbdError::kEinval;

  switch (header.command) {
    case Command::kRead: return JudgeRead(header, rules, device);
    case Command::kWrite:
    case Command::kTrim:
    case Command::kWriteZeroes: return JudgeChange(header, rules, device);
    case Command::kCache: return JudgeRange(header, device, NbdError::kEinval);
    case Command::kBlockStatus:
      if (rules.contexts.empty() || header.extent.length_bytes == 0) return NbdError::kEinval;
      if (header.payload_bytes > 0) return NbdError::kEinval;  // One that was not decoded.
      return JudgeRange(header, device, NbdError::kEinval);
    case Command::kFlush: return header.extent == Extent{} ? NbdError::kNone : NbdError::kEinval;
    case Command::kDisc: break;
  }
  return NbdError::kEinval;  // A command that proto.md does not have.
}

}  // namespace aurochs::nbd
