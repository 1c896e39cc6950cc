// Requests that meet: what one changes while another looks.
#include <gtest/gtest.h>

#include <algorithm>
#include <future>
#include <memory>
#include <vector>

#include "replica/range_lock.h"
#include "support/block_io.h"
#include "support/gated_directory.h"
#include "support/replica_rig.h"
#include "support/sim_directory.h"

namespace aurochs {
namespace {

using test::Bytes;
using test::GatedDirectory;
using test::kReplicaId;
using test::kVolumeId;
using test::ReplicaRig;
using test::ScanGate;

constexpr uint64_t kBlock = kBlockBytes;

class ReplicaRaces : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(CreateReplica(*disk_.Root(), "r", {kVolumeId, kReplicaId, 8 * kMiB}).ok());
    Open();
    ASSERT_EQ(rig_.Fill(0, 16 * kBlock, 1), ErrorCode::kOk);
    ASSERT_TRUE(rig_.Snapshot("a").ok());
    ASSERT_EQ(rig_.Unmap(15 * kBlock, kBlock), ErrorCode::kOk);  // The head has a zero map.
    ASSERT_TRUE(rig_.Close().ok());
    Open();  // Nothing is known of any region.
  }
  void TearDown() override {
    gate_.Open();
    if (rig_.is_open()) (void)rig_.Close();
  }
  void Open() {
    auto directory = disk_.Root()->OpenDirectory("r").value();
    ASSERT_TRUE(rig_.Open(std::make_unique<GatedDirectory>(std::move(directory), gate_)).ok());
  }
  // A read whose scan has seen the files and not told yet.
  std::future<std::vector<std::byte>> StartReadThatScans(uint64_t offset_bytes, size_t count) {
    gate_.Close();
    auto read =
        std::async(std::launch::async, [=, this] { return rig_.Read(offset_bytes, count); });
    gate_.AwaitWaiting();
    return read;
  }

  SimDisk disk_;
  ScanGate gate_;
  ReplicaRig rig_{false};
};

TEST_F(ReplicaRaces, AWriteThatEndsWhileItsRegionIsScannedIsSeenAfterwards) {
  auto read = StartReadThatScans(0, kBlock);
  EXPECT_EQ(rig_.Fill(0, 2 * kBlock, 2), ErrorCode::kOk);
  gate_.Open();
  (void)read.get();  // Before or after the write: it was under way with it.
  EXPECT_EQ(rig_.Read(0, 3 * kBlock)[0], std::byte{2});
  EXPECT_EQ(rig_.Read(kBlock, kBlock), Bytes(kBlock, 2));
  EXPECT_EQ(rig_.Read(2 * kBlock, kBlock), Bytes(kBlock, 1));
}

TEST_F(ReplicaRaces, AWriteThatFailsWhileItsRegionIsScannedMakesItScannedAgain) {
  auto read = StartReadThatScans(0, kBlock);
  disk_.SetCapacityBytes(17 * kBlock + 4096);  // Room for one block of the two.
  EXPECT_EQ(rig_.Fill(0, 2 * kBlock, 2), ErrorCode::kNoSpace);
  gate_.Open();
  (void)read.get();
  const auto before = rig_.Read(0, 2 * kBlock);
  ASSERT_TRUE(rig_.Close().ok());
  Open();
  EXPECT_EQ(rig_.Read(0, 2 * kBlock), before);
}

TEST_F(ReplicaRaces, PartsOfABlockWrittenAtOnceAllArrive) {
  for (int round = 0; round < 20; ++round) {
    const auto value = static_cast<uint8_t>(10 + round);
    std::vector<std::future<ErrorCode>> writes;
    for (uint64_t sector = 0; sector < 24; ++sector) {
      writes.push_back(std::async(std::launch::async, [this, sector, value] {
        return rig_.Fill(sector * 512, 512, value);
      }));
    }
    for (auto& write : writes) EXPECT_EQ(write.get(), ErrorCode::kOk);
    EXPECT_EQ(rig_.Read(0, 3 * kBlock), Bytes(3 * kBlock, value));
    EXPECT_EQ(rig_.Read(3 * kBlock, kBlock), Bytes(kBlock, 1));
    // Again into a head that holds none of the blocks.
    ASSERT_TRUE(rig_.Snapshot("round" + std::to_string(round)).ok());
  }
}

TEST_F(ReplicaRaces, APartlyWrittenBlockAndAnUnmapOfItLeaveOneOfTheTwo) {
  for (int round = 0; round < 50; ++round) {
    ASSERT_EQ(rig_.Fill(0, kBlock, 1), ErrorCode::kOk);
    auto write = std::async(std::launch::async, [this] { return rig_.Fill(512, 512, 2); });
    auto unmap = std::async(std::launch::async, [this] { return rig_.Unmap(0, kBlock); });
    EXPECT_EQ(write.get(), ErrorCode::kOk);
    EXPECT_EQ(unmap.get(), ErrorCode::kOk);
    const auto read = rig_.Read(0, kBlock);
    EXPECT_EQ(read[0], std::byte{0}) << "the unmap is over";
    EXPECT_TRUE(read[512] == std::byte{0} || read[512] == std::byte{2});
    EXPECT_EQ(read[1024], std::byte{0});
  }
}

// -- The lock

struct TestHolder : RangeLock::Holder {
  explicit TestHolder(std::vector<int>* order, int number) : order_(order), number_(number) {
    on_granted = [](Holder* holder) {
      auto* self = static_cast<TestHolder*>(holder);
      self->order_->push_back(self->number_);
    };
  }
  std::vector<int>* order_;
  int number_;
};

TEST(RangeLock, LetsSharedHoldersOverlap) {
  std::vector<int> order;
  TestHolder a(&order, 1), b(&order, 2);
  RangeLock lock;
  EXPECT_TRUE(lock.Acquire(&a, {0, 100}, false));
  EXPECT_TRUE(lock.Acquire(&b, {50, 100}, false));
  lock.Release(&a);
  lock.Release(&b);
}

TEST(RangeLock, MakesWhoeverOverlapsAnExclusiveHolderWaitInTurn) {
  std::vector<int> order;
  TestHolder shared(&order, 1), exclusive(&order, 2), later(&order, 3), apart(&order, 4),
      touching(&order, 5);
  RangeLock lock;
  EXPECT_TRUE(lock.Acquire(&shared, {0, 100}, false));
  EXPECT_FALSE(lock.Acquire(&exclusive, {50, 100}, true));
  EXPECT_FALSE(lock.Acquire(&later, {140, 20}, false)) << "not before the one that waits";
  EXPECT_TRUE(lock.Acquire(&apart, {150, 10}, false));
  EXPECT_TRUE(lock.Acquire(&touching, {0, 50}, false));
  lock.Release(&shared);
  EXPECT_EQ(order, std::vector<int>{2});
  lock.Release(&exclusive);
  EXPECT_EQ(order, (std::vector<int>{2, 3}));
  lock.Release(&touching);
  lock.Release(&later);
  lock.Release(&apart);
}

TEST(RangeLock, MayBeReleasedFromInsideAGrant) {
  struct Releasing : RangeLock::Holder {
    RangeLock* lock = nullptr;
    int granted_count = 0;
  };
  RangeLock lock;
  std::vector<std::unique_ptr<Releasing>> holders;
  for (int i = 0; i < 100; ++i) {
    auto holder = std::make_unique<Releasing>();
    holder->lock = &lock;
    holder->on_granted = [](RangeLock::Holder* granted) {
      auto* self = static_cast<Releasing*>(granted);
      ++self->granted_count;
      self->lock->Release(self);
    };
    EXPECT_EQ(lock.Acquire(holder.get(), {0, 10}, true), i == 0);
    holders.push_back(std::move(holder));
  }
  lock.Release(holders[0].get());
  for (int i = 1; i < 100; ++i) EXPECT_EQ(holders[i]->granted_count, 1) << i;
}

}  // namespace
}  // namespace aurochs
