// How an event loop waits for the kernel: what epoll_backend.cc and uring_backend.cc implement.
// Private to io/.
//
// Thread: whichever runs the loop; also the creator's before Run and the destroyer's after it.
#pragma once

#include <memory>

#include "io/event_loop.h"
#include "io/file_op_list.h"
#include "io/loop_inbox.h"
#include "io/worker_pool.h"

namespace aurochs {

// One FdWatch. The backend keeps it after the FdWatch is gone for as long as events may name it.
struct WatchState {
  int fd = -1;
  FdHandler* handler = nullptr;  // null once the FdWatch is gone
  bool want_readable = false;
  bool want_writable = false;

  // For the backend:
  bool changed = false;  // on its list of changes
  bool known = false;    // on its list of watches, at `index`
  size_t index = 0;
  bool armed_readable = false;  // what the kernel has been asked to report
  bool armed_writable = false;
};

class LoopBackend {
 public:
  virtual ~LoopBackend() = default;

  // On the loop's thread, before the first turn.
  virtual Status Start() = 0;

  // The interest of `watch` has changed. Takes effect in the next Wait.
  virtual void InterestChanged(WatchState& watch) = 0;
  // The watch's handler is null. The kernel has let go of the descriptor on return.
  virtual void Release(std::unique_ptr<WatchState> watch) = 0;

  // Starts operations on real files. Each is delivered to its inbox or found by TakeFinished.
  virtual void SubmitFileOps(FileOpList ops) = 0;

  // Hands over what was gathered and waits for something to happen, for at most `timeout_ms`
  // (-1: no limit). With `only_deliveries`, descriptors are not waited for.
  virtual void Wait(int timeout_ms, bool only_deliveries) = 0;
  // Calls the handlers of what Wait has found.
  virtual void Dispatch() = 0;
  // The operations that the backend itself has finished since the last call.
  virtual FileOpList TakeFinished() = 0;

  // Whether there are operations that only the thread of Start can finish.
  virtual bool NeedsOwnThread() const { return false; }
  // Another thread than the one of Start runs the turns from now on, or no longer. On that other
  // thread, with the loop in its hands.
  virtual void SetStandIn(bool) {}

  // After the last turn.
  virtual void Finish() = 0;
};

Result<std::unique_ptr<LoopBackend>> CreateEpollBackend(LoopInbox& inbox,
                                                        std::shared_ptr<WorkerPool> pool);
Result<std::unique_ptr<LoopBackend>> CreateUringBackend(LoopInbox& inbox,
                                                        std::shared_ptr<WorkerPool> pool);

}  // namespace aurochs
