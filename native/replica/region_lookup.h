// Answers which layer holds a block, from the block map, and fills the map by scanning the layers'
// files when it has no answer.
//
// What is in the map is never older than the last completed change. A change that completes while
// its region is scanned is noted and laid over what the scan found, because the scan may have seen
// either state.
//
// Thread: the replica's loop; scans run on workers, inside the gate.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "base/status.h"
#include "block/extent.h"
#include "io/event_loop.h"
#include "replica/admission_gate.h"
#include "replica/block_map.h"
#include "replica/layer_tree.h"

namespace aurochs {

class RegionLookup {
 public:
  struct Waiter {
    void (*complete)(Waiter* waiter, ErrorCode result) = nullptr;
    Waiter* next = nullptr;
  };

  RegionLookup(EventLoop& loop, AdmissionGate& gate, const LayerTree& tree)
      : loop_(loop), gate_(gate), tree_(tree), map_(kBlockMapBytesMax) {}

  // Whether RunAt may be asked about `region`.
  bool Has(uint64_t region) const { return map_.Has(region); }
  BlockMap::Run RunAt(uint64_t region, uint32_t block, uint32_t enough_block) const {
    return map_.RunAt(region, block, enough_block);
  }
  // Calls back, later, when `region` is known; it is at that moment, and may be forgotten after.
  // REQUIRES: the caller is inside the gate.
  void Load(uint64_t region, Waiter* waiter);

  // A change of `extent`, whole blocks, is complete: `source` answers for it now.
  void Update(const Extent& extent, LayerSlot source);
  // A change failed on its way: nothing is known about `extent`.
  void Invalidate(const Extent& extent);
  // REQUIRES: nobody is inside the gate.
  void Clear();

  uint64_t memory_bytes() const { return map_.bytes(); }

 private:
  struct LoadState;
  void StartScan(const std::shared_ptr<LoadState>& load);
  void FinishScan(const std::shared_ptr<LoadState>& load);

  EventLoop& loop_;
  AdmissionGate& gate_;
  const LayerTree& tree_;
  BlockMap map_;
  std::unordered_map<uint64_t, std::shared_ptr<LoadState>> loads_;
};

// Which layer of `path` (from the top down) answers for each block of `region`. Blocks.
Status ScanRegion(std::span<Layer* const> path, uint64_t region, RegionSources* sources);

}  // namespace aurochs
