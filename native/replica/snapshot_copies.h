// The copies of one replica's snapshots that are under way, by the name of what they make.
//
// Thread: the source replica's loop.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "replica/snapshot_copy.h"

namespace aurochs {

class SnapshotCopies {
 public:
  SnapshotCopies(ReplicaCore& core, Coalescer& coalescer) : core_(core), coalescer_(coalescer) {}
  ~SnapshotCopies();

  // As ReplicaDevice::CopySnapshot.
  void Start(std::string snapshot_id, SnapshotCopyTarget target, ReplicaCore::Done done,
             std::function<void(double)> progress);
  // Calls back, perhaps at once, when there is no copy to `name`.
  void Cancel(const std::string& name, std::function<void()> ended);
  // Cancels all. None may be started after.
  void CancelAll();
  // Calls back, perhaps at once, when there is none. After CancelAll.
  void AwaitEnd(std::function<void()> ended);

 private:
  struct Running {
    std::unique_ptr<SnapshotCopy> copy;
    ReplicaCore::Done done;
    std::vector<std::function<void()>> cancelling;
  };

  Status CheckMayStart(const std::string& name) const;
  void Ended(const std::string& name, Status status);

  ReplicaCore& core_;
  Coalescer& coalescer_;
  std::map<std::string, Running> running_;
  bool closed_ = false;
  std::function<void()> all_ended_;
};

}  // namespace aurochs
