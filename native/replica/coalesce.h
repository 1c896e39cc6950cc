// Merges away the snapshots whose removal was asked for, in the background, one after the other.
//
// A layer without children is dropped. A layer with one child is merged with it: what the child
// lacks is copied up into the child, or, where the child is frozen and takes less space, what the
// child holds is copied down. No step changes what any state reads as, so a crash anywhere leaves
// all as it was, and the merge begins anew at the next open. A layer with several children waits.
//
// Yields to requests: while some come, it rests after each step as long as the step took. Without
// space it waits and tries again.
//
// Thread: the replica's loop; copies run on workers.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/status.h"
#include "replica/merge_copy.h"
#include "replica/replica_core.h"
#include "replica/step_pace.h"

namespace aurochs {

class Coalescer {
 public:
  explicit Coalescer(ReplicaCore& core);
  ~Coalescer();

  // Looks for work. Called after every change of the tree.
  void Kick();
  // REQUIRES of Watch. Far more than there are layers, so only a caller that repeats itself meets
  // it.
  bool CanWatch() const { return watchers_.size() < kMergeWatchersMax; }
  // Who hears of the end of snapshot `id`, and of its share done. Both may be empty.
  void Watch(const std::string& id, std::function<void(Status)> merged,
             std::function<void(double)> progress);
  // No layer of `layers` changes, ends or is merged into its child until LetGo, which is called
  // once for each call. A copying step that runs may still end: it changes nothing that is read
  // (see docs/replica-format.md, "Removing a snapshot"). REQUIRES of HoldBack: called in a command,
  // so that no commit is under way.
  void HoldBack(const std::vector<uint32_t>& layers);
  void LetGo(const std::vector<uint32_t>& layers);
  // Calls back when no step runs any more; none starts after. Watchers hear kUnavailable.
  void Stop(std::function<void()> stopped);

 private:
  enum class Phase : uint8_t {
    kIdle,       // nothing to do
    kPreparing,  // a command picks and prepares the next
    kCopying,    // a step runs
    kResting,    // between two steps
    kEnding,     // a command commits
    kPaused,     // waits for space
    kStopped,
  };
  enum class Direction : uint8_t { kUp, kDown };

  struct Plan {
    uint32_t layer = 0;
    uint32_t child = 0;
    Direction direction = Direction::kUp;
    uint64_t at_bytes = 0;
  };
  struct Watcher {
    std::function<void(Status)> merged;
    std::function<void(double)> progress;
  };
  struct Lock : RangeLock::Holder {
    Coalescer* owner = nullptr;
  };

  const LayerMeta* PickLayer() const;
  bool PlanHolds() const;
  MergePair PairOf(const Plan& plan) const;
  bool ChildIsHead() const { return plan_->child == core_.meta().head; }
  bool StopNow();
  void TellAll(const Status& status);

  void Begin();
  void Prepare(ReplicaCore::Finished finished);
  void PrepareFiles(uint32_t layer, uint32_t child, ReplicaCore::Finished finished);
  void PrepareZeroMap(ReplicaCore::Finished finished);
  void Prepared(const Status& status, const ReplicaCore::Finished& finished);
  void NextStep();
  void StepInside();
  void CopyLocked();
  void StepDone(const Status& status);
  void End();
  void FlushTarget(std::function<void(Status)> then);
  void CommitMerge(ReplicaCore::Finished finished);
  void CommitDrop(uint32_t layer, ReplicaCore::Finished finished);
  void Ended(const std::string& id, Status status);
  void Trouble(const Status& status);
  void ReportProgress();

  ReplicaCore& core_;
  Phase phase_ = Phase::kIdle;
  std::optional<Plan> plan_;
  std::string plan_id_;  // of the snapshot that goes
  MergeStep step_;
  std::vector<std::byte> buffer_;
  double reported_ = 0;
  Lock lock_;
  StepPace pace_;
  Timer retry_;                                   // without space
  std::multimap<std::string, Watcher> watchers_;  // by snapshot id
  std::set<std::string> given_up_;                // until the next open
  std::multiset<uint32_t> held_back_;             // layers, by number
  std::function<void()> stopped_;
};

}  // namespace aurochs
