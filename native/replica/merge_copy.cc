#include "replica/merge_copy.h"

#include <algorithm>
#include <span>

namespace aurochs {
namespace {

// The part of `blocks` in `range`, as extents.
std::vector<Extent> ExtentsIn(const BlockSet& blocks, const Extent& range) {
  std::vector<Extent> extents;
  const uint64_t start = AlignDown(range.offset_bytes, kRegionBytes);
  blocks.ForEachRun([&](uint32_t first, uint32_t end) {
    const uint64_t from = std::max(start + uint64_t{first} * kBlockBytes, range.offset_bytes);
    const uint64_t to = std::min(start + uint64_t{end} * kBlockBytes, range.end_bytes());
    if (from < to) extents.push_back({from, to - from});
  });
  return extents;
}

Status CopyExtent(Layer& from, Layer& to, const Extent& extent, std::vector<std::byte>* buffer) {
  const Status cloned =
      to.file->CloneRangeFrom(*from.file, extent.offset_bytes, extent.length_bytes);
  if (!MustCopy(cloned)) return cloned;
  buffer->resize(std::max(buffer->size(), extent.length_bytes));
  const auto bytes = std::span(*buffer).first(extent.length_bytes);
  RETURN_IF_ERROR(from.file->ReadAt(bytes, extent.offset_bytes));
  return to.file->WriteAt(bytes, extent.offset_bytes);
}

Status CopyData(Layer& from, Layer& to, const BlockSet& blocks, MergeStep* step,
                std::vector<std::byte>* buffer) {
  for (const Extent& extent : ExtentsIn(blocks, step->range)) {
    RETURN_IF_ERROR(CopyExtent(from, to, extent, buffer));
    step->copied.push_back(extent);
  }
  return Status::Ok();
}

// Sets step->next_bytes to the first place past its range where one of `sources` holds something.
Status FindNext(std::span<Layer* const> sources, MergeStep* step) {
  const uint64_t end = step->range.end_bytes();
  if (end % kRegionBytes != 0) {
    step->next_bytes = end;
    return Status::Ok();
  }
  constexpr uint64_t kRegionEnd = UINT64_MAX / kRegionBytes;
  auto region = NextRegionOf(sources, end / kRegionBytes, kRegionEnd);
  if (!region.ok()) return region.status();
  step->next_bytes = *region == kRegionEnd ? UINT64_MAX : *region * kRegionBytes;
  return Status::Ok();
}

}  // namespace

bool MustCopy(const Status& cloned) {
  return cloned.code() == ErrorCode::kUnsupported ||
         cloned.code() == ErrorCode::kInvalidArgument;  // extents of other grain
}

Status CopyUp(const MergePair& pair, MergeStep* step, std::vector<std::byte>* buffer) {
  const uint64_t region = step->range.offset_bytes / kRegionBytes;
  BlockSet data;
  BlockSet zeros;
  RETURN_IF_ERROR(pair.layer->Scan(region, &data, &zeros));
  zeros.Remove(data);
  BlockSet answered;
  RETURN_IF_ERROR(pair.child->Scan(region, &answered, &answered));
  data.Remove(answered);
  zeros.Remove(answered);
  RETURN_IF_ERROR(CopyData(*pair.layer, *pair.child, data, step, buffer));
  if (!pair.on_base) {
    for (const Extent& extent : ExtentsIn(zeros, step->range)) {
      RETURN_IF_ERROR(pair.child->zero_map->Set(extent.offset_bytes / kBlockBytes,
                                                extent.length_bytes / kBlockBytes));
    }
  }
  return FindNext({&pair.layer, 1}, step);
}

Status CopyDown(const MergePair& pair, MergeStep* step, std::vector<std::byte>* buffer) {
  BlockSet data;
  BlockSet zeros;
  RETURN_IF_ERROR(pair.child->Scan(step->range.offset_bytes / kRegionBytes, &data, &zeros));
  zeros.Remove(data);
  RETURN_IF_ERROR(CopyData(*pair.child, *pair.layer, data, step, buffer));
  for (const Extent& extent : ExtentsIn(zeros, step->range)) {
    if (!pair.on_base) {
      RETURN_IF_ERROR(pair.layer->zero_map->Set(extent.offset_bytes / kBlockBytes,
                                                extent.length_bytes / kBlockBytes));
    }
    RETURN_IF_ERROR(pair.layer->file->PunchHole(extent.offset_bytes, extent.length_bytes));
  }
  return FindNext({&pair.child, 1}, step);
}

Status CopyChain(std::span<Layer* const> path, Layer& target, MergeStep* step,
                 std::vector<std::byte>* buffer) {
  BlockSet answered;
  for (Layer* layer : path) {
    BlockSet data;
    BlockSet zeros;
    RETURN_IF_ERROR(layer->Scan(step->range.offset_bytes / kRegionBytes, &data, &zeros));
    BlockSet visible = data;
    visible.Remove(answered);
    RETURN_IF_ERROR(CopyData(*layer, target, visible, step, buffer));
    answered.Add(data);
    answered.Add(zeros);
    if (answered.full()) break;
  }
  return FindNext(path, step);
}

Status PrepareCopyDown(const MergePair& pair) {
  const uint64_t size_bytes = pair.child->size_bytes;
  auto file_bytes = pair.layer->file->SizeBytes();
  if (!file_bytes.ok()) return file_bytes.status();
  if (*file_bytes != size_bytes) RETURN_IF_ERROR(pair.layer->file->Truncate(size_bytes));
  if (pair.layer->zero_map == nullptr) return Status::Ok();
  return pair.layer->zero_map->file().Truncate(ZeroMap::FileBytes(size_bytes));
}

Status SyncLayer(const Layer& layer) {
  if (layer.zero_map != nullptr) RETURN_IF_ERROR(layer.zero_map->file().SyncData());
  return layer.file->SyncData();
}

}  // namespace aurochs
