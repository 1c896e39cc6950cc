// Merges away the snapshots whose removal was asked for, in the background, one after the other.
//
// A layer without children is dropped. A layer with one child is merged with it: what the child
// lacks is copied up into the child, or, where the child is frozen and the smaller of the two, what
// the child holds is copied down. No step changes what any state reads as, so a crash anywhere
// leaves both layers good, and the merge begins anew at the next open. A layer with several
// children waits.
//
// Yields to requests: while some come, it rests after each step as long as the step took.
//
// Thread: the replica's loop; copies run on workers.
#pragma once

#include <functional>
#include <map>
#include <memory>

#include "base/status.h"
#include "replica/replica_core.h"

namespace aurochs {

class Coalescer {
 public:
  explicit Coalescer(ReplicaCore& core);
  ~Coalescer();

  // Looks for work. Called after every change of the tree.
  void Kick();
  // Who hears of the end of layer `number`, and of its share done. Both may be empty.
  void Watch(uint32_t number, std::function<void(Status)> merged,
             std::function<void(double)> progress);
  // Calls back when no step runs any more; none starts after. Watchers hear kUnavailable.
  void Stop(std::function<void()> stopped);

 private:
  struct Merge;
  std::unique_ptr<Merge> merge_;
};

}  // namespace aurochs
