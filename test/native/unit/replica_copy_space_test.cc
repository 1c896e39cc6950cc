// What copies claim of a file system, and what they leave of it.
#include <gtest/gtest.h>

#include "base/limits.h"
#include "replica/copy_space.h"
#include "support/sim_directory.h"

namespace aurochs {
namespace {

class CopySpaceTest : public testing::Test {
 protected:
  void SetUp() override { disk_.SetCapacityBytes(kCopyFreeBytesMin + 10 * kMiB); }

  SimDisk disk_;
  SimDisk other_disk_;
  CopySpace space_;
};

TEST_F(CopySpaceTest, IsClaimedOnce) {
  const auto claim = space_.Take(*disk_.Root(), 6 * kMiB);
  ASSERT_TRUE(claim.ok());
  EXPECT_EQ(space_.Take(*disk_.Root(), 4 * kMiB + 1).status().code(), ErrorCode::kNoSpace);
  EXPECT_TRUE(space_.Take(*disk_.Root(), 4 * kMiB).ok()) << "who was refused claims nothing";
}

TEST_F(CopySpaceTest, IsFreeAgainAsAClaimShrinksAndGoes) {
  {
    const auto claim = space_.Take(*disk_.Root(), 10 * kMiB).value();
    claim->ShrinkTo(3 * kMiB);
    EXPECT_EQ(claim->bytes(), 3 * kMiB);
    EXPECT_TRUE(space_.Take(*disk_.Root(), 7 * kMiB).ok());
    EXPECT_FALSE(space_.Take(*disk_.Root(), 7 * kMiB + 1).ok());
  }
  EXPECT_TRUE(space_.Take(*disk_.Root(), 10 * kMiB).ok());
}

TEST_F(CopySpaceTest, IsOfOneFileSystem) {
  ASSERT_TRUE(disk_.Root()->CreateDirectory("inside").ok());
  const auto claim = space_.Take(*disk_.Root(), 10 * kMiB).value();
  EXPECT_FALSE(space_.Take(*disk_.Root()->OpenDirectory("inside").value(), 1).ok());
  EXPECT_TRUE(space_.Take(*other_disk_.Root(), 10 * kMiB).ok());
}

TEST_F(CopySpaceTest, LeavesMoreOfALargerFileSystem) {
  disk_.SetCapacityBytes(100 * kGiB);
  const uint64_t most_bytes = (100 - kCopyFreePercentMin) * kGiB;
  EXPECT_FALSE(space_.Take(*disk_.Root(), most_bytes + 1).ok());
  EXPECT_TRUE(space_.Take(*disk_.Root(), most_bytes).ok());
}

TEST_F(CopySpaceTest, IsNotNeededByACopyOfNothing) {
  disk_.SetCapacityBytes(0);
  EXPECT_TRUE(space_.Take(*disk_.Root(), 0).ok());
}

}  // namespace
}  // namespace aurochs
