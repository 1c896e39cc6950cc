// A queue and the threads that take from it. Private to io/.
//
// Thread: any; the destructor runs when nothing is queued any more and nobody calls Submit.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/native_thread.h"

namespace aurochs {

// `Item` is a list node: it has a member `Item* next`.
template <typename Item>
class WorkerLane {
 public:
  struct Options {
    const char* thread_name;
    uint32_t threads_max;
    uint32_t batch_max;
    // Whether a thread may take `candidate` together with the batch that begins with `first`.
    bool (*joins)(const Item& first, const Item& candidate);
    // Runs a chain; owns none of its items.
    void (*run)(Item* first, Item* last);
  };

  explicit WorkerLane(Options options) : options_(options) {}

  ~WorkerLane() {
    {
      std::lock_guard lock(mutex_);
      CHECK(first_ == nullptr);
      closing_ = true;
    }
    work_or_closing_.notify_all();
    for (const auto& thread : threads_) thread->Join();
  }

  // Queues the chain from `first` to `last`.
  void Submit(Item* first, Item* last) {
    std::lock_guard lock(mutex_);
    last->next = nullptr;
    (last_ == nullptr ? first_ : last_->next) = first;
    last_ = last;
    AddThreadLocked();
  }

 private:
  // Puts one more thread to work. A thread that takes a batch and leaves something does so again.
  void AddThreadLocked() {
    if (idle_threads_ > 0) {
      work_or_closing_.notify_one();
      return;
    }
    if (threads_.size() == options_.threads_max) return;
    auto thread = NativeThread::Start(options_.thread_name, [this] { Work(); });
    if (thread.ok()) {
      threads_.push_back(std::move(*thread));
    } else {
      CHECK(!threads_.empty());  // With none at all the work would never be done.
    }
  }

  void Work() {
    std::unique_lock lock(mutex_);
    while (true) {
      while (first_ == nullptr) {
        if (closing_) return;
        ++idle_threads_;
        work_or_closing_.wait(lock);
        --idle_threads_;
      }
      Item* const first = first_;
      Item* const last = TakeBatchLocked();
      if (first_ != nullptr) AddThreadLocked();
      lock.unlock();
      options_.run(first, last);
      lock.lock();
    }
  }

  // Returns the last item of the batch.
  Item* TakeBatchLocked() {
    Item* const first = first_;
    Item* last = first;
    for (uint32_t count = 1; count < options_.batch_max && last->next != nullptr; ++count) {
      if (!options_.joins(*first, *last->next)) break;
      last = last->next;
    }
    first_ = last->next;
    if (first_ == nullptr) last_ = nullptr;
    last->next = nullptr;
    return last;
  }

  const Options options_;
  std::mutex mutex_;
  std::condition_variable work_or_closing_;
  // Guarded by mutex_:
  Item* first_ = nullptr;
  Item* last_ = nullptr;
  std::vector<std::unique_ptr<NativeThread>> threads_;
  uint32_t idle_threads_ = 0;
  bool closing_ = false;
};

}  // namespace aurochs
