#include "io/worker_lane.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

namespace aurochs {
namespace {

// Knows what runs, and holds it while it is closed.
class Gate {
 public:
  void Enter(int key, int count) {
    std::unique_lock lock(mutex_);
    running_.push_back(key);
    batches_.push_back(count);
    changed_.notify_all();
    changed_.wait(lock, [&] { return is_open_ || key == passing_key_; });
    running_.erase(std::find(running_.begin(), running_.end(), key));
    finished_ += count;
    changed_.notify_all();
  }
  void Open() {
    std::lock_guard lock(mutex_);
    is_open_ = true;
    changed_.notify_all();
  }
  void LetPass(int key) {
    std::lock_guard lock(mutex_);
    passing_key_ = key;
    changed_.notify_all();
  }
  void WaitUntilRunning(size_t count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return running_.size() == count; });
  }
  void WaitUntilFinished(int count) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return finished_ == count; });
  }
  std::vector<int> running() {
    std::lock_guard lock(mutex_);
    return running_;
  }
  std::vector<int> batches() {
    std::lock_guard lock(mutex_);
    return batches_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<int> running_;
  std::vector<int> batches_;
  int finished_ = 0;
  int passing_key_ = -1;
  bool is_open_ = false;
};

struct Item {
  Item* next = nullptr;
  int key = 0;  // 0: none
  Gate* gate = nullptr;
};

const int kKeys[] = {0, 1, 2, 3};

WorkerLane<Item>::Options LaneOptions(uint32_t threads_max) {
  return {.thread_name = "lane",
          .threads_max = threads_max,
          .batch_max = 4,
          .key = [](const Item& item) -> const void* {
            return item.key == 0 ? nullptr : &kKeys[item.key];
          },
          .joins = [](const Item&, const Item&) { return true; },
          .run =
              [](Item* first, Item* last) {
                int count = 1;
                for (Item* item = first; item != last; item = item->next) ++count;
                EXPECT_EQ(last->next, nullptr);
                first->gate->Enter(first->key, count);
              }};
}

// Submits one item per key as one chain.
class WorkerLaneTest : public testing::Test {
 protected:
  void Submit(WorkerLane<Item>& lane, std::vector<int> keys) {
    Item* first = nullptr;
    Item* last = nullptr;
    for (int key : keys) {
      items_.push_back(std::make_unique<Item>(Item{nullptr, key, &gate_}));
      (last == nullptr ? first : last->next) = items_.back().get();
      last = items_.back().get();
    }
    lane.Submit(first, last);
  }

  Gate gate_;
  std::vector<std::unique_ptr<Item>> items_;
};

TEST_F(WorkerLaneTest, RunsItemsWithoutAKeyAtTheSameTimeUpToItsThreads) {
  WorkerLane<Item> lane(LaneOptions(3));
  Submit(lane, {0, 0, 0, 0, 0});
  gate_.WaitUntilRunning(3);
  gate_.Open();
  gate_.WaitUntilFinished(5);
  EXPECT_EQ(gate_.batches(), (std::vector<int>{1, 1, 1, 1, 1}));
}

TEST_F(WorkerLaneTest, TakesItemsOfOneKeyTogetherPastThoseOfOthers) {
  WorkerLane<Item> lane(LaneOptions(8));
  Submit(lane, {1, 2, 1, 2, 1, 3, 1, 1});
  gate_.WaitUntilRunning(3);  // One batch of each key; the fifth of key 1 waits.
  std::vector<int> running = gate_.running();
  std::sort(running.begin(), running.end());
  EXPECT_EQ(running, (std::vector<int>{1, 2, 3}));
  gate_.Open();
  gate_.WaitUntilFinished(8);
  std::vector<int> batches = gate_.batches();
  std::sort(batches.begin(), batches.end());
  EXPECT_EQ(batches, (std::vector<int>{1, 1, 2, 4}));
}

TEST_F(WorkerLaneTest, AKeyThatIsStuckHoldsUpNoOther) {
  WorkerLane<Item> lane(LaneOptions(2));
  Submit(lane, {1});
  gate_.WaitUntilRunning(1);
  gate_.LetPass(2);
  Submit(lane, {1, 1, 2, 1, 2});
  gate_.WaitUntilFinished(2);  // Both of key 2.
  EXPECT_EQ(gate_.running(), (std::vector<int>{1}));
  Submit(lane, {2});
  gate_.WaitUntilFinished(3);
  gate_.Open();
  gate_.WaitUntilFinished(7);
}

TEST_F(WorkerLaneTest, RunsWhatArrivesWhileItsThreadsAreIdle) {
  WorkerLane<Item> lane(LaneOptions(2));
  gate_.Open();
  for (int i = 1; i <= 100; ++i) {
    Submit(lane, {i % 4});
    gate_.WaitUntilFinished(i);
  }
}

}  // namespace
}  // namespace aurochs
