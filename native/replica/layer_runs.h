// Questions about ranges of a chain of layers, answered from the files: what is allocated, and
// where two states differ. Nothing here needs or fills the block map.
//
// Thread: any, inside the replica's gate; blocks.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "base/status.h"
#include "block/block_device.h"
#include "replica/layer_tree.h"
#include "replica/replica_device.h"

namespace aurochs {

// Fills `query->runs` for the chain `path`, from the top down.
Status QueryAllocation(std::span<Layer* const> path, AllocationQuery* query);

// Two states of a volume and the layers between them.
struct DiffSides {
  std::vector<Layer*> newer_path;  // all of the newer state, from the top down
  std::vector<Layer*> changed;     // layers that only one of the two has
  bool older_empty = false;        // the older state is an empty volume
  uint64_t size_bytes = 0;         // of the newer state, or where the question ends before
};
Result<ReplicaDevice::DiffPage> DiffLayers(const DiffSides& sides, uint64_t offset_bytes,
                                           uint32_t runs_max);
// Fills `query->runs` with what a page of differences, from the start of its extent, says.
void FillChanges(const ReplicaDevice::DiffPage& page, ChangeQuery* query);

}  // namespace aurochs
