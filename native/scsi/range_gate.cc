#include "scsi/range_gate.h"

namespace aurochs::scsi {

bool RangeGate::Enter(Entry* entry) {
  CHECK(!entry->inside);
  entry->inside = true;
  entry->previous = last_;
  entry->next = nullptr;
  (last_ == nullptr ? first_ : last_->next) = entry;
  last_ = entry;
  if (entry->exclusive) ++exclusive_;
  entry->waiting = exclusive_ > 0 && Blocked(entry);
  if (entry->waiting) ++waiting_;
  return !entry->waiting;
}

void RangeGate::Leave(Entry* entry) {
  CHECK(entry->inside && !entry->waiting);
  (entry->previous == nullptr ? first_ : entry->previous->next) = entry->next;
  (entry->next == nullptr ? last_ : entry->next->previous) = entry->previous;
  if (entry->exclusive) --exclusive_;
  entry->inside = false;
}

RangeGate::Entry* RangeGate::TakeStartable() {
  if (waiting_ == 0) return nullptr;
  for (Entry* entry = first_; entry != nullptr; entry = entry->next) {
    if (!entry->waiting || Blocked(entry)) continue;
    entry->waiting = false;
    --waiting_;
    return entry;
  }
  return nullptr;
}

bool RangeGate::Blocked(const Entry* entry) const {
  for (const Entry* before = first_; before != entry; before = before->next) {
    if ((before->exclusive || entry->exclusive) && before->extent.Overlaps(entry->extent)) {
      return true;
    }
  }
  return false;
}

}  // namespace aurochs::scsi
