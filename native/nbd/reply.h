// The two kinds of reply (proto.md, "Simple reply message", "Structured reply chunk message"). Each
// function fills what goes before the data and returns its length.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "block/block_device.h"
#include "nbd/spec.h"

namespace aurochs::nbd {

// The longest: chunk header and offset of OFFSET_DATA.
inline constexpr uint32_t kReplyHeaderBytesMax = kChunkHeaderBytes + 8;
using ReplyHeader = std::array<std::byte, kReplyHeaderBytesMax>;

uint32_t EncodeSimpleReply(ReplyHeader& into, NbdError error, uint64_t cookie);
// The data that follows is all that the request asked for.
uint32_t EncodeOffsetData(ReplyHeader& into, uint64_t cookie, const Extent& extent);
uint32_t EncodeNone(ReplyHeader& into, uint64_t cookie);
uint32_t EncodeErrorChunk(ReplyHeader& into, NbdError error, uint64_t cookie);
// `descriptor_bytes` of descriptors follow.
uint32_t EncodeBlockStatus(ReplyHeader& into, uint64_t cookie, uint32_t context_id,
                           uint32_t descriptor_bytes);

inline constexpr uint32_t kBlockDescriptorBytes = 8;
// Fills one descriptor of base:allocation for each run.
void EncodeAllocation(std::span<std::byte> into, std::span<const AllocationRun> runs);

}  // namespace aurochs::nbd
