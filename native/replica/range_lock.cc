#include "replica/range_lock.h"

#include "base/check.h"

namespace aurochs {

RangeLock::~RangeLock() {
  CHECK(first_ == nullptr);
}

bool RangeLock::Acquire(Holder* holder, const Extent& extent, bool exclusive) {
  holder->extent = extent;
  holder->exclusive = exclusive;
  holder->next_ready = nullptr;
  holder->after = nullptr;
  holder->before = last_;
  (last_ != nullptr ? last_->after : first_) = holder;
  last_ = holder;
  if (exclusive) ++exclusive_count_;

  const bool alone = exclusive_count_ == 0 || first_ == holder;
  holder->granted = alone || !MustWait(*holder);
  if (!holder->granted) ++waiting_count_;
  return holder->granted;
}

void RangeLock::Release(Holder* holder) {
  CHECK(holder->granted);
  Unlink(holder);
  if (waiting_count_ > 0) GrantWaiting();
}

bool RangeLock::MustWait(const Holder& holder) const {
  for (const Holder* earlier = holder.before; earlier != nullptr; earlier = earlier->before) {
    if ((holder.exclusive || earlier->exclusive) && earlier->extent.Overlaps(holder.extent)) {
      return true;
    }
  }
  return false;
}

void RangeLock::GrantWaiting() {
  for (Holder* holder = first_; holder != nullptr && waiting_count_ > 0; holder = holder->after) {
    if (holder->granted || MustWait(*holder)) continue;
    holder->granted = true;
    --waiting_count_;
    (ready_last_ != nullptr ? ready_last_->next_ready : ready_first_) = holder;
    ready_last_ = holder;
  }
  if (telling_) return;  // A holder that is told may release; the outer call tells the rest.
  telling_ = true;
  while (ready_first_ != nullptr) {
    Holder* holder = ready_first_;
    ready_first_ = holder->next_ready;
    if (ready_first_ == nullptr) ready_last_ = nullptr;
    holder->on_granted(holder);
  }
  telling_ = false;
}

void RangeLock::Unlink(Holder* holder) {
  (holder->before != nullptr ? holder->before->after : first_) = holder->after;
  (holder->after != nullptr ? holder->after->before : last_) = holder->before;
  if (holder->exclusive) --exclusive_count_;
}

}  // namespace aurochs
