// One thread that waits for sockets, files, timers and posted work, and runs their handlers.
//
// Two backends do the waiting and the file I/O: io_uring where the kernel allows it, else epoll
// with a pool of threads. Both behave alike; the choice is made once, in Create.
//
// A turn: wait, run what became ready, then run the turn-end tasks. Work that gains from batching
// (answers to send, file operations to submit) is gathered during the turn and handed to the kernel
// at its end, so one system call serves every request of the turn.
//
// Thread:    Run() makes the calling thread the loop's thread. Every other method belongs to that
//            thread, except Post(), Stop() and the const accessors, which any thread may call.
// Ownership: handlers and operations belong to their users and must outlive their registration.
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "base/native_thread.h"
#include "base/status.h"

namespace aurochs {

class EventLoop;
class File;
class LoopBaton;
class LoopInbox;
struct TimerState;
struct WatchState;

// One asynchronous file operation. The submitter keeps it alive until `complete` runs, on the
// loop's thread and never before SubmitFileOp has returned. Short transfers are continued by the
// loop; bytes read past the end of the file are zeros.
struct FileOp {
  enum class Kind : uint8_t { kRead, kWrite, kSyncData, kPunchHole };

  Kind kind = Kind::kRead;
  File* file = nullptr;
  std::span<const iovec> iov;  // kRead, kWrite; at most kIovecsMax; the array stays valid too
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;  // sum of iov for kRead and kWrite
  void (*complete)(FileOp* op, ErrorCode result) = nullptr;

  // For the loop while it owns the operation.
  FileOp* next = nullptr;
  LoopInbox* inbox = nullptr;
  uint64_t done_bytes = 0;
  ErrorCode result = ErrorCode::kOk;
};

// Work that runs once at the end of the turn in which it was asked for.
class TurnEndTask {
 public:
  virtual void OnTurnEnd() = 0;

 protected:
  TurnEndTask() = default;
  ~TurnEndTask() = default;  // Must not be queued any more: EventLoop::CancelTurnEnd.

 private:
  friend class EventLoop;
  TurnEndTask* next_turn_end_ = nullptr;
  bool turn_end_queued_ = false;
};

// Calls a handler once after a delay. Restarting replaces the old deadline.
class Timer {
 public:
  Timer(EventLoop& loop, std::function<void()> on_expiry);
  ~Timer();  // Cancels; may run inside the handler.
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void Start(uint64_t delay_ms);
  void Cancel();
  bool active() const;

 private:
  EventLoop& loop_;
  std::unique_ptr<TimerState> state_;
};

// What a descriptor's owner hears. Level-triggered: while interest is on and the descriptor is
// ready, the handler is called once a turn. An error or hang-up is reported as ready for whatever
// is of interest, so that the next system call tells.
class FdHandler {
 public:
  virtual void OnReadable() = 0;
  virtual void OnWritable() = 0;

 protected:
  ~FdHandler() = default;
};

// Registration of one descriptor with one loop. It ends before the descriptor is closed.
class FdWatch {
 public:
  // Without interest at first.
  FdWatch(EventLoop& loop, int fd, FdHandler& handler);
  ~FdWatch();  // No handler call follows; may run inside the handler.
  FdWatch(const FdWatch&) = delete;
  FdWatch& operator=(const FdWatch&) = delete;

  // Costs nothing until the end of the turn; repeated calls in one turn cost as much as one.
  void SetInterest(bool readable, bool writable);

 private:
  EventLoop& loop_;
  std::unique_ptr<WatchState> state_;
};

class EventLoop {
 public:
  enum class Backend : uint8_t { kIoUring, kEpoll };

  struct Options {
    std::string name;                // thread name, at most 15 characters
    std::optional<Backend> backend;  // default: kIoUring where IoUringAvailable() is Ok
    bool blocking_inline = false;    // RunBlocking works on the loop's thread: for simulations, so
                                     // that a run with simulated files repeats exactly
  };

  static Result<std::unique_ptr<EventLoop>> Create(Options options);
  // Whether this process may use io_uring, and if not, why (for `doctor`).
  static Status IoUringAvailable();

  ~EventLoop();  // Not while it runs.
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  Backend backend() const;
  bool InLoopThread() const;

  // Runs turns until Stop(), once. The turn in which it is stopped is the last that calls handlers
  // of descriptors and timers. Tasks posted before Stop() are run, and file operations and blocking
  // work in flight are completed before Run returns. Timers and watches may be made before Run and
  // destroyed after it.
  void Run();
  void Stop();

  // Runs `task` on the loop's thread, in the order of posting. Tasks posted after the last turn are
  // destroyed unrun with the loop.
  void Post(std::function<void()> task);

  // Asking twice is asking once. A task that is asked for while turn-end tasks run still runs in
  // the same turn, so what one task completes another can send.
  void RunAtTurnEnd(TurnEndTask& task);
  void CancelTurnEnd(TurnEndTask& task);

  // Begun at the end of the turn: by the kernel, the worker pool or, for writes that are expected
  // not to wait, this thread. Operations in flight together take effect in any order. Operations on
  // a file without a descriptor (the simulated disk) are run on the loop's thread, in order.
  void SubmitFileOp(FileOp* op);

  // Runs `work` on a thread of the process-wide worker pool, then `done` on the loop's thread.
  void RunBlocking(std::function<void()> work, std::function<void()> done);

  // Monotonic, read once a turn.
  uint64_t now_ms() const;

 private:
  friend class FdWatch;
  friend class LoopThread;
  friend class Timer;
  class Impl;
  explicit EventLoop(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// A loop with a thread of its own, and a stand-in that runs the loop while that thread is held up
// in a write to a file: "the loop's thread" is then the stand-in. The destructor stops the loop and
// joins the threads.
class LoopThread {
 public:
  static Result<std::unique_ptr<LoopThread>> Start(EventLoop::Options options);
  ~LoopThread();

  EventLoop& loop() { return *loop_; }
  // Runs `task` on the loop and waits for it. Not from the loop's own thread.
  void RunAndWait(std::function<void()> task);

 private:
  explicit LoopThread(std::unique_ptr<EventLoop> loop);
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<LoopBaton> baton_;
  std::unique_ptr<NativeThread> thread_;    // null only while Start has not started it
  std::unique_ptr<NativeThread> stand_in_;  // likewise
};

}  // namespace aurochs
