#include "replica/layer.h"

#include <algorithm>

namespace aurochs {

Status Layer::Scan(uint64_t region, BlockSet* data, BlockSet* zeros) const {
  const uint64_t start = region * kRegionBytes;
  const uint64_t end = std::min(start + kRegionBytes, size_bytes);
  uint64_t at = start;
  while (at < end) {
    auto range = file->NextData(at, end);
    if (!range.ok()) return range.status();
    if (!range->has_value()) break;
    const uint64_t range_end = (*range)->offset_bytes + (*range)->length_bytes;
    data->AddRange(static_cast<uint32_t>(((*range)->offset_bytes - start) / kBlockBytes),
                   static_cast<uint32_t>((AlignUp(range_end, kBlockBytes) - start) / kBlockBytes));
    at = AlignUp(range_end, kBlockBytes);
  }
  return zero_map != nullptr && start < end ? zero_map->ReadRegion(region, zeros) : Status::Ok();
}

Result<uint64_t> Layer::NextRegion(uint64_t region, uint64_t region_end) const {
  region_end = std::min(region_end, AlignUp(size_bytes, kRegionBytes) / kRegionBytes);
  if (region >= region_end) return UINT64_MAX;
  const uint64_t start = region * kRegionBytes;
  auto range = file->NextData(start, std::min(region_end * kRegionBytes, size_bytes));
  if (!range.ok()) return range.status();
  uint64_t next = UINT64_MAX;
  if (range->has_value()) next = (*range)->offset_bytes / kRegionBytes;
  if (zero_map == nullptr || next == region) return next;
  auto next_zeros = zero_map->NextRegion(region, std::min(next, region_end));
  if (!next_zeros.ok()) return next_zeros.status();
  return *next_zeros < region_end ? std::min(next, *next_zeros) : next;
}

Result<uint64_t> NextRegionOf(std::span<Layer* const> layers, uint64_t region,
                              uint64_t region_end) {
  uint64_t next = region_end;
  for (const Layer* layer : layers) {
    if (next == region) break;
    auto found = layer->NextRegion(region, next);
    if (!found.ok()) return found.status();
    next = std::min(next, *found);
  }
  return next;
}

}  // namespace aurochs
