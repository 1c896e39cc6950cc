// The data-path loops of one host, and the doors through which other threads reach them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "base/status.h"
#include "io/event_loop.h"

namespace aurochs {

// Lets tasks through to a loop until it is shut. Handles that outlive their host keep the door, not
// the loop.
//
// Thread: any.
class LoopDoor {
 public:
  explicit LoopDoor(EventLoop& loop) : loop_(&loop) {}

  // False once the door is shut; the task is then destroyed unrun.
  [[nodiscard]] bool Post(std::function<void()> task);
  void Shut();

 private:
  std::mutex mutex_;
  EventLoop* loop_;  // Guarded by mutex_. Null once shut.
};

// Thread: Assign and Release belong to the control loop; the rest is constant until destruction.
class LoopSet {
 public:
  struct Member {
    std::unique_ptr<LoopThread> thread;
    std::shared_ptr<LoopDoor> door;
    uint32_t volumes = 0;  // how many belong to it
  };

  static Result<std::unique_ptr<LoopSet>> Start(uint32_t count,
                                                std::optional<EventLoop::Backend> backend);
  // Shuts the doors, lets what was posted before run, and joins the threads. Not on a loop.
  ~LoopSet();

  // The first loop also runs the host's own state, the listeners and what the frontends call back.
  EventLoop& control() { return members_.front().thread->loop(); }
  // Runs `task` there and waits for it. Not on a loop.
  void RunOnControl(std::function<void()> task) {
    members_.front().thread->RunAndWait(std::move(task));
  }

  const std::vector<Member>& members() const { return members_; }

  // The loop with the fewest volumes now has one more.
  Member& Assign();
  void Release(Member& member);

 private:
  LoopSet() = default;
  std::vector<Member> members_;  // Never empty.
};

}  // namespace aurochs
