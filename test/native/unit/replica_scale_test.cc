// Sizes and counts at the far end, in real directories.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>

#include "base/limits.h"
#include "replica/disk_probe.h"
#include "support/allocation_count.h"
#include "support/block_io.h"
#include "support/counting_directory.h"
#include "support/replica_rig.h"
#include "support/sim_directory.h"
#include "support/temp_directory.h"

namespace aurochs {
namespace {

using test::Bytes;
using test::kReplicaId;
using test::kVolumeId;
using test::Pattern;
using test::ReplicaRig;

TEST(ReplicaScale, AThousandSnapshotsInAChainAreOpenedAndRead) {
  constexpr uint64_t kSnapshots = 1'000;
  constexpr uint64_t kSize = 8 * kMiB;
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = files.rlim_max;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  if (files.rlim_max < 2 * kSnapshots) GTEST_SKIP() << "too few descriptors are allowed here";

  TempDirectory temp;
  ASSERT_TRUE(CreateReplica(*temp.Open(), "r", {kVolumeId, kReplicaId, kSize}).ok());
  ReplicaRig rig(false);
  ASSERT_TRUE(rig.Open(temp.Open()->OpenDirectory("r").value()).ok());
  for (uint64_t i = 0; i < kSnapshots; ++i) {
    ASSERT_EQ(rig.Fill(i * kBlockBytes, 2 * kBlockBytes, static_cast<uint8_t>(1 + i % 250)),
              ErrorCode::kOk);
    const Status taken = rig.Snapshot("s" + std::to_string(i));
    ASSERT_TRUE(taken.ok()) << i << ": " << taken.ToString();
  }
  ASSERT_TRUE(rig.Close().ok());
  ASSERT_TRUE(rig.Open(temp.Open()->OpenDirectory("r").value(), 2).ok());
  EXPECT_EQ(rig.Describe()->snapshots.size(), kSnapshots);
  const auto read = rig.Read(0, kSize);
  for (uint64_t i = 0; i < kSnapshots; ++i) {
    ASSERT_EQ(read[i * kBlockBytes], std::byte{static_cast<uint8_t>(1 + i % 250)}) << i;
  }
  EXPECT_EQ(read[(kSnapshots + 1) * kBlockBytes], std::byte{0});
  EXPECT_EQ(rig.Diff("s997", ""), "d12288@4087808");
}

// One snapshot beside a thousand, each with a block of every tenth: what a read costs is told by
// how often it asks files, which no busy machine changes.
struct ChainOfSnapshots {
  static constexpr uint64_t kSize = 16 * kMiB;
  static constexpr uint64_t kBlocks = kSize / kBlockBytes;

  explicit ChainOfSnapshots(uint64_t snapshots) {
    CHECK(CreateReplica(*disk.Root(), "r", {kVolumeId, kReplicaId, kSize}).ok());
    CHECK(rig.Open(std::make_unique<test::CountingDirectory>(
                       disk.Root()->OpenDirectory("r").value(), calls))
              .ok());
    CHECK(rig.Fill(0, kSize, 1) == ErrorCode::kOk);
    for (uint64_t i = 0; i < snapshots; ++i) {
      CHECK(rig.Snapshot("s" + std::to_string(i)).ok());
      for (uint64_t block = i % 10; block < kBlocks; block += kBlocks / 4) {
        CHECK(rig.Fill(block * kBlockBytes, kBlockBytes, 2) == ErrorCode::kOk);
      }
    }
  }
  // Reads every block by itself.
  void ReadAll() {
    std::vector<std::byte> block(kBlockBytes);
    for (uint64_t i = 0; i < kBlocks; ++i) {
      CHECK(rig.TryRead(i * kBlockBytes, &block) == ErrorCode::kOk);
    }
  }

  test::FileCalls calls;
  SimDisk disk;
  ReplicaRig rig;
};

TEST(ReplicaScale, ABlockIsReadByOneCallHoweverManySnapshotsThereAre) {
  for (const uint64_t snapshots : {uint64_t{1}, uint64_t{1'000}}) {
    ChainOfSnapshots chain(snapshots);
    chain.ReadAll();  // Learns which layer answers for what.
    chain.calls.reads = 0;
    chain.calls.looks = 0;
    chain.ReadAll();
    EXPECT_EQ(chain.calls.reads, ChainOfSnapshots::kBlocks) << snapshots << " snapshots";
    EXPECT_EQ(chain.calls.looks, 0u) << snapshots << " snapshots";
  }
}

TEST(ReplicaScale, ALayerIsLookedThroughOnceForARegion) {
  constexpr uint64_t kSnapshots = 1'000;
  ChainOfSnapshots chain(kSnapshots);
  ASSERT_TRUE(chain.rig.Close().ok());
  ASSERT_TRUE(chain.rig
                  .Open(std::make_unique<test::CountingDirectory>(
                      chain.disk.Root()->OpenDirectory("r").value(), chain.calls))
                  .ok());
  chain.calls.looks = 0;
  chain.ReadAll();
  // A layer has one run in a region here, and is asked once more for the end.
  constexpr uint64_t kRegions = ChainOfSnapshots::kSize / kRegionBytes;
  EXPECT_LE(chain.calls.looks, kRegions * (kSnapshots + 1) * 2);
}

TEST(ReplicaScale, AVolumeWithOneLayerTakesLessThanAMebibyteOfMemory) {
  if (!test::CanCountAllocations()) GTEST_SKIP() << "a sanitizer owns the allocator";
  constexpr uint64_t kSize = 64 * kGiB;
  TempDirectory temp;
  ASSERT_TRUE(CreateReplica(*temp.Open(), "r", {kVolumeId, kReplicaId, kSize}).ok());
  ReplicaRig rig(false);
  const std::vector<std::byte> piece = Pattern(64 * kKiB, 1);
  const uint64_t before = test::HeapBytes();
  ASSERT_TRUE(rig.Open(temp.Open()->OpenDirectory("r").value()).ok());
  for (uint64_t offset_bytes = 0; offset_bytes < kSize; offset_bytes += kSize / 256) {
    ASSERT_EQ(rig.Write(offset_bytes, piece), ErrorCode::kOk);
    ASSERT_EQ(rig.Read(offset_bytes, piece.size()), piece);
  }
  const uint64_t now = test::HeapBytes();
  EXPECT_LT(now, before + kMiB);
}

TEST(ReplicaScale, AVolumeOfEightTebibytesIsServedWhereFilesMayBeThatLarge) {
  constexpr uint64_t kSize = 8 * kTiB;
  TempDirectory temp;
  const auto probe = ProbeDisk(temp.path());
  ASSERT_TRUE(probe.ok());
  if (probe->file_bytes_max < kSize) GTEST_SKIP() << "files are smaller on this file system";
  ASSERT_TRUE(CreateReplica(*temp.Open(), "r", {kVolumeId, kReplicaId, kSize}).ok());
  ReplicaRig rig(false);
  ASSERT_TRUE(rig.Open(temp.Open()->OpenDirectory("r").value()).ok());
  EXPECT_EQ(rig.Write(kSize - 8192, Pattern(8192, 1)), ErrorCode::kOk);
  EXPECT_EQ(rig.Write(5 * kTiB, Pattern(4096, 2)), ErrorCode::kOk);
  ASSERT_TRUE(rig.Snapshot("a").ok());
  EXPECT_EQ(rig.Write(kSize - 4096, Pattern(4096, 3)), ErrorCode::kOk);
  EXPECT_EQ(rig.Unmap(4 * kTiB, 2 * kTiB), ErrorCode::kOk);
  EXPECT_EQ(rig.Read(kSize - 4096, 4096), Pattern(4096, 3));
  EXPECT_EQ(rig.Read(5 * kTiB, 4096), Bytes(4096, 0));
  EXPECT_EQ(rig.Allocation(), "h8796093014016 d8192");
  EXPECT_EQ(rig.Diff("", "a"), "d4096@5497558138880 d8192@8796093014016");
  ASSERT_TRUE(rig.Revert("a").ok());
  EXPECT_EQ(rig.Read(5 * kTiB, 4096), Pattern(4096, 2));
}

TEST(ReplicaScale, ASizeThatTheFileSystemCannotHoldIsRefusedAtOnce) {
  TempDirectory temp;
  const auto probe = ProbeDisk(temp.path());
  ASSERT_TRUE(probe.ok());
  if (probe->file_bytes_max == kVolumeBytesMax) GTEST_SKIP() << "this one holds the largest";
  const Status status = CreateReplica(*temp.Open(), "r",
                                      {kVolumeId, kReplicaId, probe->file_bytes_max + kBlockBytes});
  EXPECT_EQ(status.code(), ErrorCode::kOutOfRange);
  EXPECT_NE(status.message().find(std::to_string(probe->file_bytes_max)), std::string::npos);
  EXPECT_TRUE(temp.Open()->List()->empty());
}

}  // namespace
}  // namespace aurochs
