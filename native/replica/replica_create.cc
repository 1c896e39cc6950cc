#include "replica/replica_create.h"

#include <algorithm>

#include "base/limits.h"

namespace aurochs {
namespace {

constexpr std::string_view kNewPrefix = ".new-";
constexpr std::string_view kRemovedPrefix = ".removed-";
constexpr std::string_view kSizeProbeFile = ".size-probe";

std::string WithPrefix(std::string_view prefix, std::string_view name) {
  return std::string(prefix) + std::string(name);
}

bool Contains(const std::vector<std::string>& names, std::string_view name) {
  return std::binary_search(names.begin(), names.end(), name);
}

Status CheckOptions(const ReplicaCreateOptions& options) {
  if (!IsReplicaId(options.volume_id) || !IsReplicaId(options.replica_id)) {
    return {ErrorCode::kInvalidArgument,
            "the ids of volume and replica have 1 to 64 letters, digits or \"._:-\""};
  }
  if (!IsAligned(options.size_bytes, kBlockBytes)) {
    return {ErrorCode::kInvalidArgument, "a volume's size is a multiple of 4096 bytes"};
  }
  if (options.size_bytes < kVolumeBytesMin || options.size_bytes > kVolumeBytesMax) {
    return {ErrorCode::kOutOfRange, "a volume has " + std::to_string(kVolumeBytesMin) + " to " +
                                        std::to_string(kVolumeBytesMax) + " bytes"};
  }
  return Status::Ok();
}

// A replica's directory holds files only.
Status RemoveTree(Directory& disk, std::string_view name) {
  {
    auto directory = disk.OpenDirectory(name);
    if (!directory.ok()) return directory.status();
    auto names = (*directory)->List();
    if (!names.ok()) return names.status();
    for (const std::string& file : *names) RETURN_IF_ERROR((*directory)->Remove(file));
  }
  return disk.RemoveDirectory(name);
}

Status FillNewReplica(Directory& directory, const ReplicaCreateOptions& options) {
  ReplicaMeta meta;
  meta.volume_id = options.volume_id;
  meta.replica_id = options.replica_id;
  meta.head = meta.next_layer++;
  meta.layers.push_back({meta.head, 0, options.size_bytes, false, std::nullopt});

  auto head = CreateLayer(directory, meta.head, options.size_bytes);
  if (head.status().code() == ErrorCode::kOutOfRange) {
    return TooLargeForFileSystem(directory, options.size_bytes);
  }
  if (!head.ok()) return head.status();
  Status status;
  (void)StoreReplicaMeta(directory, meta,
                         &status);  // Syncs the directory, the head's name with it.
  return status;
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
  RETURN_IF_ERROR(CheckOptions(options));
  auto names = disk.List();
  if (!names.ok()) return names.status();
  if (Contains(*names, name)) {
    // Whoever made it may have died before its name was durable, and the caller takes it for made.
    RETURN_IF_ERROR(disk.Sync());
    return {ErrorCode::kAlreadyExists, disk.path() + "/" + std::string(name) + " exists"};
  }
  const std::string temporary = WithPrefix(kNewPrefix, name);
  if (Contains(*names, temporary)) RETURN_IF_ERROR(RemoveTree(disk, temporary));

  RETURN_IF_ERROR(disk.CreateDirectory(temporary));
  auto directory = disk.OpenDirectory(temporary);
  Status status = directory.status();
  if (status.ok()) status = FillNewReplica(**directory, options);
  if (status.ok()) status = disk.Rename(temporary, name);
  if (!status.ok()) {
    (void)RemoveTree(disk, temporary);  // Else RemoveInterrupted does.
    return status;
  }
  status = disk.Sync();
  if (!status.ok()) (void)RemoveReplica(disk, name);
  return status;
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
    if (name.starts_with(kNewPrefix) || name.starts_with(kRemovedPrefix)) {
      RETURN_IF_ERROR(RemoveTree(disk, name));
    }
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
