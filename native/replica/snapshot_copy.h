// One copy of a snapshot into a new replica, in the background: range by range, as merges copy, and
// yielding to requests as they do.
//
// It reads frozen layers only, which are held back from merges meanwhile; so it needs no gate, and
// a slow disk below the new replica never makes a barrier of the volume wait.
//
// Thread: the source replica's loop; all that touches a disk runs on workers.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "replica/coalesce.h"
#include "replica/copy_space.h"
#include "replica/merge_copy.h"
#include "replica/replica_core.h"
#include "replica/replica_draft.h"
#include "replica/step_pace.h"

namespace aurochs {

class SnapshotCopy {
 public:
  // `ended` is the last call to come from it and may destroy it.
  SnapshotCopy(ReplicaCore& core, Coalescer& coalescer, std::string snapshot_id,
               SnapshotCopyTarget target, std::function<void(double)> progress,
               ReplicaCore::Done ended);
  ~SnapshotCopy();

  void Start();
  // It ends with kAborted as soon as it can, whatever it is doing, and nothing is left of it.
  void Cancel() { cancelled_ = true; }

 private:
  // Only forwards; kUndoing follows each of them.
  enum class Phase : uint8_t {
    kWaiting,     // for the commands before it
    kPreparing,   // opens the disk and makes the draft
    kCopying,     // a step runs, or rests
    kSyncing,     // the draft's data
    kPublishing,  // gives it its name
    kUndoing,     // nothing is to be left
    kEnded,
  };

  void HoldLayers(const ReplicaCore::Finished& finished);
  Status MakeDraft();
  Result<bool> CanShareExtents();
  Status ClaimSpace();
  Result<uint64_t> AllocatedBytes() const;
  void RunPhase(Phase phase, std::function<Status()> work, std::function<void()> then);
  Status WhyStop() const;
  void NextStep();
  void StepDone(Status status);
  void ShrinkClaim();
  void ReportProgress();
  void Sync();
  void Publish();
  void Undo(Status why);
  void End(Status status);

  ReplicaCore& core_;
  Coalescer& coalescer_;
  const std::string snapshot_id_;
  const SnapshotCopyTarget target_;
  const std::function<void(double)> progress_;
  ReplicaCore::Done ended_;

  Phase phase_ = Phase::kWaiting;
  bool cancelled_ = false;
  std::vector<uint32_t> held_layers_;
  std::vector<Layer*> path_;  // of the snapshot, from the top down
  uint64_t size_bytes_ = 0;   // of the snapshot

  // For the worker while one runs.
  std::unique_ptr<Directory> disk_;
  std::unique_ptr<ReplicaDraft> draft_;
  std::unique_ptr<CopySpace::Claim> claim_;  // null where extents are shared
  MergeStep step_;
  std::vector<std::byte> buffer_;
  bool published_ = false;

  StepPace pace_;
  uint64_t at_bytes_ = 0;
  double reported_ = 0;
  uint64_t reported_at_ms_ = 0;
};

}  // namespace aurochs
