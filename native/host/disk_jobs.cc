#include "host/disk_jobs.h"

#include <climits>
#include <string_view>
#include <utility>

#include "base/log.h"

namespace aurochs {
namespace {

constexpr std::string_view kReplicasDirectory = "replicas";

Result<std::unique_ptr<Directory>> OpenReplicas(const std::string& disk_path) {
  auto disk = OpenPosixDirectory(disk_path);
  if (!disk.ok()) return disk.status();
  return (*disk)->OpenDirectory(kReplicasDirectory);
}

Result<std::unique_ptr<Directory>> OpenOrCreateReplicas(const std::string& disk_path) {
  auto disk = OpenPosixDirectory(disk_path);
  if (!disk.ok()) return disk.status();
  const Status created = (*disk)->CreateDirectory(kReplicasDirectory);
  if (!created.ok() && created.code() != ErrorCode::kAlreadyExists) return created;
  // Also when it was there: whoever made it may have died before its name was durable.
  RETURN_IF_ERROR((*disk)->Sync());
  return (*disk)->OpenDirectory(kReplicasDirectory);
}

}  // namespace

Status CheckReplicaName(const std::string& name) {
  const bool is_component = !name.empty() && name.size() <= NAME_MAX && name != "." &&
                            name != ".." && name.find('/') == std::string::npos &&
                            name.find('\0') == std::string::npos;
  if (is_component) return Status::Ok();
  return {ErrorCode::kInvalidArgument, "not the name of a replica's directory: \"" + name + "\""};
}

Result<std::unique_ptr<Directory>> OpenReplicaDirectory(const std::string& disk_path,
                                                        const std::string& name) {
  RETURN_IF_ERROR(CheckReplicaName(name));
  auto replicas = OpenReplicas(disk_path);
  if (!replicas.ok()) return replicas.status();
  return (*replicas)->OpenDirectory(name);
}

Result<ReplicaDirectories> OpenReplicaDirectories(const std::string& disk_path,
                                                  const std::string& name) {
  auto replica = OpenReplicaDirectory(disk_path, name);
  if (!replica.ok()) return replica.status();
  auto beside = OpenReplicaDirectory(disk_path, name);
  if (!beside.ok()) return beside.status();
  return ReplicaDirectories{std::move(replica).value(), std::move(beside).value()};
}

Result<std::unique_ptr<Directory>> OpenReplicasToCreateIn(const std::string& disk_path,
                                                          DiskSweeper& sweeper) {
  auto replicas = OpenOrCreateReplicas(disk_path);
  if (replicas.ok()) sweeper.Sweep(disk_path);
  return replicas;
}

Status CreateReplicaOnDisk(const std::string& disk_path, const std::string& name,
                           const ReplicaCreateOptions& options, DiskSweeper& sweeper) {
  RETURN_IF_ERROR(CheckReplicaName(name));
  auto replicas = OpenReplicasToCreateIn(disk_path, sweeper);
  if (!replicas.ok()) return replicas.status();
  return CreateReplica(**replicas, name, options);
}

Status RemoveReplicaFromDisk(const std::string& disk_path, const std::string& name,
                             DiskSweeper& sweeper) {
  RETURN_IF_ERROR(CheckReplicaName(name));
  sweeper.Sweep(disk_path);
  auto replicas = OpenReplicas(disk_path);
  if (!replicas.ok()) return replicas.status();
  return RemoveReplica(**replicas, name);
}

void DiskSweeper::Sweep(const std::string& disk_path) {
  Disk& disk = [&]() -> Disk& {
    std::lock_guard lock(mutex_);
    return disks_[disk_path];
  }();
  std::lock_guard lock(disk.mutex);
  if (disk.tried) return;
  auto replicas = OpenReplicas(disk_path);
  if (!replicas.ok()) return;  // Nothing was made there, or whoever asked finds out what is wrong.
  // One try, also if it fails: after it, what looks interrupted may be under way.
  disk.tried = true;
  const Status swept = sweep_(**replicas);
  if (swept.ok()) return;
  Log(LogLevel::kWarn, "host", disk_path + ": left-overs stay: " + swept.ToString());
}

Result<std::vector<FsckFinding>> FsckReplicaOnDisk(const std::string& disk_path,
                                                   const std::string& name) {
  auto directory = OpenReplicaDirectory(disk_path, name);
  if (!directory.ok()) return directory.status();
  return FsckReplica(**directory);
}

}  // namespace aurochs
