// The blocks that a layer reads as zeros although a layer below holds data there: a bitmap file,
// one bit for each 4 KiB. Bits are only ever set. Data in the layer's own file wins over its bit,
// so a bit may stay behind when the block is written again.
//
// Thread: any; each call blocks.
// Format: docs/replica-format.md, "Zero map".
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#include "base/status.h"
#include "io/file.h"
#include "replica/block_set.h"

namespace aurochs {

class ZeroMap {
 public:
  // Length of the file for a layer of `layer_bytes`.
  static constexpr uint64_t FileBytes(uint64_t layer_bytes) {
    return AlignUp(layer_bytes / kBlockBytes, 8) / 8;
  }

  explicit ZeroMap(std::unique_ptr<File> file) : file_(std::move(file)) {}

  // Not durable before file().SyncData().
  Status Set(uint64_t first_block, uint64_t block_count);
  // Adds the blocks of `region` whose bits are set.
  Status ReadRegion(uint64_t region, BlockSet* zeros);
  // The first region at or after `region`, and before `region_end`, that may have a bit set;
  // `region_end` if there is none.
  Result<uint64_t> NextRegion(uint64_t region, uint64_t region_end);

  File& file() { return *file_; }

 private:
  std::unique_ptr<File> file_;
  std::mutex set_mutex_;  // Bits of one byte are set by reading and writing it.
};

}  // namespace aurochs
