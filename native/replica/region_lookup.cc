#include "replica/region_lookup.h"

#include <algorithm>
#include <utility>

namespace aurochs {
namespace {

// Calls visit(region, first block, end block) for each region that `extent` touches.
template <typename Visit>
void ForEachRegion(const Extent& extent, Visit visit) {
  uint64_t at = extent.offset_bytes;
  while (at < extent.end_bytes()) {
    const uint64_t region = at / kRegionBytes;
    const uint64_t end = std::min(extent.end_bytes(), (region + 1) * kRegionBytes);
    visit(region, static_cast<uint32_t>((at - region * kRegionBytes) / kBlockBytes),
          static_cast<uint32_t>((end - region * kRegionBytes) / kBlockBytes));
    at = end;
  }
}

}  // namespace

Status ScanRegion(std::span<Layer* const> path, uint64_t region, RegionSources* sources) {
  sources->fill(kSlotZeros);
  BlockSet resolved;
  for (const Layer* layer : path) {
    BlockSet data;
    BlockSet zeros;
    RETURN_IF_ERROR(layer->Scan(region, &data, &zeros));
    const LayerSlot slot = layer->slot;
    BlockSet answered = data;
    answered.Remove(resolved);
    answered.ForEachRun([&](uint32_t first, uint32_t end) {
      std::fill(sources->begin() + first, sources->begin() + end, slot);
    });
    resolved.Add(data);
    resolved.Add(zeros);
    if (resolved.full()) break;
  }
  return Status::Ok();
}

struct RegionLookup::LoadState {
  uint64_t region = 0;
  Waiter* waiters = nullptr;
  RegionSources sources;
  Status status;
  // What completed while the scan ran.
  BlockSet changed;
  RegionSources changed_sources;
  bool scan_again = false;
};

void RegionLookup::Load(uint64_t region, Waiter* waiter) {
  auto& load = loads_[region];
  const bool starts = load == nullptr;
  if (starts) {
    load = std::make_shared<LoadState>();
    load->region = region;
  }
  waiter->next = std::exchange(load->waiters, waiter);
  if (!starts) return;
  gate_.Enter();
  StartScan(load);
}

void RegionLookup::StartScan(const std::shared_ptr<LoadState>& load) {
  load->changed = BlockSet();
  load->scan_again = false;
  loop_.RunBlocking(
      [this, load] { load->status = ScanRegion(tree_.path(), load->region, &load->sources); },
      [this, load] { FinishScan(load); });
}

void RegionLookup::FinishScan(const std::shared_ptr<LoadState>& load) {
  if (load->scan_again && load->status.ok()) {
    StartScan(load);
    return;
  }
  loads_.erase(load->region);
  if (load->status.ok()) {
    load->changed.ForEachRun([&](uint32_t first, uint32_t end) {
      std::copy(load->changed_sources.begin() + first, load->changed_sources.begin() + end,
                load->sources.begin() + first);
    });
    map_.Insert(load->region, load->sources);
  }
  Waiter* waiter = load->waiters;
  while (waiter != nullptr) {
    Waiter* next = waiter->next;
    waiter->complete(waiter, load->status.code());
    waiter = next;
  }
  gate_.Leave();
}

void RegionLookup::Update(const Extent& extent, LayerSlot source) {
  ForEachRegion(extent, [&](uint64_t region, uint32_t first, uint32_t end) {
    map_.Set(region, first, end, source);
    if (loads_.empty()) return;
    const auto load = loads_.find(region);
    if (load == loads_.end()) return;
    load->second->changed.AddRange(first, end);
    std::fill(load->second->changed_sources.begin() + first,
              load->second->changed_sources.begin() + end, source);
  });
}

void RegionLookup::Invalidate(const Extent& extent) {
  ForEachRegion(extent, [&](uint64_t region, uint32_t, uint32_t) {
    map_.Erase(region);
    const auto load = loads_.find(region);
    if (load != loads_.end()) load->second->scan_again = true;
  });
}

void RegionLookup::Clear() {
  CHECK(loads_.empty());
  map_.Clear();
}

}  // namespace aurochs
