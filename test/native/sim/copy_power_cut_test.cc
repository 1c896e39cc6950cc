// The power goes, or the process dies, at every single step of a copy of a snapshot.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "replica/fsck.h"
#include "support/copy_source.h"
#include "support/replica_rig.h"
#include "support/sim_directory.h"

namespace aurochs::test {
namespace {

constexpr uint64_t kSeedsPerStep = 4;

class CopyRun {
 public:
  CopyRun() {
    CHECK(CreateReplica(*disk_.Root(), "r", {kVolumeId, kReplicaId, kCopySourceBytes}).ok());
    CHECK(OpenSource().ok());
    held_ = TakeThreeSnapshots(rig_);
  }

  SimDisk& disk() { return disk_; }

  Status OpenSource() { return rig_.Open(disk_.Root()->OpenDirectory("r").value(), ++epoch_); }
  void CloseSource() { (void)rig_.Close(); }
  Status Copy() {
    return rig_
        .StartCopy(
            "b", [this] { return disk_.Root(); }, "copy", kCopySourceBytes)
        .get();
  }
  bool IsThere() {
    const auto names = disk_.Root()->List().value();
    return std::find(names.begin(), names.end(), "copy") != names.end();
  }
  void CheckCopy() {
    EXPECT_TRUE(ContentOf(disk_.Root()->OpenDirectory("copy").value()) == held_["b"]);
    for (const FsckFinding& finding : FsckReplica(*disk_.Root()->OpenDirectory("copy").value())) {
      ADD_FAILURE() << finding.message;
    }
  }

 private:
  SimDisk disk_;
  ReplicaRig rig_;
  uint64_t epoch_ = 0;
  std::map<std::string, std::vector<std::byte>> held_;
};

TEST(PowerCutOfACopy, LeavesAllOfItOrNothing) {
  for (uint64_t step = 0;; ++step) {
    bool copied = false;
    for (uint64_t seed = 0; seed < kSeedsPerStep && !testing::Test::HasFailure(); ++seed) {
      SCOPED_TRACE("step " + std::to_string(step) + ", seed " + std::to_string(seed));
      CopyRun run;
      run.disk().SetCanClone(seed % 2 == 0);
      run.disk().CrashAt(step);
      copied = run.Copy().ok();
      run.disk().PowerCut(step * kSeedsPerStep + seed);
      run.CloseSource();
      ASSERT_TRUE(RemoveInterrupted(*run.disk().Root()).ok());
      ASSERT_TRUE(!copied || run.IsThere()) << "what was said to be durable is gone";
      if (run.IsThere()) {
        run.CheckCopy();
        continue;
      }
      EXPECT_THAT(run.disk().Root()->List().value(), testing::ElementsAre("r"));
      ASSERT_TRUE(run.OpenSource().ok());
      ASSERT_TRUE(run.Copy().ok());
      run.CheckCopy();
    }
    if (copied || testing::Test::HasFailure()) break;
  }
}

// The caller repeats it and takes "it exists" for durable.
TEST(PowerCutOfACopy, AfterOneThatWasRepeatedLeavesAllOfIt) {
  for (uint64_t step = 0;; ++step) {
    bool copied = false;
    for (uint64_t seed = 0; seed < kSeedsPerStep && !testing::Test::HasFailure(); ++seed) {
      SCOPED_TRACE("step " + std::to_string(step) + ", seed " + std::to_string(seed));
      CopyRun run;
      run.disk().CrashAt(step);
      copied = run.Copy().ok();
      run.disk().KillProcess();
      run.CloseSource();
      ASSERT_TRUE(run.OpenSource().ok());
      const Status again = run.Copy();
      ASSERT_TRUE(again.ok() || again.code() == ErrorCode::kAlreadyExists) << again.ToString();
      run.disk().PowerCut(step * kSeedsPerStep + seed);
      run.CloseSource();
      ASSERT_TRUE(run.IsThere());
      run.CheckCopy();
    }
    if (copied || testing::Test::HasFailure()) break;
  }
}

}  // namespace
}  // namespace aurochs::test
