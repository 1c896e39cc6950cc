// One sparse file of a replica, and the blocks it reads as zeros. A hole means "ask the layer
// below"; what is allocated is what the layer holds.
//
// Thread: any for the files; `size_bytes` and `zero_map` change only while no work is inside the
//         replica's gate, and not at all while a copy holds the layer (Coalescer::HoldBack).
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/status.h"
#include "io/file.h"
#include "replica/block_set.h"
#include "replica/zero_map.h"

namespace aurochs {

// A layer's name in the block map, stable while the layer lives.
using LayerSlot = uint16_t;

struct Layer {
  uint32_t number = 0;  // as in replica.json
  LayerSlot slot = 0;
  uint64_t size_bytes = 0;
  std::unique_ptr<File> file;
  std::unique_ptr<ZeroMap> zero_map;  // null: it reads nothing as zeros

  // Adds the blocks of `region` that the layer holds to `data`, and those that its zero map names
  // to `zeros`; data wins where both have a block.
  Status Scan(uint64_t region, BlockSet* data, BlockSet* zeros) const;
  // The first region at or after `region`, and before `region_end`, of which Scan may say anything;
  // UINT64_MAX if there is none.
  Result<uint64_t> NextRegion(uint64_t region, uint64_t region_end) const;
};

// The first region at or after `region` of which any of `layers` may say something; `region_end` if
// there is none before it.
Result<uint64_t> NextRegionOf(std::span<Layer* const> layers, uint64_t region, uint64_t region_end);

}  // namespace aurochs
