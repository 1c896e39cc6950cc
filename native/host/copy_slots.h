// How many more copies of snapshots a host may run at once, whatever volumes they are of.
//
// Thread: any.
#pragma once

#include <atomic>
#include <cstdint>

#include "base/check.h"
#include "base/limits.h"

namespace aurochs {

class CopySlots {
 public:
  // Every true is followed by one Give.
  [[nodiscard]] bool TryTake() {
    uint32_t taken = taken_;
    while (taken < kHostSnapshotCopiesMax) {
      if (taken_.compare_exchange_weak(taken, taken + 1)) return true;
    }
    return false;
  }
  void Give() { CHECK(taken_-- > 0); }

 private:
  std::atomic<uint32_t> taken_ = 0;
};

}  // namespace aurochs
