// What a host does to a disk beside open volumes: create, remove, check and probe. The replicas of
// a disk are the directories below `<disk>/replicas`.
//
// Thread: any; every function blocks on the disk.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "io/directory.h"
#include "replica/fsck.h"
#include "replica/replica_device.h"

namespace aurochs {

// Whether `name` can be a replica's directory: one path component of at most 255 bytes.
Status CheckReplicaName(const std::string& name);

// kNotFound if the disk, or a replica of that name, is not there.
Result<std::unique_ptr<Directory>> OpenReplicaDirectory(const std::string& disk_path,
                                                        const std::string& name);

// Frees each disk, once in the life of a host, of what interrupted creations and removals left.
// Whoever creates or removes there sweeps first, so that it never meets one that is under way.
class DiskSweeper {
 public:
  explicit DiskSweeper(std::function<Status(Directory& replicas)> sweep = RemoveInterrupted)
      : sweep_(std::move(sweep)) {}

  // Returns when the disk has been swept; waits for no other disk. A failure is logged; the next
  // host tries again.
  void Sweep(const std::string& disk_path);

 private:
  struct Disk {
    std::mutex mutex;
    bool tried = false;  // Guarded by mutex.
  };

  const std::function<Status(Directory& replicas)> sweep_;
  std::mutex mutex_;
  std::map<std::string, Disk> disks_;  // Guarded by mutex_; entries stay where they are.
};

// A replica's directory, twice: for the replica, and for what is kept beside it.
struct ReplicaDirectories {
  std::unique_ptr<Directory> replica;
  std::unique_ptr<Directory> beside;
};
Result<ReplicaDirectories> OpenReplicaDirectories(const std::string& disk_path,
                                                  const std::string& name);

// `<disk>/replicas`, to make a replica in: durable, also when it was not there yet, and swept.
Result<std::unique_ptr<Directory>> OpenReplicasToCreateIn(const std::string& disk_path,
                                                          DiskSweeper& sweeper);
Status CreateReplicaOnDisk(const std::string& disk_path, const std::string& name,
                           const ReplicaCreateOptions& options, DiskSweeper& sweeper);
Status RemoveReplicaFromDisk(const std::string& disk_path, const std::string& name,
                             DiskSweeper& sweeper);
Result<std::vector<FsckFinding>> FsckReplicaOnDisk(const std::string& disk_path,
                                                   const std::string& name);

}  // namespace aurochs
