// What other threads deliver to an event loop: posted tasks, finished file operations, finished
// blocking work and the wish to stop. Private to io/.
//
// Thread: Post, Finish and Stop from any thread; the rest from the loop's.
#pragma once

#include <functional>
#include <mutex>
#include <vector>

#include "base/unique_fd.h"
#include "io/event_loop.h"
#include "io/file_op_list.h"

namespace aurochs {

// One EventLoop::RunBlocking. Made and destroyed by the loop's thread.
struct BlockingJob {
  std::function<void()> work;
  std::function<void()> done;
  LoopInbox* inbox = nullptr;
  BlockingJob* next = nullptr;
};

class LoopInbox {
 public:
  struct Contents {
    std::vector<std::function<void()>> tasks;
    FileOpList finished_ops;
    BlockingJob* finished_jobs = nullptr;
  };

  static Result<std::unique_ptr<LoopInbox>> Create();

  // Readable once a delivery has found the loop asleep.
  int wake_fd() const { return wake_fd_.get(); }
  // REQUIRES: wake_fd is readable.
  void EmptyWakeFd();

  void Post(std::function<void()> task);
  void Finish(FileOpList ops);
  void Finish(BlockingJob* job);
  void Stop();

  // Whether there is nothing to take; from then until Take, the first delivery makes wake_fd
  // readable.
  bool PrepareToSleep();
  // Moves everything into `contents`, whose lists and vector must be empty. True once stopped.
  bool Take(Contents& contents);

 private:
  explicit LoopInbox(UniqueFd wake_fd) : wake_fd_(std::move(wake_fd)) {}
  void WakeLocked();

  const UniqueFd wake_fd_;
  std::mutex mutex_;
  // Guarded by mutex_:
  std::vector<std::function<void()>> tasks_;
  FileOpList finished_ops_;
  BlockingJob* jobs_first_ = nullptr;
  BlockingJob* jobs_last_ = nullptr;
  bool asleep_ = false;
  bool stopped_ = false;
  bool stop_taken_ = false;
};

}  // namespace aurochs
