#include "io/loop_inbox.h"

#include <sys/eventfd.h>

#include <cerrno>
#include <utility>

namespace aurochs {

Result<std::unique_ptr<LoopInbox>> LoopInbox::Create() {
  UniqueFd wake_fd(::eventfd(0, EFD_CLOEXEC));
  if (!wake_fd.valid()) return Status::FromErrno(errno, "eventfd for an event loop");
  return std::unique_ptr<LoopInbox>(new LoopInbox(std::move(wake_fd)));
}

void LoopInbox::Post(std::function<void()> task) {
  std::lock_guard lock(mutex_);
  tasks_.push_back(std::move(task));
  WakeLocked();
}

void LoopInbox::Finish(FileOpList ops) {
  std::lock_guard lock(mutex_);
  finished_ops_.Append(ops);
  WakeLocked();
}

void LoopInbox::Finish(BlockingJob* job) {
  std::lock_guard lock(mutex_);
  (jobs_last_ == nullptr ? jobs_first_ : jobs_last_->next) = job;
  jobs_last_ = job;
  WakeLocked();
}

void LoopInbox::Stop() {
  std::lock_guard lock(mutex_);
  stopped_ = true;
  WakeLocked();
}

bool LoopInbox::PrepareToSleep() {
  std::lock_guard lock(mutex_);
  asleep_ =
      tasks_.empty() && finished_ops_.empty() && jobs_first_ == nullptr && stopped_ == stop_taken_;
  return asleep_;
}

void LoopInbox::EmptyWakeFd() {
  uint64_t count;
  const ssize_t read_bytes = ::read(wake_fd_.get(), &count, sizeof count);
  CHECK(read_bytes == sizeof count);
}

bool LoopInbox::Take(Contents& contents) {
  std::lock_guard lock(mutex_);
  asleep_ = false;
  contents.tasks.swap(tasks_);
  contents.finished_ops = finished_ops_.TakeAll();
  contents.finished_jobs = std::exchange(jobs_first_, nullptr);
  jobs_last_ = nullptr;
  stop_taken_ = stopped_;
  return stopped_;
}

// Writes under the lock: once the delivery has been taken the loop may end and close the
// descriptor.
void LoopInbox::WakeLocked() {
  if (!std::exchange(asleep_, false)) return;
  const uint64_t one = 1;
  // Cannot fail: the loop empties the counter every time it wakes.
  const ssize_t written = ::write(wake_fd_.get(), &one, sizeof one);
  CHECK(written == sizeof one);
}

}  // namespace aurochs
