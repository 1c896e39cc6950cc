// The timers of one loop, the earliest first: a binary heap whose entries know their place, so that
// starting and cancelling allocate nothing. Private to io/.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

namespace aurochs {

struct TimerState {
  static constexpr size_t kInactive = SIZE_MAX;

  std::function<void()> on_expiry;
  uint64_t deadline_ns = 0;
  size_t heap_index = kInactive;
};

class TimerHeap {
 public:
  bool empty() const { return heap_.empty(); }
  TimerState& earliest() const { return *heap_.front(); }

  // REQUIRES: the timer is inactive.
  void Add(TimerState& timer, uint64_t deadline_ns);
  // REQUIRES: the timer is active.
  void Remove(TimerState& timer);

 private:
  void Place(TimerState* timer, size_t index);
  void SiftUp(size_t index);
  void SiftDown(size_t index);

  std::vector<TimerState*> heap_;
};

}  // namespace aurochs
