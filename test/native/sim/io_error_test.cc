// One error of the disk at every single step of every operation; then the replica is opened again,
// goes on, and loses power (D1 to D5). What was flushed before must be there, whatever failed.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "support/block_io.h"
#include "support/replica_rig.h"
#include "support/sim_directory.h"

namespace aurochs::test {
namespace {

constexpr uint64_t kSize = 2 * kMiB;
constexpr uint64_t kBlock = kBlockBytes;

class IoErrorRun {
 public:
  IoErrorRun() {
    CHECK(CreateReplica(*disk_.Root(), "r", {kVolumeId, kReplicaId, kSize}).ok());
    CHECK(Open().ok());
    // Snapshots a, b and c, each with data, zeros and holes of its own, below a head with the same.
    Fill(0, 64);
    Snapshot("a");
    Fill(8, 8);
    Unmap(24, 4);
    Snapshot("b");
    Fill(12, 24);
    Unmap(10, 3);
    Fill(300, 16);
    Snapshot("c");
    Fill(30, 2);
    Unmap(16, 8);
    CHECK(rig_.Flush() == ErrorCode::kOk);
    live_ = ReadAll();
  }

  SimDisk& disk() { return disk_; }
  ReplicaRig& rig() { return rig_; }

  // The process ends in order, and another takes over and has merges come to their end.
  void StartAnew() {
    if (rig_.is_open()) (void)rig_.Close();
    const Status opened = Open();
    ASSERT_TRUE(opened.ok()) << opened.ToString();
    const ReplicaInfo info = rig_.Describe().value();
    for (const SnapshotInfo& snapshot : info.snapshots) {
      if (!snapshot.removing) continue;
      const Status merged = rig_.Delete(snapshot.name);
      ASSERT_TRUE(merged.ok() || merged.code() == ErrorCode::kNotFound) << merged.ToString();
    }
    ASSERT_EQ(rig_.Flush(), ErrorCode::kOk);
  }

  void CutPower(uint64_t seed) {
    disk_.PowerCut(seed);
    (void)rig_.Close();
    const Status opened = Open();
    ASSERT_TRUE(opened.ok()) << opened.ToString();
  }

  // `may_be`: what else the volume may read as, a snapshot's name.
  void Check(const std::string& may_be) {
    const auto read = ReadAll();
    EXPECT_TRUE(SameContent(read, live_) ||
                (!may_be.empty() && SameContent(read, snapshots_.at(may_be))))
        << "the volume has lost what was flushed";
    const ReplicaInfo info = rig_.Describe().value();
    for (const SnapshotInfo& snapshot : info.snapshots) {
      const auto known = snapshots_.find(snapshot.name);
      if (snapshot.removing || known == snapshots_.end()) continue;
      ASSERT_TRUE(rig_.Revert(snapshot.name).ok());
      EXPECT_TRUE(SameContent(ReadAll(), known->second))
          << "snapshot " << snapshot.name << " has lost data";
    }
  }

 private:
  Status Open() { return rig_.Open(disk_.Root()->OpenDirectory("r").value(), ++epoch_); }
  void Fill(uint64_t first_block, uint64_t blocks) {
    CHECK(rig_.Fill(first_block * kBlock, blocks * kBlock, ++value_) == ErrorCode::kOk);
  }
  void Unmap(uint64_t first_block, uint64_t blocks) {
    CHECK(rig_.Unmap(first_block * kBlock, blocks * kBlock) == ErrorCode::kOk);
  }
  void Snapshot(const std::string& name) {
    CHECK(rig_.Snapshot(name).ok());
    snapshots_[name] = ReadAll();
  }
  std::vector<std::byte> ReadAll() { return rig_.Read(0, rig_.device().info().size_bytes); }
  // The volume may have grown.
  static bool SameContent(std::vector<std::byte> read, std::vector<std::byte> expected) {
    const size_t size = std::max(read.size(), expected.size());
    read.resize(size);
    expected.resize(size);
    return read == expected;
  }

  SimDisk disk_;
  ReplicaRig rig_;
  uint64_t epoch_ = 0;
  uint8_t value_ = 0;
  std::vector<std::byte> live_;
  std::map<std::string, std::vector<std::byte>> snapshots_;
};

// Runs `tested` once for each of its steps, with an error there.
void FailAtEveryStep(const std::function<void(ReplicaRig& rig)>& tested,
                     const std::string& may_be = "") {
  for (uint64_t step = 0;; ++step) {
    SCOPED_TRACE("step " + std::to_string(step));
    IoErrorRun run;
    const uint64_t before = run.disk().steps();
    run.disk().FailAt(step, ErrorCode::kIo);
    tested(run.rig());
    if (run.disk().steps() <= before + step) {
      EXPECT_GT(step, 0u) << "nothing was there to fail";
      return;
    }
    run.StartAnew();
    if (!testing::Test::HasFailure()) run.CutPower(step);
    if (!testing::Test::HasFailure()) run.Check(may_be);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(IoError, InASnapshotLosesNothing) {
  FailAtEveryStep([](ReplicaRig& rig) { (void)rig.Snapshot("d"); });
}

TEST(IoError, InARevertLosesNothing) {
  FailAtEveryStep([](ReplicaRig& rig) { (void)rig.Revert("b"); }, "b");
}

TEST(IoError, InAnExpansionLosesNothing) {
  FailAtEveryStep([](ReplicaRig& rig) { (void)rig.Expand(kSize + 16 * kBlock); });
}

TEST(IoError, InAMergeUpIntoAFrozenLayerLosesNothing) {
  FailAtEveryStep([](ReplicaRig& rig) { (void)rig.Delete("b"); });
}

TEST(IoError, InAMergeDownLosesNothing) {
  FailAtEveryStep([](ReplicaRig& rig) { (void)rig.Delete("a"); });
}

TEST(IoError, InAMergeIntoTheHeadLosesNothing) {
  FailAtEveryStep([](ReplicaRig& rig) { (void)rig.Delete("c"); });
}

TEST(IoError, OfTheSyncBeforeAnExpansionIsNotForgottenByTheNextFlush) {
  IoErrorRun run;
  ASSERT_EQ(run.rig().Fill(0, kBlock, 99), ErrorCode::kOk);
  run.disk().FailNextSyncData();
  EXPECT_FALSE(run.rig().Expand(kSize + 16 * kBlock).ok());
  EXPECT_EQ(run.rig().Flush(), ErrorCode::kIo) << "a lost write was said to be durable";
  EXPECT_TRUE(run.rig().device().failed());
}

}  // namespace
}  // namespace aurochs::test
