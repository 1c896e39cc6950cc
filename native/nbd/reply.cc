#include "nbd/reply.h"

namespace aurochs::nbd {
namespace {

// Only BLOCK_STATUS is ever answered by several chunks: any other's is also the last one.
void PutChunkHeader(ByteWriter& writer, ReplyStyle style, ChunkType type,
                    const RequestHeader& request, uint64_t payload_bytes,
                    uint16_t flags = kReplyFlagDone) {
  const bool extended = style == ReplyStyle::kExtended;
  writer.U32(extended ? kExtendedReplyMagic : kStructuredReplyMagic);
  writer.U16(flags);
  writer.U16(static_cast<uint16_t>(type));
  writer.U64(request.cookie);
  if (extended) {
    writer.U64(request.extent.offset_bytes);
    writer.U64(payload_bytes);
  } else {
    writer.U32(static_cast<uint32_t>(payload_bytes));
  }
}

void PutSimpleReply(ByteWriter& writer, const RequestHeader& request, NbdError error) {
  writer.U32(kSimpleReplyMagic);
  writer.U32(static_cast<uint32_t>(error));
  writer.U64(request.cookie);
}

uint32_t LengthOf(const ReplyHeader& header, const ByteWriter& writer) {
  return static_cast<uint32_t>(header.size() - writer.remaining());
}

// Structured replies leave a choice where no data follows: a simple reply is shorter than a chunk.
bool AnswersSimply(ReplyStyle style, const RequestHeader& request, NbdError error) {
  if (style != ReplyStyle::kStructured) return style == ReplyStyle::kSimple;
  return error == NbdError::kNone && request.command != Command::kRead;
}

}  // namespace

uint32_t EncodeAnswer(ReplyHeader& into, ReplyStyle style, const RequestHeader& request,
                      NbdError error) {
  ByteWriter writer(into);
  if (AnswersSimply(style, request, error)) {
    PutSimpleReply(writer, request, error);
  } else if (error == NbdError::kNone) {
    PutChunkHeader(writer, style, ChunkType::kNone, request, 0);
  } else {
    PutChunkHeader(writer, style, ChunkType::kError, request, 6);
    writer.U32(static_cast<uint32_t>(error));
    writer.U16(0);  // No message: the error says all that we know.
  }
  return LengthOf(into, writer);
}

uint32_t EncodeReadHeader(ReplyHeader& into, ReplyStyle style, const RequestHeader& request) {
  ByteWriter writer(into);
  if (style == ReplyStyle::kSimple) {
    PutSimpleReply(writer, request, NbdError::kNone);
  } else {
    PutChunkHeader(writer, style, ChunkType::kOffsetData, request, 8 + request.extent.length_bytes);
    writer.U64(request.extent.offset_bytes);
  }
  return LengthOf(into, writer);
}

void PutBlockStatusHeader(ByteWriter& writer, ReplyStyle style, const RequestHeader& request,
                          uint32_t context_id, size_t count, bool is_last) {
  const uint16_t flags = is_last ? kReplyFlagDone : 0;
  if (style == ReplyStyle::kExtended) {
    PutChunkHeader(writer, style, ChunkType::kBlockStatusExt, request, 8 + uint64_t{count} * 16,
                   flags);
    writer.U32(context_id);
    writer.U32(static_cast<uint32_t>(count));
  } else {
    PutChunkHeader(writer, style, ChunkType::kBlockStatus, request, 4 + uint64_t{count} * 8, flags);
    writer.U32(context_id);
  }
}

}  // namespace aurochs::nbd
