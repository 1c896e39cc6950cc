#include "replica/layer_runs.h"

#include <algorithm>

#include "replica/region_lookup.h"

namespace aurochs {
namespace {

// Regions that one call scans at most; it then ends early, so that no call takes long.
constexpr uint64_t kRegionsPerCallMax = 256;

Status AddHeldBlocks(std::span<Layer* const> layers, uint64_t region, BlockSet* held) {
  for (const Layer* layer : layers) RETURN_IF_ERROR(layer->Scan(region, held, held));
  return Status::Ok();
}

BlockSet DataBlocks(const RegionSources& sources) {
  BlockSet data;
  for (uint32_t first = 0; first < kRegionBlocks;) {
    uint32_t end = first + 1;
    while (end < kRegionBlocks && sources[end] == sources[first]) ++end;
    if (sources[first] != kSlotZeros) data.AddRange(first, end);
    first = end;
  }
  return data;
}

// Collects runs of one state after the other, cut to an extent.
template <typename Run>
class RunCollector {
 public:
  RunCollector(const Extent& extent, uint32_t runs_max, std::vector<Run>* runs)
      : at_(extent.offset_bytes), end_(extent.end_bytes()), runs_max_(runs_max), runs_(*runs) {}

  // False when no more fits.
  bool Add(uint64_t until_bytes, decltype(Run::state) state) {
    until_bytes = std::min(until_bytes, end_);
    if (until_bytes <= at_) return true;
    if (runs_.empty() || runs_.back().state != state) {
      if (runs_.size() == runs_max_) return false;
      runs_.push_back({0, state});
    }
    runs_.back().length_bytes += until_bytes - at_;
    at_ = until_bytes;
    return true;
  }

 private:
  uint64_t at_;
  const uint64_t end_;
  const uint32_t runs_max_;
  std::vector<Run>& runs_;
};

bool AddRegion(const BlockSet& data, uint64_t region, RunCollector<AllocationRun>* runs) {
  const uint64_t start = region * kRegionBytes;
  for (uint32_t block = 0; block < kRegionBlocks;) {
    const bool is_data = data.Has(block);
    block = data.Next(block, !is_data);
    if (!runs->Add(start + uint64_t{block} * kBlockBytes,
                   is_data ? AllocationState::kData : AllocationState::kHole)) {
      return false;
    }
  }
  return true;
}

// Appends the runs of `changed` blocks in `region`, from `from_bytes` on. Returns where to go on
// when `runs_max` is reached.
std::optional<uint64_t> AddDiffRegion(const BlockSet& changed, const BlockSet& data,
                                      uint64_t region, uint64_t from_bytes, uint64_t size_bytes,
                                      uint32_t runs_max, std::vector<DiffRun>* runs) {
  const uint64_t start = region * kRegionBytes;
  uint32_t block = static_cast<uint32_t>((std::max(from_bytes, start) - start) / kBlockBytes);
  while (true) {
    block = changed.Next(block, true);
    const uint64_t offset_bytes = start + uint64_t{block} * kBlockBytes;
    if (block == kRegionBlocks || offset_bytes >= size_bytes) return std::nullopt;
    const bool is_data = data.Has(block);
    block = std::min(changed.Next(block, false), data.Next(block, !is_data));
    const uint64_t end_bytes = std::min(start + uint64_t{block} * kBlockBytes, size_bytes);
    const AllocationState state = is_data ? AllocationState::kData : AllocationState::kHole;
    if (!runs->empty() && runs->back().state == state &&
        runs->back().extent.end_bytes() == offset_bytes) {
      runs->back().extent.length_bytes += end_bytes - offset_bytes;
    } else if (runs->size() == runs_max) {
      return offset_bytes;
    } else {
      runs->push_back({{offset_bytes, end_bytes - offset_bytes}, state});
    }
  }
}

}  // namespace

Status QueryAllocation(std::span<Layer* const> path, AllocationQuery* query) {
  query->runs.clear();
  const Extent& extent = query->extent;
  const uint64_t region_end = AlignUp(extent.end_bytes(), kRegionBytes) / kRegionBytes;
  uint64_t region = extent.offset_bytes / kRegionBytes;
  RunCollector<AllocationRun> runs(extent, std::max(query->runs_max, 1u), &query->runs);
  for (uint64_t scanned = 0; scanned < kRegionsPerCallMax && region < region_end; ++scanned) {
    auto next = NextRegionOf(path, region, region_end);
    if (!next.ok()) return next.status();
    if (!runs.Add(*next * kRegionBytes, AllocationState::kHole)) break;
    region = *next;
    if (region == region_end) break;
    RegionSources sources;
    RETURN_IF_ERROR(ScanRegion(path, region, &sources));
    if (!AddRegion(DataBlocks(sources), region, &runs)) break;
    ++region;
  }
  return Status::Ok();
}

Result<ReplicaDevice::DiffPage> DiffLayers(const DiffSides& sides, uint64_t offset_bytes,
                                           uint32_t runs_max) {
  ReplicaDevice::DiffPage page;
  if (offset_bytes >= sides.size_bytes) return page;
  const uint64_t region_end = AlignUp(sides.size_bytes, kRegionBytes) / kRegionBytes;
  uint64_t region = offset_bytes / kRegionBytes;
  for (uint64_t scanned = 0; scanned < kRegionsPerCallMax; ++scanned) {
    auto next = NextRegionOf(sides.changed, region, region_end);
    if (!next.ok()) return next.status();
    region = *next;
    if (region == region_end) return page;
    BlockSet changed;
    Status status = AddHeldBlocks(sides.changed, region, &changed);
    RegionSources sources;
    if (status.ok()) status = ScanRegion(sides.newer_path, region, &sources);
    if (!status.ok()) return status;
    const BlockSet data = DataBlocks(sources);
    if (sides.older_empty) changed = data;  // Zeros are what an empty volume holds.
    page.next_offset_bytes = AddDiffRegion(changed, data, region, offset_bytes, sides.size_bytes,
                                           std::max(runs_max, 1u), &page.runs);
    if (page.next_offset_bytes.has_value()) return page;
    ++region;
  }
  if (region < region_end) page.next_offset_bytes = region * kRegionBytes;
  return page;
}

void FillChanges(const ReplicaDevice::DiffPage& page, ChangeQuery* query) {
  query->runs.clear();
  RunCollector<ChangeRun> runs(query->extent, std::max(query->runs_max, 1u), &query->runs);
  for (const DiffRun& run : page.runs) {
    if (!runs.Add(run.extent.offset_bytes, ChangeState::kSame)) return;
    const bool is_data = run.state == AllocationState::kData;
    if (!runs.Add(run.extent.end_bytes(),
                  is_data ? ChangeState::kChanged : ChangeState::kChangedToZeros)) {
      return;
    }
  }
  (void)runs.Add(page.next_offset_bytes.value_or(query->extent.end_bytes()), ChangeState::kSame);
}

}  // namespace aurochs
