// Which layer answers for each block of a volume with several layers: a cache, by region, of what
// the layers' files say. A region that is not in the map has to be scanned before it is read.
//
// Memory: a region takes the smaller of two forms. Dense: two bytes for each cell of 2^n blocks,
// with n as large as the region's runs allow, so one answer for all takes two bytes and runs of 64
// KiB take 128. Runs: four bytes for each run. The whole is bounded; regions not used for long make
// room.
//
// Thread: the replica's loop.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "replica/layer_tree.h"

namespace aurochs {

// The answer for each block of one region: a layer's slot or kSlotZeros.
using RegionSources = std::array<LayerSlot, kRegionBlocks>;

class BlockMap {
 public:
  struct Run {
    LayerSlot source;
    uint32_t end_block;  // of the run, in the region
  };

  explicit BlockMap(uint64_t bytes_max);
  ~BlockMap();
  BlockMap(const BlockMap&) = delete;
  BlockMap& operator=(const BlockMap&) = delete;

  // Whether `region` is known.
  bool Has(uint64_t region) const { return Find(region) != nullptr; }
  // The answer for `block` of a known region, and how far it goes, at least to `enough_block` if
  // the blocks until then agree.
  Run RunAt(uint64_t region, uint32_t block, uint32_t enough_block) const;
  // Makes `region` known; may forget others.
  void Insert(uint64_t region, const RegionSources& sources);
  // The blocks [first, end) of `region`, if it is known, have another answer now.
  void Set(uint64_t region, uint32_t first, uint32_t end, LayerSlot source);
  void Erase(uint64_t region);
  void Clear();

  uint64_t bytes() const { return bytes_; }

 private:
  struct Region;
  struct Leaf;

  static Region* Encode(const RegionSources& sources);
  static void Decode(const Region& region, RegionSources* sources);
  static uint64_t BytesOf(const Region& region);

  Region* Find(uint64_t region) const;
  void Put(uint64_t region, Region* encoded);  // nullptr: takes it out
  void MakeRoom(uint64_t spared_region);

  const uint64_t bytes_max_;
  uint64_t bytes_ = 0;
  uint64_t hand_ = 0;  // of the clock that looks for regions to forget
  std::vector<std::unique_ptr<Leaf>> leaves_;
};

}  // namespace aurochs
