#include "replica/shared_sync.h"

#include <utility>

namespace aurochs {

SharedSync::SharedSync(EventLoop& loop, std::function<void()> on_failure)
    : loop_(loop), on_failure_(std::move(on_failure)) {
  operation_.owner = this;
  operation_.kind = FileOp::Kind::kSyncData;
  operation_.complete = [](FileOp* op, ErrorCode result) {
    static_cast<Operation*>(op)->owner->Finish(result);
  };
}

SharedSync::~SharedSync() {
  CHECK(!running_);
}

void SharedSync::Bind(File* file, bool dirty) {
  CHECK(!running_);
  operation_.file = file;
  dirty_ = dirty && file != nullptr;
}

void SharedSync::Sync(Waiter* waiter) {
  if (failed_) {
    waiter->complete(waiter, ErrorCode::kIo);
    return;
  }
  if (!running_ && !dirty_) {
    waiter->complete(waiter, ErrorCode::kOk);
    return;
  }
  // With nothing written since it began, the sync that runs covers this caller too.
  Waiter*& list = running_ && !dirty_ ? served_ : waiting_;
  waiter->next = std::exchange(list, waiter);
  if (!running_) Start();
}

void SharedSync::Start() {
  CHECK(operation_.file != nullptr);
  running_ = true;
  dirty_ = false;
  served_ = std::exchange(waiting_, nullptr);
  loop_.SubmitFileOp(&operation_);
}

void SharedSync::Finish(ErrorCode result) {
  running_ = false;
  Waiter* done = std::exchange(served_, nullptr);
  if (result != ErrorCode::kOk) {
    failed_ = true;
    while (waiting_ != nullptr) {  // They asked for what can no longer be promised.
      Waiter* waiter = std::exchange(waiting_, waiting_->next);
      waiter->next = std::exchange(done, waiter);
    }
    on_failure_();
    result = ErrorCode::kIo;
  } else if (waiting_ != nullptr) {
    Start();
  }
  while (done != nullptr) {
    Waiter* waiter = std::exchange(done, done->next);
    waiter->complete(waiter, result);
  }
}

}  // namespace aurochs
