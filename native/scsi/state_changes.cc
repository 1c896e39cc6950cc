// Changes of what the unit remembers. They take turns, because each builds on the one before, and a
// command is answered when its change is durable.
#include <utility>

#include "scsi/unit.h"

namespace aurochs::scsi {

void Unit::ChangeState(Task& task, void (Unit::*propose)(Task&, UnitState&),
                       void (Unit::*changed)(Task&, ErrorCode)) {
  task.propose = propose;
  task.changed = changed;
  changing_.push_back(&task);
  if (change_under_way_) return;
  change_under_way_ = true;
  RunChanges();
}

void Unit::RunChanges() {
  while (!changing_.empty()) {
    UnitState next = state_;
    Task& task = *changing_.front();
    (this->*task.propose)(task, next);
    auto bytes = EncodeUnitState(next);
    if (store_ != nullptr && bytes != saved_) {
      store_->Save(bytes,
                   [this, next = std::move(next), bytes](const aurochs::Status& status) mutable {
                     // What may not have come through is written again with the next change.
                     saved_ = status.ok() ? std::move(bytes) : std::vector<std::byte>();
                     FinishChange(std::move(next), status.code());
                     RunChanges();
                   });
      return;
    }
    FinishChange(std::move(next), ErrorCode::kOk);
  }
  change_under_way_ = false;
}

void Unit::FinishChange(UnitState next, ErrorCode result) {
  Task& task = *changing_.front();
  changing_.pop_front();
  if (result == ErrorCode::kOk) state_ = std::move(next);
  (this->*task.changed)(task, result);
}

}  // namespace aurochs::scsi
