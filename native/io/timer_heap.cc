#include "io/timer_heap.h"

#include "base/check.h"

namespace aurochs {

void TimerHeap::Add(TimerState& timer, uint64_t deadline_ns) {
  CHECK(timer.heap_index == TimerState::kInactive);
  timer.deadline_ns = deadline_ns;
  heap_.push_back(&timer);
  timer.heap_index = heap_.size() - 1;
  SiftUp(timer.heap_index);
}

void TimerHeap::Remove(TimerState& timer) {
  const size_t index = timer.heap_index;
  CHECK(index < heap_.size() && heap_[index] == &timer);
  timer.heap_index = TimerState::kInactive;
  TimerState* const last = heap_.back();
  heap_.pop_back();
  if (last == &timer) return;
  Place(last, index);
  SiftUp(index);
  SiftDown(last->heap_index);
}

void TimerHeap::Place(TimerState* timer, size_t index) {
  heap_[index] = timer;
  timer->heap_index = index;
}

void TimerHeap::SiftUp(size_t index) {
  TimerState* const timer = heap_[index];
  while (index > 0) {
    const size_t parent = (index - 1) / 2;
    if (heap_[parent]->deadline_ns <= timer->deadline_ns) break;
    Place(heap_[parent], index);
    index = parent;
  }
  Place(timer, index);
}

void TimerHeap::SiftDown(size_t index) {
  TimerState* const timer = heap_[index];
  while (true) {
    size_t child = 2 * index + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1]->deadline_ns < heap_[child]->deadline_ns) {
      ++child;
    }
    if (timer->deadline_ns <= heap_[child]->deadline_ns) break;
    Place(heap_[child], index);
    index = child;
  }
  Place(timer, index);
}

}  // namespace aurochs
