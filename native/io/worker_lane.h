// A queue and the threads that take from it. Items that have a key in common exclude each other:
// one thread at a time takes some of them as a batch, first come first served. Private to io/.
//
// Thread: any; the destructor runs when nothing is queued any more and nobody calls Submit.
#pragma once

#include <algorithm>
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
    // What an item must have for itself while it runs; null: nothing.
    const void* (*key)(const Item& item);
    // Whether `candidate`, of the same key, may be in the batch that begins with `first`.
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
    if (FindLocked().item != nullptr) AddThreadLocked();
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
      Place place = FindLocked();
      while (place.item == nullptr) {
        if (closing_) return;
        ++idle_threads_;
        work_or_closing_.wait(lock);
        --idle_threads_;
        place = FindLocked();
      }
      const void* const key = options_.key(*place.item);
      const Batch batch = TakeLocked(place);
      if (key != nullptr) busy_keys_.push_back(key);
      if (FindLocked().item != nullptr) AddThreadLocked();
      lock.unlock();
      options_.run(batch.first, batch.last);
      lock.lock();
      if (key != nullptr) std::erase(busy_keys_, key);
    }
  }

  // An item in the queue and the one before it.
  struct Place {
    Item* before = nullptr;
    Item* item = nullptr;
  };
  struct Batch {
    Item* first;
    Item* last;
  };

  bool IsBusyLocked(const void* key) const {
    return std::find(busy_keys_.begin(), busy_keys_.end(), key) != busy_keys_.end();
  }

  // The first item that may run now.
  Place FindLocked() const {
    Place place{nullptr, first_};
    while (place.item != nullptr && IsBusyLocked(options_.key(*place.item))) {
      place = {place.item, place.item->next};
    }
    return place;
  }

  Batch TakeLocked(Place place) {
    Item* const first = place.item;
    const void* const key = options_.key(*first);
    Batch batch{first, first};
    RemoveLocked(place);
    place.item = key == nullptr ? nullptr : first->next;
    for (uint32_t count = 1; count < options_.batch_max && place.item != nullptr;) {
      Item* const next = place.item->next;
      if (options_.key(*place.item) == key && options_.joins(*first, *place.item)) {
        RemoveLocked(place);
        batch.last->next = place.item;
        batch.last = place.item;
        ++count;
      } else {
        place.before = place.item;
      }
      place.item = next;
    }
    batch.last->next = nullptr;
    return batch;
  }

  void RemoveLocked(const Place& place) {
    (place.before == nullptr ? first_ : place.before->next) = place.item->next;
    if (last_ == place.item) last_ = place.before;
  }

  const Options options_;
  std::mutex mutex_;
  std::condition_variable work_or_closing_;
  // Guarded by mutex_:
  Item* first_ = nullptr;
  Item* last_ = nullptr;
  std::vector<std::unique_ptr<NativeThread>> threads_;
  std::vector<const void*> busy_keys_;
  uint32_t idle_threads_ = 0;
  bool closing_ = false;
};

}  // namespace aurochs
