#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "replica/disk_probe.h"
#include "support/sim_directory.h"
#include "support/temp_directory.h"

namespace aurochs {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

TEST(DiskProbe, AcceptsTheFileSystemOfThisMachineAndLeavesNothing) {
  TempDirectory temp;
  const auto probe = ProbeDisk(temp.path());
  ASSERT_TRUE(probe.ok()) << probe.status().ToString();
  EXPECT_FALSE(probe->file_system.empty());
  EXPECT_GT(probe->total_bytes, 0u);
  EXPECT_LE(probe->free_bytes, probe->total_bytes);
  EXPECT_GE(probe->file_bytes_max, kVolumeBytesMin);
  EXPECT_LE(probe->file_bytes_max, kVolumeBytesMax);
  EXPECT_THAT(temp.Open()->List().value(), IsEmpty());
}

TEST(DiskProbe, SaysThatADirectoryIsNotThere) {
  EXPECT_EQ(ProbeDisk(TempDirectory().path() + "/missing").status().code(), ErrorCode::kNotFound);
}

TEST(DiskProbe, RefusesAFileSystemWithoutHoles) {
  const auto probe = ProbeDisk("/proc");
  EXPECT_FALSE(probe.ok());
}

TEST(DiskProbe, SeesWhetherExtentsCanBeShared) {
  SimDisk disk;
  auto root = disk.Root();
  bool can_share_extents = true;
  ASSERT_TRUE(ProbeFiles(*root, &can_share_extents).ok());
  EXPECT_FALSE(can_share_extents);
  disk.SetCanClone(true);
  ASSERT_TRUE(ProbeFiles(*root, &can_share_extents).ok());
  EXPECT_TRUE(can_share_extents);
}

TEST(DiskProbe, PassesOnWhatStandsInTheWay) {
  SimDisk disk;
  auto root = disk.Root();
  bool can_share_extents = false;
  disk.SetReadOnly(true);
  EXPECT_EQ(ProbeFiles(*root, &can_share_extents).code(), ErrorCode::kReadOnly);
  disk.SetReadOnly(false);
  disk.SetCapacityBytes(0);
  EXPECT_EQ(ProbeFiles(*root, &can_share_extents).code(), ErrorCode::kNoSpace);
  disk.SetCapacityBytes(UINT64_MAX);
  EXPECT_THAT(root->List().value(), IsEmpty());
}

TEST(DiskProbe, LeavesNothingThatTheNextOneDoesNotRemove) {
  bool accepted = false;
  for (uint64_t step = 0; !accepted; ++step) {
    SimDisk disk;
    auto root = disk.Root();
    bool can_share_extents = false;
    disk.CrashAt(step);
    accepted = ProbeFiles(*root, &can_share_extents).ok();
    disk.PowerCut(step);
    root = disk.Root();
    EXPECT_TRUE(ProbeFiles(*root, &can_share_extents).ok()) << "step " << step;
    EXPECT_THAT(root->List().value(), IsEmpty()) << "step " << step;
  }
}

}  // namespace
}  // namespace aurochs
