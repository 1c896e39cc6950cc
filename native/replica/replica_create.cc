#include "replica/replica_create.h"

#include <algorithm>

#include "base/limits.h"
#include "replica/replica_draft.h"

namespace aurochs {
namespace {

constexpr std::string_view kRemovedPrefix = ".removed-";
constexpr std::string_view kSizeProbeFile = ".size-probe";

std::string WithPrefix(std::string_view prefix, std::string_view name) {
  return std::string(prefix) + std::string(name);
}

bool Contains(const std::vector<std::string>& names, std::string_view name) {
  return std::binary_search(names.begin(), names.end(), name);
}

}  // namespace

Result<uint64_t> LargestFileBytes(Directory& directory) {
  (void)directory.Remove(kSizeProbeFile);
  auto file = directory.OpenFile(kSizeProbeFile, OpenMode::kCreate);
  if (!file.ok()) return file.status();
  // Always possible up to `low`, never at `high`; both count blocks.
  uint64_t low = 0;
  uint64_t high = kVolumeBytesMax / kBlockBytes + 1;
  while (high - low > 1) {
    const uint64_t middle = low + (high - low) / 2;
    ((*file)->Truncate(middle * kBlockBytes).ok() ? low : high) = middle;
  }
  file->reset();
  RETURN_IF_ERROR(directory.Remove(kSizeProbeFile));
  return low * kBlockBytes;
}

Status TooLargeForFileSystem(Directory& directory, uint64_t size_bytes) {
  auto largest = LargestFileBytes(directory);
  if (!largest.ok()) return largest.status();
  return {ErrorCode::kOutOfRange, "the file system below " + directory.path() +
                                      " holds volumes of at most " + std::to_string(*largest) +
                                      " bytes, not " + std::to_string(size_bytes)};
}

Status CreateReplica(Directory& disk, std::string_view name, const ReplicaCreateOptions& options) {
  auto draft = ReplicaDraft::Begin(disk, name, options);
  if (!draft.ok()) return draft.status();
  return (*draft)->Publish();
}

Status RemoveReplica(Directory& disk, std::string_view name) {
  auto names = disk.List();
  if (!names.ok()) return names.status();
  const std::string removed = WithPrefix(kRemovedPrefix, name);
  const bool was_interrupted = Contains(*names, removed);
  if (was_interrupted) RETURN_IF_ERROR(RemoveTree(disk, removed));
  if (!Contains(*names, name)) {
    if (was_interrupted) return disk.Sync();
    return {ErrorCode::kNotFound, disk.path() + "/" + std::string(name) + " does not exist"};
  }
  auto directory = disk.OpenDirectory(name);
  if (!directory.ok()) return directory.status();
  auto lock = (*directory)->Lock(kReplicaLockFile);
  if (!lock.ok()) return lock.status();
  RETURN_IF_ERROR(disk.Rename(name, removed));
  RETURN_IF_ERROR(disk.Sync());
  return RemoveTree(disk, removed);
}

Status RemoveInterrupted(Directory& disk) {
  auto names = disk.List();
  if (!names.ok()) return names.status();
  for (const std::string& name : *names) {
    if (IsDraftName(name)) RETURN_IF_ERROR(RemoveAbandonedDraft(disk, name));
    if (name.starts_with(kRemovedPrefix)) RETURN_IF_ERROR(RemoveTree(disk, name));
  }
  return Status::Ok();
}

Result<ReplicaInfo> DescribeLayers(const ReplicaMeta& meta, const LayerTree& tree) {
  ReplicaInfo info;
  info.volume_id = meta.volume_id;
  info.replica_id = meta.replica_id;
  info.size_bytes = meta.size_bytes();
  info.epoch = meta.epoch;
  const auto id_of = [&meta](uint32_t number) {
    return number == 0 ? std::string() : meta.Find(number)->snapshot->id;
  };
  info.head_parent = id_of(meta.Find(meta.head)->parent);
  for (const LayerMeta& layer_meta : meta.layers) {
    auto allocated = tree.Find(layer_meta.number)->file->AllocatedBytes();
    if (!allocated.ok()) return allocated.status();
    if (!layer_meta.snapshot) {
      info.head_allocated_bytes = *allocated;
      continue;
    }
    info.snapshots.push_back({layer_meta.snapshot->id, layer_meta.snapshot->name,
                              id_of(layer_meta.parent), layer_meta.snapshot->created_unix_ms,
                              layer_meta.size_bytes, *allocated, layer_meta.snapshot->removing});
  }
  return info;
}

}  // namespace aurochs
