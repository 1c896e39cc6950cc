// One BLOCK_STATUS request: asks the device about one metadata context after the other, and puts
// the reply together, one chunk for each (proto.md, "NBD_CMD_BLOCK_STATUS").
//
// Thread:    the device's loop.
// Ownership: device, contexts and the reply's memory outlive it. The owner may destroy it from
// `done`
//            on, also inside.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/byte_writer.h"
#include "base/limits.h"
#include "block/block_device.h"
#include "nbd/meta_context.h"
#include "nbd/reply.h"
#include "nbd/request.h"

namespace aurochs::nbd {

static_assert(kNbdContextsSelectedMax <= 32, "ContextMask");

// What the longest reply takes.
inline constexpr size_t kBlockStatusBytesMax =
    size_t{kNbdContextsSelectedMax} * kReplyHeaderBytesMax + size_t{kNbdBlockStatusExtentsMax} * 16;
static_assert(kBlockStatusBytesMax <= 128 * kKiB);

class BlockStatus {
 public:
  using Done = void (*)(void* owner, ErrorCode result);

  // `reply` takes kBlockStatusBytesMax. At least one of `contexts` is in `request.contexts`.
  BlockStatus(BlockDevice& device, ReplyStyle style, std::span<const MetaContext> contexts,
              const RequestHeader& request, std::span<std::byte> reply);

  // Calls back once, perhaps at once.
  void Start(Done done, void* owner);
  // Of the reply, once `done` was called with kOk.
  size_t reply_bytes() const { return reply_bytes_; }

 private:
  static void OnAllocation(AllocationQuery* query, ErrorCode result);
  static void OnChanges(ChangeQuery* query, ErrorCode result);

  void AskNext();
  template <typename Run>
  void Add(std::span<const Run> runs);

  BlockDevice& device_;
  const ReplyStyle style_;
  const std::span<const MetaContext> contexts_;
  const RequestHeader& request_;
  const uint32_t runs_max_;  // of each context
  const std::span<std::byte> reply_;

  size_t current_ = 0;  // of contexts_
  uint32_t left_ = 0;   // contexts that have not been answered
  size_t reply_bytes_ = 0;
  AllocationQuery allocation_;
  ChangeQuery changes_;
  Done done_ = nullptr;
  void* owner_ = nullptr;
};

}  // namespace aurochs::nbd
