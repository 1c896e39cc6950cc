// Who runs the turns of an event loop: its own thread, or a stand-in while that thread is held up
// in a system call that should have been quick.
//
// The own thread lends the loop for the time of such a call. If it takes long, the stand-in takes
// the loop and runs its turns until the own thread asks for it back. At any moment one of them
// holds it, and each hand-over orders what the one did before what the other does. Private to io/.
//
// Thread: Lend and TakeBack: the loop's own. AwaitStall, IsWanted and GiveBack: the stand-in's.
//         Close: any.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>

namespace aurochs {

class LoopBaton {
 public:
  // From here on until TakeBack returns, the caller touches nothing of the loop.
  void Lend();
  // Ends the lending. If the stand-in has the loop, calls `wake` so that its turn ends soon, and
  // waits until it has given the loop back.
  void TakeBack(const std::function<void()>& wake);

  // Waits for a lending that lasts kLoopStallMs to twice that; then the loop is the caller's.
  // False: closed.
  bool AwaitStall();
  // Whether the own thread waits for the loop.
  bool IsWanted() const { return wanted_.load(std::memory_order_relaxed); }
  void GiveBack();

  // REQUIRES: the loop is not lent.
  void Close();

 private:
  // The low bits of lending_; above them the number of lendings so far.
  enum State : uint64_t { kHeld = 0, kLent = 1, kStoodIn = 2 };
  static constexpr uint64_t kStateMask = 3;
  static constexpr uint64_t kOneLending = kStateMask + 1;

  std::atomic<uint64_t> lending_{kHeld};
  std::atomic<bool> watched_{false};  // the stand-in looks every kLoopStallMs
  std::atomic<bool> wanted_{false};

  std::mutex mutex_;
  std::condition_variable changed_;
  bool closed_ = false;  // Guarded by mutex_.
};

}  // namespace aurochs
