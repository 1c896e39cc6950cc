// Counts the work in flight on a replica, and closes for a barrier: new work stays outside until
// what is inside has left and the barrier's step is done.
//
// Thread: the replica's loop.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "base/check.h"

namespace aurochs {

class AdmissionGate {
 public:
  bool closed() const { return closed_; }
  uint64_t inside() const { return inside_; }

  // REQUIRES: not closed, or the caller is inside already and enters for a part of its work.
  void Enter() { ++inside_; }
  void Leave() {
    CHECK(inside_ > 0);
    --inside_;
    if (inside_ == 0 && drained_) std::exchange(drained_, nullptr)();
  }

  // Lets nobody in; calls `drained` (perhaps at once) when nobody is inside.
  void Close(std::function<void()> drained) {
    CHECK(!closed_);
    closed_ = true;
    if (inside_ == 0) {
      drained();
    } else {
      drained_ = std::move(drained);
    }
  }
  // The owner then lets in what it held back.
  void Open() {
    CHECK(closed_ && inside_ == 0);
    closed_ = false;
  }

 private:
  uint64_t inside_ = 0;
  bool closed_ = false;
  std::function<void()> drained_;  // set while a barrier waits
};

}  // namespace aurochs
