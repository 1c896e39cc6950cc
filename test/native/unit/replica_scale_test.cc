// Sizes and counts at the far end, in real directories.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>

#include "base/limits.h"
#include "replica/disk_probe.h"
#include "support/block_io.h"
#include "support/replica_rig.h"
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
