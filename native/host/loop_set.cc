#include "host/loop_set.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/check.h"

namespace aurochs {

bool LoopDoor::Post(std::function<void()> task) {
  std::lock_guard lock(mutex_);
  if (loop_ == nullptr) return false;
  loop_->Post(std::move(task));
  return true;
}

void LoopDoor::Shut() {
  std::lock_guard lock(mutex_);
  loop_ = nullptr;
}

Result<std::unique_ptr<LoopSet>> LoopSet::Start(uint32_t count,
                                                std::optional<EventLoop::Backend> backend) {
  CHECK(count > 0);
  std::unique_ptr<LoopSet> set(new LoopSet);
  for (uint32_t i = 0; i < count; ++i) {
    auto thread = LoopThread::Start({.name = "aurochs-io" + std::to_string(i), .backend = backend});
    if (!thread.ok()) return thread.status();
    Member member;
    member.door = std::make_shared<LoopDoor>((*thread)->loop());
    member.thread = std::move(thread).value();
    set->members_.push_back(std::move(member));
  }
  return set;
}

LoopSet::~LoopSet() {
  for (Member& member : members_) member.door->Shut();
  // A loop destroys the tasks that it did not get to, and with them the answers they owe.
  // Everything is closed by now, so a task answers at once and posts to no other loop.
  for (Member& member : members_) member.thread->RunAndWait([] {});
}

LoopSet::Member& LoopSet::Assign() {
  auto least = std::ranges::min_element(members_, {}, &Member::volumes);
  ++least->volumes;
  return *least;
}

void LoopSet::Release(Member& member) {
  CHECK(member.volumes > 0);
  --member.volumes;
}

}  // namespace aurochs
