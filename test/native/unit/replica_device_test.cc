#include "replica/replica_device.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "replica/fsck.h"
#include "support/block_io.h"
#include "support/replica_rig.h"
#include "support/sim_directory.h"

namespace aurochs {
namespace {

using test::Bytes;
using test::kReplicaId;
using test::kVolumeId;
using test::Pattern;
using test::ReplicaRig;

constexpr uint64_t kSize = 16 * kMiB;

class ReplicaOnSimDisk : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(CreateReplica(*disk_.Root(), "r", {kVolumeId, kReplicaId, kSize}).ok());
    ASSERT_TRUE(Open().ok());
  }
  std::unique_ptr<Directory> Dir() { return disk_.Root()->OpenDirectory("r").value(); }
  Status Open(uint64_t epoch = 1) { return rig_.Open(Dir(), epoch); }
  void Reopen() {
    ASSERT_TRUE(rig_.Close().ok());
    ASSERT_TRUE(Open().ok());
  }

  SimDisk disk_;
  ReplicaRig rig_;
};

using ReplicaDeviceOneLayer = ReplicaOnSimDisk;

TEST_F(ReplicaDeviceOneLayer, IsEmptyWhenCreated) {
  EXPECT_EQ(rig_.device().info().size_bytes, kSize);
  EXPECT_EQ(rig_.Read(kSize - 65536, 65536), Bytes(65536, 0));
  EXPECT_EQ(rig_.Allocation(), "h16777216");
}

TEST_F(ReplicaDeviceOneLayer, ReadsWhatWasWrittenInSectorsAndAcrossBlocks) {
  EXPECT_EQ(rig_.Write(512, Pattern(512, 1)), ErrorCode::kOk);
  EXPECT_EQ(rig_.Write(4096 - 512, Pattern(9 * 512, 2)), ErrorCode::kOk);
  EXPECT_EQ(rig_.Read(512, 512), Pattern(512, 1));
  EXPECT_EQ(rig_.Read(4096 - 512, 9 * 512), Pattern(9 * 512, 2));
  EXPECT_EQ(rig_.Read(0, 512), Bytes(512, 0));
  EXPECT_EQ(rig_.Allocation(), "d8192 h16769024");
}

TEST_F(ReplicaDeviceOneLayer, GivesBackWholeBlocksOnUnmapAndWritesTheRest) {
  EXPECT_EQ(rig_.Fill(0, 65536, 7), ErrorCode::kOk);
  EXPECT_EQ(rig_.Unmap(4096 + 512, 16384), ErrorCode::kOk);
  EXPECT_EQ(rig_.Read(4096 + 512, 16384), Bytes(16384, 0));
  EXPECT_EQ(rig_.Read(0, 4608), Bytes(4608, 7));
  EXPECT_EQ(rig_.Read(4096 + 512 + 16384, 512), Bytes(512, 7));
  EXPECT_EQ(rig_.Allocation(), "d8192 h12288 d45056 h16711680");
}

TEST_F(ReplicaDeviceOneLayer, KeepsTheSpaceOfZerosThatAskForIt) {
  EXPECT_EQ(rig_.Io(IoOp::kWriteZeroes, 8192, 5 * kMiB + 512, false, true), ErrorCode::kOk);
  EXPECT_EQ(rig_.Read(8192, 4096), Bytes(4096, 0));
  EXPECT_EQ(rig_.Allocation(), "h8192 d5246976 h11522048");
}

TEST_F(ReplicaDeviceOneLayer, RefusesWhatLeavesTheDevice) {
  std::vector<std::byte> sector(512);
  EXPECT_EQ(rig_.TryRead(kSize, &sector), ErrorCode::kOutOfRange);
  EXPECT_EQ(rig_.Write(kSize - 512, Bytes(1024, 1)), ErrorCode::kOutOfRange);
  EXPECT_EQ(rig_.Unmap(UINT64_MAX - 511, 512), ErrorCode::kOutOfRange);
}

TEST_F(ReplicaDeviceOneLayer, KeepsEverythingAcrossCloseAndOpen) {
  EXPECT_EQ(rig_.Write(123 * 512, Pattern(20000 / 512 * 512, 3)), ErrorCode::kOk);
  Reopen();
  EXPECT_EQ(rig_.Read(123 * 512, 20000 / 512 * 512), Pattern(20000 / 512 * 512, 3));
}

TEST_F(ReplicaDeviceOneLayer, LosesNothingAcknowledgedWhenTheProcessDies) {
  EXPECT_EQ(rig_.Write(0, Pattern(8192, 4)), ErrorCode::kOk);
  disk_.KillProcess();
  (void)rig_.Close();
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(rig_.Read(0, 8192), Pattern(8192, 4));
}

TEST_F(ReplicaDeviceOneLayer, MakesAFlushDurableEvenOfWhatAKilledProcessWrote) {
  EXPECT_EQ(rig_.Write(0, Pattern(8192, 4)), ErrorCode::kOk);
  disk_.KillProcess();
  (void)rig_.Close();
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(rig_.Flush(), ErrorCode::kOk);
  disk_.PowerCut(1);
  (void)rig_.Close();
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(rig_.Read(0, 8192), Pattern(8192, 4));
}

TEST_F(ReplicaDeviceOneLayer, MakesAWriteWithFuaDurable) {
  for (uint64_t seed = 0; seed < 8; ++seed) {
    const auto data = Pattern(8192, static_cast<uint8_t>(seed));
    EXPECT_EQ(rig_.Write(0, data, true), ErrorCode::kOk);
    disk_.PowerCut(seed);
    (void)rig_.Close();
    ASSERT_TRUE(Open().ok());
    EXPECT_EQ(rig_.Read(0, 8192), data);
  }
}

TEST_F(ReplicaDeviceOneLayer, RefusesAnOlderEpochAndRemembersANewerOne) {
  ASSERT_TRUE(rig_.Close().ok());
  ASSERT_TRUE(Open(7).ok());
  EXPECT_EQ(rig_.Describe()->epoch, 7u);
  ASSERT_TRUE(rig_.Close().ok());
  disk_.PowerCut(0);
  EXPECT_EQ(Open(6).code(), ErrorCode::kStaleEpoch);
  EXPECT_TRUE(Open(7).ok());
}

TEST_F(ReplicaDeviceOneLayer, RemembersAnEpochThatWasStoredInTwoTries) {
  uint64_t epoch = 1;
  for (uint64_t step = 0; step < 8; ++step) {
    for (uint64_t seed = 0; seed < 4; ++seed) {
      ASSERT_TRUE(rig_.Close().ok());
      disk_.FailAt(step, ErrorCode::kIo);
      ++epoch;
      ASSERT_TRUE(Open(epoch).ok() || Open(epoch).ok());
      disk_.PowerCut(seed);
      (void)rig_.Close();
      EXPECT_EQ(Open(epoch - 1).code(), ErrorCode::kStaleEpoch) << step << ", seed " << seed;
      ASSERT_TRUE(rig_.is_open() || Open(epoch).ok());
    }
  }
}

TEST_F(ReplicaDeviceOneLayer, IsNotOpenedTwice) {
  ReplicaRig other;
  EXPECT_EQ(other.Open(Dir()).code(), ErrorCode::kBusy);
}

TEST_F(ReplicaDeviceOneLayer, AnswersNoSpaceAndGoesOnWhenThereIsSomeAgain) {
  EXPECT_EQ(rig_.Fill(0, 4096, 1), ErrorCode::kOk);
  disk_.SetCapacityBytes(16384);
  EXPECT_EQ(rig_.Fill(65536, 65536, 2), ErrorCode::kNoSpace);
  EXPECT_FALSE(rig_.device().failed());
  EXPECT_EQ(rig_.Fill(0, 4096, 3), ErrorCode::kOk);
  EXPECT_EQ(rig_.Read(0, 4096), Bytes(4096, 3));
  disk_.SetCapacityBytes(UINT64_MAX);
  EXPECT_EQ(rig_.Fill(65536, 65536, 2), ErrorCode::kOk);
  EXPECT_EQ(rig_.Flush(), ErrorCode::kOk);
}

TEST_F(ReplicaDeviceOneLayer, TakesNoMoreWritesOnceASyncHasFailed) {
  EXPECT_EQ(rig_.Fill(0, 4096, 1), ErrorCode::kOk);
  disk_.FailNextSyncData();
  EXPECT_EQ(rig_.Flush(), ErrorCode::kIo);
  EXPECT_TRUE(rig_.device().failed());
  EXPECT_EQ(rig_.Flush(), ErrorCode::kIo);
  EXPECT_EQ(rig_.Fill(0, 4096, 2), ErrorCode::kIo);
  EXPECT_EQ(rig_.Unmap(0, 4096), ErrorCode::kIo);
  EXPECT_EQ(rig_.Read(0, 4096), Bytes(4096, 1));
  EXPECT_EQ(rig_.Snapshot("s").code(), ErrorCode::kIo);
}

TEST_F(ReplicaDeviceOneLayer, TellsOfItsFailureOnceAndAtOnce) {
  int told = 0;
  const auto listen = [&] {
    rig_.loop().Post([&] { rig_.device().OnFailure([&told] { ++told; }); });
  };
  listen();
  EXPECT_EQ(rig_.Fill(0, 4096, 1), ErrorCode::kOk);
  disk_.FailNextSyncData();
  EXPECT_EQ(rig_.Flush(), ErrorCode::kIo);
  EXPECT_EQ(told, 1) << "before whoever flushed heard of it";
  EXPECT_EQ(rig_.Flush(), ErrorCode::kIo);
  EXPECT_EQ(told, 1);
  listen();
  EXPECT_EQ(rig_.Flush(), ErrorCode::kIo);
  EXPECT_EQ(told, 2) << "who comes late hears of it too";
}

TEST_F(ReplicaDeviceOneLayer, GoesByWhatTheDiskHoldsWhenItIsOpenedAfterAFailure) {
  EXPECT_EQ(rig_.Fill(0, 8192, 1), ErrorCode::kOk);
  EXPECT_EQ(rig_.Flush(), ErrorCode::kOk);
  EXPECT_EQ(rig_.Fill(4096, 8192, 2), ErrorCode::kOk);
  disk_.FailNextSyncData();
  EXPECT_EQ(rig_.Flush(), ErrorCode::kIo);
  ASSERT_FALSE(rig_.Close().ok());
  const auto findings = FsckReplica(*Dir());
  ASSERT_EQ(findings.size(), 1u);
  EXPECT_EQ(findings[0].severity, FsckFinding::Severity::kWarning);
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(rig_.Read(0, 8192), Bytes(8192, 1));
  EXPECT_EQ(rig_.Read(8192, 4096), Bytes(4096, 0));
  ASSERT_TRUE(rig_.Close().ok());
  EXPECT_TRUE(FsckReplica(*Dir()).empty());
}

TEST_F(ReplicaDeviceOneLayer, PassesAReadErrorOnAndStaysUsable) {
  EXPECT_EQ(rig_.Fill(0, 4096, 1), ErrorCode::kOk);
  disk_.SetCacheCold(true);
  disk_.FailReadAt(0);
  std::vector<std::byte> block(4096);
  EXPECT_EQ(rig_.TryRead(0, &block), ErrorCode::kIo);
  EXPECT_EQ(rig_.Read(0, 4096), Bytes(4096, 1));
}

}  // namespace
}  // namespace aurochs
