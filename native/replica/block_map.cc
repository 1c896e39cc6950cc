#include "replica/block_map.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <new>

namespace aurochs {
namespace {

constexpr uint64_t kLeafRegions = 512;
constexpr uint64_t kAllocatorBytes = 16;  // what malloc adds to each region
constexpr uint32_t kGrainShiftMax = 10;

static_assert((1u << kGrainShiftMax) == kRegionBlocks);

}  // namespace

// One allocation: this header, then `count` cells (dense) or pairs of first block and source
// (runs).
struct BlockMap::Region {
  bool dense;
  uint8_t grain_shift;  // dense: a cell has 2^grain_shift blocks
  bool used;            // since the clock's hand passed
  uint16_t count;

  uint16_t* payload() { return reinterpret_cast<uint16_t*>(this + 1); }
  const uint16_t* payload() const { return reinterpret_cast<const uint16_t*>(this + 1); }
  size_t values() const { return dense ? count : size_t{2} * count; }

  // Runs: index of the run that has `block`.
  uint32_t RunIndex(uint32_t block) const {
    uint32_t low = 0;
    uint32_t high = count;
    while (high - low > 1) {
      const uint32_t middle = (low + high) / 2;
      (payload()[size_t{2} * middle] <= block ? low : high) = middle;
    }
    return low;
  }
  uint32_t RunEnd(uint32_t index) const {
    return index + 1 < count ? payload()[size_t{2} * (index + 1)] : kRegionBlocks;
  }
};

struct BlockMap::Leaf {
  std::array<Region*, kLeafRegions> regions{};
  uint32_t known = 0;
};

BlockMap::BlockMap(uint64_t bytes_max) : bytes_max_(bytes_max) {}
BlockMap::~BlockMap() {
  Clear();
}

BlockMap::Region* BlockMap::Encode(const RegionSources& sources) {
  uint32_t runs = 1;
  uint32_t boundaries = 1u << kGrainShiftMax;
  for (uint32_t block = 1; block < kRegionBlocks; ++block) {
    if (sources[block] == sources[block - 1]) continue;
    ++runs;
    boundaries |= block;
  }
  const auto shift = static_cast<uint32_t>(std::countr_zero(boundaries));
  const uint32_t cells = kRegionBlocks >> shift;
  const bool dense = cells <= 2 * runs;
  const size_t values = dense ? cells : size_t{2} * runs;

  void* memory = std::malloc(sizeof(Region) + values * sizeof(uint16_t));
  CHECK(memory != nullptr);
  auto* region = new (memory) Region{dense, static_cast<uint8_t>(shift), false,
                                     static_cast<uint16_t>(dense ? cells : runs)};
  uint16_t* out = region->payload();
  if (dense) {
    for (uint32_t cell = 0; cell < cells; ++cell) *out++ = sources[cell << shift];
    return region;
  }
  for (uint32_t block = 0; block < kRegionBlocks; ++block) {
    if (block > 0 && sources[block] == sources[block - 1]) continue;
    *out++ = static_cast<uint16_t>(block);
    *out++ = sources[block];
  }
  return region;
}

void BlockMap::Decode(const Region& region, RegionSources* sources) {
  if (region.dense) {
    for (uint32_t block = 0; block < kRegionBlocks; ++block) {
      (*sources)[block] = region.payload()[block >> region.grain_shift];
    }
    return;
  }
  for (uint32_t run = 0; run < region.count; ++run) {
    std::fill(sources->begin() + region.payload()[size_t{2} * run],
              sources->begin() + region.RunEnd(run), region.payload()[size_t{2} * run + 1]);
  }
}

uint64_t BlockMap::BytesOf(const Region& region) {
  return AlignUp(sizeof(Region) + region.values() * sizeof(uint16_t) + kAllocatorBytes, 16);
}

BlockMap::Region* BlockMap::Find(uint64_t region) const {
  const uint64_t leaf = region / kLeafRegions;
  if (leaf >= leaves_.size() || leaves_[leaf] == nullptr) return nullptr;
  return leaves_[leaf]->regions[region % kLeafRegions];
}

BlockMap::Run BlockMap::RunAt(uint64_t region, uint32_t block, uint32_t enough_block) const {
  Region* found = Find(region);
  CHECK(found != nullptr);
  found->used = true;
  if (!found->dense) {
    const uint32_t index = found->RunIndex(block);
    return {found->payload()[size_t{2} * index + 1], found->RunEnd(index)};
  }
  const uint32_t shift = found->grain_shift;
  uint32_t cell = block >> shift;
  const LayerSlot source = found->payload()[cell];
  do {
    ++cell;
  } while (cell << shift < enough_block && found->payload()[cell] == source);
  return {source, cell << shift};
}

void BlockMap::Insert(uint64_t region, const RegionSources& sources) {
  Put(region, Encode(sources));
  MakeRoom(region);
}

void BlockMap::Set(uint64_t region, uint32_t first, uint32_t end, LayerSlot source) {
  Region* found = Find(region);
  if (found == nullptr) return;
  const Run now = RunAt(region, first, end);
  if (now.source == source && now.end_block >= end) return;
  if (found->dense) {
    const uint32_t grain = 1u << found->grain_shift;
    if (IsAligned(first, grain) && IsAligned(end, grain)) {
      std::fill(found->payload() + (first >> found->grain_shift),
                found->payload() + (end >> found->grain_shift), source);
      return;
    }
  }
  RegionSources sources;
  Decode(*found, &sources);
  std::fill(sources.begin() + first, sources.begin() + end, source);
  Region* changed = Encode(sources);
  changed->used = true;
  Put(region, changed);
  MakeRoom(region);
}

void BlockMap::Erase(uint64_t region) {
  Put(region, nullptr);
}

void BlockMap::Clear() {
  for (auto& leaf : leaves_) {
    if (leaf == nullptr) continue;
    for (Region* region : leaf->regions) std::free(region);
  }
  leaves_.clear();
  leaves_.shrink_to_fit();
  bytes_ = 0;
  hand_ = 0;
}

void BlockMap::Put(uint64_t region, Region* encoded) {
  const uint64_t leaf_index = region / kLeafRegions;
  if (leaf_index >= leaves_.size()) {
    if (encoded == nullptr) return;
    bytes_ += (leaf_index + 1 - leaves_.size()) * sizeof(leaves_[0]);
    leaves_.resize(leaf_index + 1);
  }
  std::unique_ptr<Leaf>& leaf = leaves_[leaf_index];
  if (leaf == nullptr) {
    if (encoded == nullptr) return;
    leaf = std::make_unique<Leaf>();
    bytes_ += sizeof(Leaf);
  }
  Region*& place = leaf->regions[region % kLeafRegions];
  if (place != nullptr) {
    bytes_ -= BytesOf(*place);
    --leaf->known;
    std::free(place);
  }
  place = encoded;
  if (encoded != nullptr) {
    bytes_ += BytesOf(*encoded);
    ++leaf->known;
  } else if (leaf->known == 0) {
    leaf.reset();
    bytes_ -= sizeof(Leaf);
  }
}

void BlockMap::MakeRoom(uint64_t spared_region) {
  while (bytes_ > bytes_max_) {
    const uint64_t regions = leaves_.size() * kLeafRegions;
    bool forgot = false;
    // Two rounds: the first may only find that all were used.
    for (uint64_t looked = 0; looked < 2 * regions && !forgot;) {
      if (hand_ >= regions) hand_ = 0;
      const bool empty_leaf = leaves_[hand_ / kLeafRegions] == nullptr;
      const uint64_t region = hand_;
      const uint64_t step = empty_leaf ? kLeafRegions - hand_ % kLeafRegions : 1;
      hand_ += step;
      looked += step;
      Region* found = empty_leaf ? nullptr : Find(region);
      if (found == nullptr || region == spared_region) continue;
      if (found->used) {
        found->used = false;
      } else {
        Erase(region);
        forgot = true;
      }
    }
    if (!forgot) return;  // Only the spared one is left.
  }
}

}  // namespace aurochs
