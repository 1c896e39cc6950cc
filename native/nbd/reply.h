// The three kinds of reply (proto.md, "Simple reply message", "Structured reply chunk message",
// "Extended reply chunk message"). Each function fills what goes before the data and returns its
// length.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "base/byte_writer.h"
#include "nbd/request.h"
#include "nbd/spec.h"

namespace aurochs::nbd {

// The longest: extended chunk header and offset of OFFSET_DATA.
inline constexpr uint32_t kReplyHeaderBytesMax = kExtendedChunkHeaderBytes + 8;
using ReplyHeader = std::array<std::byte, kReplyHeaderBytesMax>;

// All of an answer without data: an error, or that the request is done.
uint32_t EncodeAnswer(ReplyHeader& into, ReplyStyle style, const RequestHeader& request,
                      NbdError error);
// What goes before the data of a READ. All that it asked for follows.
uint32_t EncodeReadHeader(ReplyHeader& into, ReplyStyle style, const RequestHeader& request);
// What goes before `count` descriptors of one context. At most kReplyHeaderBytesMax.
void PutBlockStatusHeader(ByteWriter& writer, ReplyStyle style, const RequestHeader& request,
                          uint32_t context_id, size_t count, bool is_last);

}  // namespace aurochs::nbd
