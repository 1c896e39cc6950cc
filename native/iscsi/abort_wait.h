// Calls back when the last task has gone that a task management function or a logout waits for
// (W6).
//
// Thread: of the target.
#pragma once

#include <cstdint>
#include <functional>
#include <utility>

#include "base/check.h"

namespace aurochs::iscsi {

class AbortWait {
 public:
  explicit AbortWait(std::function<void()> done) : done_(std::move(done)) {}

  void Enter() { ++inside_; }
  void Leave() {
    CHECK(inside_ > 0);
    if (--inside_ == 0) std::exchange(done_, nullptr)();
  }

 private:
  uint64_t inside_ = 0;
  std::function<void()> done_;
};

}  // namespace aurochs::iscsi
