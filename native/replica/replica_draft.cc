#include "replica/replica_draft.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "replica/layer_tree.h"
#include "replica/replica_create.h"

namespace aurochs {
namespace {

constexpr std::string_view kDraftPrefix = ".new-";

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

Result<bool> IsThere(Directory& disk, std::string_view name) {
  auto names = disk.List();
  if (!names.ok()) return names.status();
  return std::binary_search(names->begin(), names->end(), name);
}

Status CheckNameIsFree(Directory& disk, const std::string& name) {
  auto taken = IsThere(disk, name);
  if (!taken.ok()) return taken.status();
  if (!*taken) return Status::Ok();
  // Whoever made it may have died before its name was durable, and the caller takes it for made.
  RETURN_IF_ERROR(disk.Sync());
  return {ErrorCode::kAlreadyExists, disk.path() + "/" + name + " exists"};
}

Status BeingMade(Directory& disk, const std::string& name) {
  return {ErrorCode::kBusy, disk.path() + "/" + name + " is being made; try again later"};
}

}  // namespace

ReplicaDraft::ReplicaDraft(Directory& disk, std::string_view name,
                           const ReplicaCreateOptions& options)
    : disk_(disk), name_(name), temporary_(std::string(kDraftPrefix) + name_), options_(options) {}

ReplicaDraft::~ReplicaDraft() {
  if (directory_ != nullptr) (void)RemoveTree(disk_, temporary_);
}

Result<std::unique_ptr<ReplicaDraft>> ReplicaDraft::Begin(Directory& disk, std::string_view name,
                                                          const ReplicaCreateOptions& options) {
  RETURN_IF_ERROR(CheckOptions(options));
  std::unique_ptr<ReplicaDraft> draft(new ReplicaDraft(disk, name, options));
  RETURN_IF_ERROR(CheckNameIsFree(disk, draft->name_));
  auto left_over = IsThere(disk, draft->temporary_);
  if (!left_over.ok()) return left_over.status();
  if (*left_over) RETURN_IF_ERROR(RemoveAbandonedDraft(disk, draft->temporary_));
  RETURN_IF_ERROR(draft->Make());
  return draft;
}

Status ReplicaDraft::Make() {
  Status made = disk_.CreateDirectory(temporary_);
  // Somebody was faster, and has not finished.
  if (made.code() == ErrorCode::kAlreadyExists) return BeingMade(disk_, name_);
  RETURN_IF_ERROR(made);
  auto directory = disk_.OpenDirectory(temporary_);
  if (!directory.ok()) {
    (void)disk_.RemoveDirectory(temporary_);
    return directory.status();
  }
  auto lock = (*directory)->Lock(kReplicaLockFile);
  // Taken for abandoned before it was locked, it is not ours any more.
  if (lock.status().code() == ErrorCode::kBusy) return BeingMade(disk_, name_);
  directory_ = std::move(*directory);
  if (!lock.ok()) return lock.status();
  lock_ = std::move(*lock);
  // Again: whoever made it before us may have published it since.
  RETURN_IF_ERROR(CheckNameIsFree(disk_, name_));
  auto head = CreateLayer(*directory_, 1, options_.size_bytes);
  if (head.status().code() == ErrorCode::kOutOfRange) {
    return TooLargeForFileSystem(*directory_, options_.size_bytes);
  }
  if (!head.ok()) return head.status();
  head_ = std::move(*head);
  return Status::Ok();
}

Status ReplicaDraft::Publish() {
  ReplicaMeta meta;
  meta.volume_id = options_.volume_id;
  meta.replica_id = options_.replica_id;
  meta.head = head_->number;
  meta.next_layer = meta.head + 1;
  meta.layers.push_back({meta.head, 0, options_.size_bytes, false, std::nullopt});
  Status status;
  // Syncs the directory, and with it the head's name.
  (void)StoreReplicaMeta(*directory_, meta, &status);
  if (status.ok()) status = disk_.Rename(temporary_, name_);
  RETURN_IF_ERROR(status);
  head_.reset();
  directory_.reset();
  lock_.reset();
  status = disk_.Sync();
  if (!status.ok()) (void)RemoveReplica(disk_, name_);
  return status;
}

Status RemoveAbandonedDraft(Directory& disk, std::string_view name) {
  auto directory = disk.OpenDirectory(name);
  if (!directory.ok()) return directory.status();
  auto lock = (*directory)->Lock(kReplicaLockFile);
  if (lock.status().code() == ErrorCode::kBusy) return BeingMade(disk, std::string(name));
  if (!lock.ok()) return lock.status();
  return RemoveTree(disk, name);
}

bool IsDraftName(std::string_view name) {
  return name.starts_with(kDraftPrefix);
}

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

}  // namespace aurochs
