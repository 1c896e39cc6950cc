// Writes that are held back for the snapshots of a group.
#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <memory>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "base/log.h"
#include "support/block_io.h"
#include "support/forwarding_directory.h"
#include "support/replica_rig.h"
#include "support/sim_directory.h"

namespace aurochs {
namespace {

using test::Bytes;
using test::kReplicaId;
using test::kVolumeId;
using test::ReplicaRig;

constexpr uint64_t kSize = 4 * kMiB;
constexpr uint64_t kBlock = kBlockBytes;
constexpr uint32_t kLongMs = kWriteHoldMsMax;

// A directory whose files do something before they sync, once.
class SyncHookDirectory final : public test::ForwardingDirectory {
 public:
  SyncHookDirectory(std::unique_ptr<Directory> directory, std::function<void()>& before_sync)
      : ForwardingDirectory(std::move(directory)), before_sync_(before_sync) {}

 private:
  class HookedFile final : public test::ForwardingFile {
   public:
    HookedFile(std::unique_ptr<File> file, std::function<void()>& before_sync)
        : ForwardingFile(std::move(file)), before_sync_(before_sync) {}
    Status SyncData() override {
      if (auto hook = std::exchange(before_sync_, nullptr)) hook();
      return ForwardingFile::SyncData();
    }

   private:
    std::function<void()>& before_sync_;
  };

  std::unique_ptr<File> Wrap(std::unique_ptr<File> file) override {
    return std::make_unique<HookedFile>(std::move(file), before_sync_);
  }

  std::function<void()>& before_sync_;
};

class ReplicaWriteHold : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(CreateReplica(*disk_.Root(), "r", {kVolumeId, kReplicaId, kSize}).ok());
    auto directory = disk_.Root()->OpenDirectory("r").value();
    ASSERT_TRUE(
        rig_.Open(std::make_unique<SyncHookDirectory>(std::move(directory), before_sync_)).ok());
    ASSERT_EQ(rig_.Fill(0, 4 * kBlock, 1), ErrorCode::kOk);
  }
  void TearDown() override {
    if (rig_.is_open()) (void)rig_.Close();
  }
  static bool IsAnswered(const std::future<ErrorCode>& write) {
    return write.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
  }

  SimDisk disk_;
  std::function<void()> before_sync_;
  ReplicaRig rig_{false};
};

TEST_F(ReplicaWriteHold, KeepsAWriteOutOfASnapshotThatIsTakenMeanwhile) {
  const uint64_t hold = rig_.Hold(kLongMs).value();
  auto write = rig_.StartFill(0, kBlock, 2);
  ASSERT_TRUE(rig_.Snapshot("a").ok());
  EXPECT_EQ(rig_.Read(0, kBlock), Bytes(kBlock, 1));
  EXPECT_EQ(rig_.Flush(), ErrorCode::kOk);
  EXPECT_FALSE(IsAnswered(write));
  EXPECT_TRUE(rig_.Release(hold));
  EXPECT_EQ(write.get(), ErrorCode::kOk);
  EXPECT_EQ(rig_.Read(0, kBlock), Bytes(kBlock, 2));
  ASSERT_TRUE(rig_.Revert("a").ok());
  EXPECT_EQ(rig_.Read(0, kBlock), Bytes(kBlock, 1));
}

TEST_F(ReplicaWriteHold, HoldsWhateverChangesData) {
  ASSERT_TRUE(rig_.Snapshot("a").ok());  // An unmap needs a zero map first.
  const uint64_t hold = rig_.Hold(kLongMs).value();
  auto unmap = std::async(std::launch::async, [this] { return rig_.Unmap(0, kBlock); });
  auto zeroes = std::async(std::launch::async,
                           [this] { return rig_.Io(IoOp::kWriteZeroes, kBlock, kBlock); });
  EXPECT_EQ(rig_.Revert("a").code(), ErrorCode::kBusy);
  ASSERT_TRUE(rig_.Snapshot("b").ok());
  EXPECT_EQ(rig_.Read(0, 2 * kBlock), Bytes(2 * kBlock, 1));
  EXPECT_FALSE(IsAnswered(unmap));
  EXPECT_FALSE(IsAnswered(zeroes));
  EXPECT_TRUE(rig_.Release(hold));
  EXPECT_EQ(unmap.get(), ErrorCode::kOk);
  EXPECT_EQ(zeroes.get(), ErrorCode::kOk);
  EXPECT_EQ(rig_.Read(0, 2 * kBlock), Bytes(2 * kBlock, 0));
  EXPECT_TRUE(rig_.Revert("a").ok());
}

TEST_F(ReplicaWriteHold, LetsWritesGoOnInTheirOrder) {
  const uint64_t hold = rig_.Hold(kLongMs).value();
  std::vector<std::future<ErrorCode>> writes;
  for (uint8_t value = 10; value < 30; ++value) {
    writes.push_back(rig_.StartFill(0, kBlock, value));
    if (value == 20) {
      ASSERT_TRUE(rig_.Snapshot("a").ok());
    }
  }
  EXPECT_TRUE(rig_.Release(hold));
  for (auto& write : writes) EXPECT_EQ(write.get(), ErrorCode::kOk);
  EXPECT_EQ(rig_.Read(0, kBlock), Bytes(kBlock, 29));
}

TEST_F(ReplicaWriteHold, WaitsForWhatIsUnderWay) {
  for (uint8_t round = 0; round < 50; ++round) {
    std::vector<std::future<ErrorCode>> writes;
    for (uint64_t block = 0; block < 8; ++block) {
      writes.push_back(rig_.StartFill(block * kBlock, kBlock, static_cast<uint8_t>(100 + round)));
    }
    const uint64_t hold = rig_.Hold(kLongMs).value();
    for (auto& write : writes) EXPECT_TRUE(IsAnswered(write));
    EXPECT_TRUE(rig_.Release(hold));
  }
}

// Some GiB may be dirty; flushed by the snapshot, they would use up the deadline with writes held.
TEST_F(ReplicaWriteHold, FlushesBeforeItBeginsAndWritesGoOnMeanwhile) {
  ErrorCode meanwhile = ErrorCode::kUnavailable;
  before_sync_ = [&] { meanwhile = rig_.Fill(kBlock, kBlock, 2); };
  const uint64_t hold = rig_.Hold(kLongMs).value();
  EXPECT_EQ(meanwhile, ErrorCode::kOk);
  before_sync_ = nullptr;
  EXPECT_TRUE(rig_.Release(hold));
}

TEST_F(ReplicaWriteHold, IsNotBegunWhenWhatIsDirtyIsLost) {
  disk_.FailNextSyncData();
  EXPECT_EQ(rig_.Hold(kLongMs).status().code(), ErrorCode::kIo);
  EXPECT_EQ(rig_.Fill(0, kBlock, 2), ErrorCode::kIo) << "it fails instead of waiting";
}

TEST_F(ReplicaWriteHold, EndsByItselfAfterItsDeadline) {
  SetLogSink([](LogLevel, std::string_view, const std::string&) {});
  const uint64_t hold = rig_.Hold(1).value();
  EXPECT_EQ(rig_.StartFill(0, kBlock, 2).get(), ErrorCode::kOk);
  EXPECT_FALSE(rig_.Release(hold)) << "writes went on in between";
  const uint64_t next = rig_.Hold(kLongMs).value();
  EXPECT_FALSE(rig_.Release(hold)) << "it is not the one that is on";
  EXPECT_TRUE(rig_.Release(next));
  SetLogSink({});
}

TEST_F(ReplicaWriteHold, IsTheOnlyOne) {
  const uint64_t hold = rig_.Hold(kLongMs).value();
  EXPECT_EQ(rig_.Hold(kLongMs).status().code(), ErrorCode::kBusy);
  EXPECT_TRUE(rig_.Release(hold));
  EXPECT_FALSE(rig_.Release(hold));
  EXPECT_TRUE(rig_.Hold(kLongMs).ok());
}

TEST_F(ReplicaWriteHold, EndsWhenTheVolumeIsClosed) {
  ASSERT_TRUE(rig_.Hold(kLongMs).ok());
  auto write = rig_.StartFill(0, kBlock, 2);
  ASSERT_TRUE(rig_.Close().ok());
  EXPECT_EQ(write.get(), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Open(disk_.Root()->OpenDirectory("r").value()).ok());
  EXPECT_EQ(rig_.Read(0, kBlock), Bytes(kBlock, 2));
}

}  // namespace
}  // namespace aurochs
