// How a background job yields to requests: while some come, it rests after each step as long as the
// step took.
//
// Thread: the replica's loop; steps run on workers.
#pragma once

#include <cstdint>
#include <functional>

#include "base/limits.h"
#include "base/status.h"
#include "replica/replica_core.h"

namespace aurochs {

inline constexpr uint64_t kBackgroundStepBytes = 1 * kMiB;  // copied at a time, under one lock
static_assert(kRegionBytes % kBackgroundStepBytes == 0);

class StepPace {
 public:
  // `next` begins the next step.
  StepPace(ReplicaCore& core, std::function<void()> next);

  // A step begins: requests that come from now on make the next one wait.
  void Begin();
  // Runs the copying of a step on a worker, then `then`.
  void Work(std::function<Status()> work, ReplicaCore::Done then);
  // Calls `next`, later.
  void Rest();
  void Cancel() { timer_.Cancel(); }

 private:
  ReplicaCore& core_;
  const std::function<void()> next_;
  Timer timer_;
  uint64_t requests_before_ = 0;
  uint64_t took_ms_ = 0;
};

}  // namespace aurochs
