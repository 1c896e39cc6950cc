#include "io/loop_baton.h"

#include <chrono>

#include "base/check.h"
#include "base/limits.h"

namespace aurochs {
namespace {

constexpr std::chrono::milliseconds kPeriod{kLoopStallMs};

}  // namespace

// Sequentially consistent, with AwaitStall: either this sees that nobody watches, or the stand-in
// sees the lending before it goes to sleep.
void LoopBaton::Lend() {
  lending_.store((lending_.load(std::memory_order_relaxed) & ~kStateMask) + kOneLending + kLent);
  if (watched_.load()) return;
  std::lock_guard lock(mutex_);
  watched_ = true;
  changed_.notify_all();
}

void LoopBaton::TakeBack(const std::function<void()>& wake) {
  uint64_t lent = lending_.load(std::memory_order_relaxed);
  if ((lent & kStateMask) == kLent &&
      lending_.compare_exchange_strong(lent, lent - kLent + kHeld)) {
    return;
  }
  std::unique_lock lock(mutex_);
  wanted_ = true;
  wake();
  changed_.wait(lock, [&] { return (lending_.load() & kStateMask) == kHeld; });
  wanted_ = false;
}

bool LoopBaton::AwaitStall() {
  std::unique_lock lock(mutex_);
  uint64_t seen = lending_.load();
  uint32_t quiet_periods = 0;
  while (!closed_) {
    if (quiet_periods == kLoopQuietPeriodsMax) {
      watched_ = false;
      if (lending_.load() == seen) changed_.wait(lock, [&] { return closed_ || watched_.load(); });
      watched_ = true;
      quiet_periods = 0;
    } else {
      changed_.wait_for(lock, kPeriod, [&] { return closed_; });
    }
    const uint64_t now = lending_.load();
    quiet_periods = now == seen ? quiet_periods + 1 : 0;
    if (now != seen || (now & kStateMask) != kLent) {
      seen = now;
      continue;
    }
    uint64_t lent = now;
    if (lending_.compare_exchange_strong(lent, now - kLent + kStoodIn)) return true;
  }
  return false;
}

void LoopBaton::GiveBack() {
  std::lock_guard lock(mutex_);
  CHECK((lending_.load() & kStateMask) == kStoodIn);
  lending_.fetch_sub(kStoodIn - kHeld);
  changed_.notify_all();
}

void LoopBaton::Close() {
  std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

}  // namespace aurochs
