#include "nbd/reply.h"

#include "base/byte_writer.h"

namespace aurochs::nbd {
namespace {

// Every reply of ours is one chunk, so that each is also the last one.
void PutChunkHeader(ByteWriter& writer, ChunkType type, uint64_t cookie, uint32_t payload_bytes) {
  writer.U32(kStructuredReplyMagic);
  writer.U16(kReplyFlagDone);
  writer.U16(static_cast<uint16_t>(type));
  writer.U64(cookie);
  writer.U32(payload_bytes);
}

uint32_t LengthOf(const ReplyHeader& header, const ByteWriter& writer) {
  return static_cast<uint32_t>(header.size() - writer.remaining());
}

}  // namespace

uint32_t EncodeSimpleReply(ReplyHeader& into, NbdError error, uint64_t cookie) {
  ByteWriter writer(into);
  writer.U32(kSimpleReplyMagic);
  writer.U32(static_cast<uint32_t>(error));
  writer.U64(cookie);
  return LengthOf(into, writer);
}

uint32_t EncodeOffsetData(ReplyHeader& into, uint64_t cookie, const Extent& extent) {
  ByteWriter writer(into);
  PutChunkHeader(writer, ChunkType::kOffsetData, cookie,
                 static_cast<uint32_t>(8 + extent.length_bytes));
  writer.U64(extent.offset_bytes);
  return LengthOf(into, writer);
}

uint32_t EncodeNone(ReplyHeader& into, uint64_t cookie) {
  ByteWriter writer(into);
  PutChunkHeader(writer, ChunkType::kNone, cookie, 0);
  return LengthOf(into, writer);
}

uint32_t EncodeErrorChunk(ReplyHeader& into, NbdError error, uint64_t cookie) {
  ByteWriter writer(into);
  PutChunkHeader(writer, ChunkType::kError, cookie, 6);
  writer.U32(static_cast<uint32_t>(error));
  writer.U16(0);  // No message: the error says all that we know.
  return LengthOf(into, writer);
}

uint32_t EncodeBlockStatus(ReplyHeader& into, uint64_t cookie, uint32_t context_id,
                           uint32_t descriptor_bytes) {
  ByteWriter writer(into);
  PutChunkHeader(writer, ChunkType::kBlockStatus, cookie, 4 + descriptor_bytes);
  writer.U32(context_id);
  return LengthOf(into, writer);
}

void EncodeAllocation(std::span<std::byte> into, std::span<const AllocationRun> runs) {
  ByteWriter writer(into);
  for (const AllocationRun& run : runs) {
    writer.U32(static_cast<uint32_t>(run.length_bytes));
    writer.U32(run.state == AllocationState::kHole ? kStateHole | kStateZero : 0);
  }
}

}  // namespace aurochs::nbd
