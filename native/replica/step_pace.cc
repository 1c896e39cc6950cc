#include "replica/step_pace.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

namespace aurochs {
namespace {

constexpr uint64_t kRestMsMax = 100;

uint64_t MonotonicMs() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                   std::chrono::steady_clock::now().time_since_epoch())
                                   .count());
}

}  // namespace

StepPace::StepPace(ReplicaCore& core, std::function<void()> next)
    : core_(core), next_(std::move(next)), timer_(core.loop(), next_) {}

void StepPace::Begin() {
  requests_before_ = core_.path().requests_started();
}

void StepPace::Work(std::function<Status()> work, ReplicaCore::Done then) {
  auto took_ms = std::make_shared<uint64_t>();
  core_.Blocking(
      [took_ms, work = std::move(work)] {
        const uint64_t began_ms = MonotonicMs();
        Status status = work();
        *took_ms = MonotonicMs() - began_ms;
        return status;
      },
      [this, took_ms, then = std::move(then)](Status status) {
        took_ms_ = *took_ms;
        then(std::move(status));
      });
}

void StepPace::Rest() {
  if (core_.path().requests_started() == requests_before_) {
    // Through the loop, so that whoever waits gets in between two steps.
    core_.loop().Post(next_);
  } else {
    timer_.Start(std::clamp<uint64_t>(took_ms_, 1, kRestMsMax));
  }
}

}  // namespace aurochs
