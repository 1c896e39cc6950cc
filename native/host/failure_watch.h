// Tells once of each replica that has failed (D4). A replica has no voice of its own for that, so
// the replicas of a loop are looked at in turn; one timer serves them all.
//
// Thread: the loop's.
#pragma once

#include <functional>
#include <map>

#include "io/event_loop.h"
#include "replica/replica_device.h"

namespace aurochs {

class FailureWatch {
 public:
  explicit FailureWatch(EventLoop& loop) : timer_(loop, [this] { Look(); }) {}

  // `failed` may call Remove.
  void Add(const ReplicaDevice& replica, std::function<void()> failed);
  // Also if it was told of already, or never added.
  void Remove(const ReplicaDevice& replica);

 private:
  void Look();

  Timer timer_;  // Runs while there is anything to look at.
  std::map<const ReplicaDevice*, std::function<void()>> watched_;
};

}  // namespace aurochs
