// Syncs of one file, shared by all who ask: whoever asks while a sync runs waits for the next one,
// which then serves everybody who is waiting (D1).
//
// A sync that fails is never tried again (D4): every later one fails with kIo.
//
// Thread: the replica's loop.
#pragma once

#include <functional>

#include "base/status.h"
#include "io/event_loop.h"

namespace aurochs {

class SharedSync {
 public:
  struct Waiter {
    void (*complete)(Waiter* waiter, ErrorCode result) = nullptr;
    Waiter* next = nullptr;
  };

  // `on_failure` is called once, before the waiters of the sync that failed.
  SharedSync(EventLoop& loop, std::function<void()> on_failure);
  ~SharedSync();
  SharedSync(const SharedSync&) = delete;
  SharedSync& operator=(const SharedSync&) = delete;

  // Takes up another file (nullptr: none, nothing ever to sync). REQUIRES: no sync runs.
  // `dirty`: whether it may hold what is not durable, as any file does that was just opened.
  void Bind(File* file, bool dirty);

  // Something was written to the file. Called before its writer hears of it.
  void MarkDirty() { dirty_ = operation_.file != nullptr; }

  // Calls back, perhaps at once, when all that was written before this call is durable.
  void Sync(Waiter* waiter);

 private:
  void Start();
  void Finish(ErrorCode result);

  struct Operation : FileOp {
    SharedSync* owner = nullptr;
  };

  EventLoop& loop_;
  std::function<void()> on_failure_;
  Operation operation_;
  bool running_ = false;
  bool dirty_ = false;  // since the last sync began
  bool failed_ = false;
  Waiter* waiting_ = nullptr;  // for the next sync
  Waiter* served_ = nullptr;   // by the one that runs
};

}  // namespace aurochs
