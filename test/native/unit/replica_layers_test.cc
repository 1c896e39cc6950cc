// A replica with several layers: snapshots, reverts, merges, zeros, faults.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "base/limits.h"
#include "base/log.h"
#include "replica/fsck.h"
#include "replica/replica_meta.h"
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
using test::SnapshotId;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr uint64_t kSize = 16 * kMiB;
constexpr uint64_t kBlock = kBlockBytes;

class ReplicaLayers : public testing::Test {
 protected:
  void SetUp() override {
    SetLogSink(
        [this](LogLevel, std::string_view, const std::string& line) { log_ += line + "\n"; });
    ASSERT_TRUE(CreateReplica(*disk_.Root(), "r", {kVolumeId, kReplicaId, kSize}).ok());
    ASSERT_TRUE(Open().ok());
  }
  void TearDown() override {
    if (rig_.is_open()) (void)rig_.Close();
    SetLogSink({});
  }
  std::unique_ptr<Directory> Dir() { return disk_.Root()->OpenDirectory("r").value(); }
  Status Open() { return rig_.Open(Dir()); }
  void Reopen() {
    ASSERT_TRUE(rig_.Close().ok());
    ASSERT_TRUE(Open().ok());
  }
  std::vector<std::string> Files() {
    auto names = Dir()->List().value();
    std::erase(names, "lock");
    std::erase(names, "replica.json");
    return names;
  }
  bool Holds(uint64_t block, uint8_t value) {
    return rig_.Read(block * kBlock, kBlock) == Bytes(kBlock, value);
  }

  std::string log_;
  SimDisk disk_;
  ReplicaRig rig_;
};

TEST_F(ReplicaLayers, ReadEachBlockFromTheHighestThatHoldsIt) {
  EXPECT_EQ(rig_.Fill(0, 8 * kBlock, 1), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("a").ok());
  EXPECT_EQ(rig_.Fill(2 * kBlock, 4 * kBlock, 2), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("b").ok());
  EXPECT_EQ(rig_.Fill(3 * kBlock, kBlock, 3), ErrorCode::kOk);
  for (int round = 0; round < 2; ++round) {
    const auto read = rig_.Read(0, 9 * kBlock);
    for (const auto& [block, value] : std::vector<std::pair<uint64_t, uint8_t>>{
             {0, 1}, {1, 1}, {2, 2}, {3, 3}, {4, 2}, {5, 2}, {6, 1}, {7, 1}, {8, 0}}) {
      EXPECT_EQ(read[block * kBlock], std::byte{value}) << block;
      EXPECT_TRUE(Holds(block, value)) << block;
    }
    Reopen();
  }
}

TEST_F(ReplicaLayers, KeepTheRestOfABlockThatIsPartlyWritten) {
  EXPECT_EQ(rig_.Write(0, Pattern(4 * kBlock, 1)), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("a").ok());
  auto expected = Pattern(4 * kBlock, 1);
  const auto overlay = [&](uint64_t offset, const std::vector<std::byte>& data) {
    EXPECT_EQ(rig_.Write(offset, data), ErrorCode::kOk);
    std::copy(data.begin(), data.end(), expected.begin() + static_cast<int64_t>(offset));
  };
  overlay(512, Pattern(512, 2));
  overlay(1024, Pattern(512, 3));                 // the head holds the block now
  overlay(kBlock + 512, Pattern(2 * kBlock, 4));  // both ends are partial
  overlay(3 * kBlock, Pattern(1024, 5));          // one end
  EXPECT_EQ(rig_.Read(0, 4 * kBlock), expected);
  ASSERT_TRUE(rig_.Revert("a").ok());
  EXPECT_EQ(rig_.Read(0, 4 * kBlock), Pattern(4 * kBlock, 1));
}

TEST_F(ReplicaLayers, HideDataBelowAfterAnUnmap) {
  EXPECT_EQ(rig_.Fill(0, 8 * kBlock, 1), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("a").ok());
  EXPECT_EQ(rig_.Fill(4 * kBlock, kBlock, 2), ErrorCode::kOk);
  EXPECT_EQ(rig_.Unmap(kBlock, 5 * kBlock + 512), ErrorCode::kOk);
  EXPECT_EQ(rig_.Read(kBlock, 5 * kBlock + 512), Bytes(5 * kBlock + 512, 0));
  EXPECT_TRUE(Holds(0, 1));
  EXPECT_EQ(rig_.Allocation(), "d4096 h20480 d8192 h16744448");
  Reopen();
  EXPECT_EQ(rig_.Read(kBlock, 5 * kBlock + 512), Bytes(5 * kBlock + 512, 0));
  EXPECT_EQ(rig_.Fill(2 * kBlock, kBlock, 3), ErrorCode::kOk);
  EXPECT_TRUE(Holds(2, 3));
  EXPECT_THAT(Files(), ElementsAre("layer-000001.img", "layer-000002.img", "layer-000002.zero"));
}

TEST_F(ReplicaLayers, RevertKeepsWhatStandsAboveAsABranch) {
  EXPECT_EQ(rig_.Fill(0, kBlock, 1), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("a").ok());
  EXPECT_EQ(rig_.Fill(0, kBlock, 2), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("b").ok());
  EXPECT_EQ(rig_.Fill(0, kBlock, 3), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Revert("a").ok());
  EXPECT_TRUE(Holds(0, 1));
  EXPECT_EQ(rig_.Describe()->head_parent, SnapshotId("a"));
  ASSERT_TRUE(rig_.Revert("b").ok());
  EXPECT_TRUE(Holds(0, 2));
  EXPECT_EQ(rig_.Revert("c").code(), ErrorCode::kNotFound);
}

TEST_F(ReplicaLayers, DescribeThemselvesParentsFirst) {
  EXPECT_EQ(rig_.Fill(0, 3 * kBlock, 1), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("a").ok());
  EXPECT_EQ(rig_.Fill(0, kBlock, 1), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("b").ok());
  const auto info = rig_.Describe().value();
  EXPECT_EQ(info.volume_id, kVolumeId);
  EXPECT_EQ(info.replica_id, kReplicaId);
  EXPECT_EQ(info.size_bytes, kSize);
  EXPECT_EQ(info.head_parent, SnapshotId("b"));
  ASSERT_EQ(info.snapshots.size(), 2u);
  EXPECT_EQ(info.snapshots[0].name, "a");
  EXPECT_EQ(info.snapshots[0].parent, "");
  EXPECT_EQ(info.snapshots[0].allocated_bytes, 3 * kBlock);
  EXPECT_EQ(info.snapshots[1].parent, SnapshotId("a"));
  EXPECT_EQ(info.snapshots[1].size_bytes, kSize);
  EXPECT_EQ(info.head_allocated_bytes, 0u);
}

TEST_F(ReplicaLayers, DifferByWhatTheLayersBetweenHold) {
  EXPECT_EQ(rig_.Fill(0, 4 * kBlock, 1), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("a").ok());
  EXPECT_EQ(rig_.Fill(2 * kBlock, kBlock, 2), ErrorCode::kOk);
  EXPECT_EQ(rig_.Unmap(0, kBlock), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("b").ok());
  EXPECT_EQ(rig_.Fill(9 * kMiB, kBlock, 3), ErrorCode::kOk);
  EXPECT_EQ(rig_.Diff("", "a"), "d16384@0");
  EXPECT_EQ(rig_.Diff("", "b"), "d12288@4096");
  EXPECT_EQ(rig_.Diff("a", "b"), "h4096@0 d4096@8192");
  EXPECT_EQ(rig_.Diff("a", "b", 1), "h4096@0 d4096@8192");
  EXPECT_EQ(rig_.Diff("b", ""), "d4096@9437184");
  EXPECT_EQ(rig_.Diff("b", "b"), "");
  EXPECT_EQ(rig_.Diff("b", "a"), "d4096@0 d4096@8192");  // backwards, too
  ASSERT_TRUE(rig_.Revert("a").ok());
  EXPECT_EQ(rig_.Fill(5 * kBlock, kBlock, 3), ErrorCode::kOk);
  EXPECT_EQ(rig_.Diff("b", ""), "d4096@0 d4096@8192 d4096@20480");  // from one branch to another
  EXPECT_THAT(rig_.Diff("x", ""), HasSubstr("NOT_FOUND"));
}

TEST_F(ReplicaLayers, TellWhatChangedInARangeSinceASnapshot) {
  EXPECT_EQ(rig_.Fill(0, 4 * kBlock, 1), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("a").ok());
  EXPECT_EQ(rig_.Fill(2 * kBlock, kBlock, 2), ErrorCode::kOk);
  EXPECT_EQ(rig_.Unmap(0, kBlock), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("b").ok());
  EXPECT_EQ(rig_.Fill(9 * kMiB, kBlock, 3), ErrorCode::kOk);
  const Extent all{0, kSize};
  EXPECT_EQ(rig_.Changes("a", all), "h4096 =4096 d4096 =9424896 d4096 =7335936");
  EXPECT_EQ(rig_.Changes("b", all), "=9437184 d4096 =7335936");
  // Cut to the range that was asked about, and to as many runs.
  EXPECT_EQ(rig_.Changes("a", {512, 4096}), "h3584 =512");
  EXPECT_EQ(rig_.Changes("a", {9 * kMiB + 512, 1024}), "d1024");
  EXPECT_EQ(rig_.Changes("a", {kMiB, kMiB}), "=1048576");
  EXPECT_EQ(rig_.Changes("a", all, 1), "h4096");
  EXPECT_EQ(rig_.Changes("b", all, 1), "=9437184");
  // A merge below or above changes nothing about it.
  ASSERT_TRUE(rig_.Snapshot("c").ok());
  ASSERT_TRUE(rig_.Delete("a").ok());
  ASSERT_TRUE(rig_.Delete("c").ok());
  EXPECT_EQ(rig_.Changes("b", all), "=9437184 d4096 =7335936");
  EXPECT_EQ(rig_.Changes("a", all), "NOT_FOUND");
}

TEST_F(ReplicaLayers, NameTheirSnapshotsAndTellWhenThereAreOthers) {
  const auto names = [&] {
    std::string text;
    for (const SnapshotName& one : *rig_.device().snapshots()) text += one.name + " ";
    return text;
  };
  int heard = 0;
  rig_.device().AddInfoObserver([&heard](const DeviceInfo&) { ++heard; });
  EXPECT_EQ(names(), "");
  ASSERT_TRUE(rig_.Snapshot("a").ok());
  ASSERT_TRUE(rig_.Snapshot("b").ok());
  EXPECT_EQ(names(), "a b ");
  EXPECT_EQ(heard, 2);
  ASSERT_TRUE(rig_.Revert("a").ok());
  EXPECT_EQ(names(), "a b ");
  EXPECT_EQ(heard, 2);
  // It has two children, so its merge waits; it is no snapshot any more all the same.
  ASSERT_TRUE(rig_.DeleteRecorded("a").ok());
  EXPECT_EQ(names(), "b ");
  EXPECT_EQ(heard, 3);
  EXPECT_EQ(rig_.Changes("a", {0, kSize}), "NOT_FOUND");
  Reopen();
  EXPECT_EQ(names(), "b ");
}

TEST_F(ReplicaLayers, BecomeOneAgainWhenTheLastSnapshotIsDeleted) {
  EXPECT_EQ(rig_.Fill(0, 600 * kBlock, 1), ErrorCode::kOk);
  EXPECT_EQ(rig_.Fill(12 * kMiB, 3 * kBlock, 1), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("a").ok());
  EXPECT_EQ(rig_.Fill(100 * kBlock, kBlock, 2), ErrorCode::kOk);
  EXPECT_EQ(rig_.Unmap(200 * kBlock, 10 * kBlock), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Delete("a").ok());
  EXPECT_THAT(Files(), ElementsAre("layer-000002.img"));
  for (int round = 0; round < 2; ++round) {
    EXPECT_TRUE(Holds(99, 1) && Holds(100, 2) && Holds(199, 1) && Holds(200, 0) && Holds(209, 0));
    EXPECT_TRUE(Holds(210, 1) && Holds(599, 1) && Holds(600, 0));
    EXPECT_EQ(rig_.Allocation(), "d819200 h40960 d1597440 h10125312 d12288 h4182016");
    Reopen();
  }
}

TEST_F(ReplicaLayers, MergeDownWhereThatIsLess) {
  EXPECT_EQ(rig_.Fill(0, 600 * kBlock, 1), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("a").ok());
  EXPECT_EQ(rig_.Fill(100 * kBlock, kBlock, 2), ErrorCode::kOk);
  EXPECT_EQ(rig_.Unmap(200 * kBlock, kBlock), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("b").ok());
  EXPECT_EQ(rig_.Fill(300 * kBlock, kBlock, 3), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Delete("a").ok());
  EXPECT_THAT(Files(), ElementsAre("layer-000001.img", "layer-000003.img"));
  EXPECT_TRUE(Holds(99, 1) && Holds(100, 2) && Holds(200, 0) && Holds(300, 3));
  ASSERT_TRUE(rig_.Revert("b").ok());
  EXPECT_TRUE(Holds(99, 1) && Holds(100, 2) && Holds(200, 0) && Holds(300, 1));
}

TEST_F(ReplicaLayers, HideASnapshotWithSeveralChildrenUntilOneIsLeft) {
  EXPECT_EQ(rig_.Fill(0, kBlock, 1), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("a").ok());
  EXPECT_EQ(rig_.Fill(kBlock, kBlock, 2), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("b").ok());
  ASSERT_TRUE(rig_.Revert("a").ok());
  ASSERT_TRUE(rig_.DeleteRecorded("a").ok());
  EXPECT_TRUE(rig_.Describe()->snapshots[0].removing);
  EXPECT_EQ(rig_.Revert("a").code(), ErrorCode::kFailedPrecondition);
  EXPECT_THAT(rig_.Diff("a", ""), HasSubstr("being removed"));
  ASSERT_TRUE(rig_.Delete("b").ok());
  Reopen();  // Waits for a merge that may be under way, or goes on with it.
  EXPECT_TRUE(Holds(0, 1) && Holds(1, 0));
}

TEST_F(ReplicaLayers, GoOnWithAMergeThatACloseInterrupted) {
  EXPECT_EQ(rig_.Fill(0, kSize, 1), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("a").ok());
  EXPECT_EQ(rig_.Fill(0, kBlock, 2), ErrorCode::kOk);
  ASSERT_TRUE(rig_.DeleteRecorded("a").ok());
  ASSERT_TRUE(rig_.Close().ok());
  const auto findings = FsckReplica(*Dir());
  for (const auto& finding : findings) {
    EXPECT_EQ(finding.severity, FsckFinding::Severity::kWarning) << finding.message;
  }
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(rig_.Snapshot("b").ok());
  ASSERT_TRUE(rig_.Delete("b").ok());  // Behind the merge of a.
  EXPECT_EQ(Files().size(), 1u);
  EXPECT_TRUE(Holds(0, 2) && Holds(1, 1));
}

// Posted together: the command to delete runs when the close has been asked for already.
TEST_F(ReplicaLayers, TellWhoWaitsForAMergeThatAReplicaWasClosed) {
  EXPECT_EQ(rig_.Fill(0, kSize, 1), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("a").ok());
  ASSERT_TRUE(rig_.Snapshot("b").ok());
  std::vector<std::string> heard;
  std::promise<void> closed;
  rig_.loop().Post([&] {
    ReplicaDevice& device = rig_.device();
    const auto note = [&heard](const std::string& who) {
      return [&heard, who](const Status& status) {
        heard.push_back(who + " " + std::string(ErrorCodeName(status.code())));
      };
    };
    device.DeleteSnapshot(SnapshotId("a"), note("a recorded"), note("a merged"), {});
    device.DeleteSnapshot(SnapshotId("b"), note("b recorded"), note("b merged"), {});
    device.Close([&](const Status& status) {
      EXPECT_TRUE(status.ok());
      closed.set_value();
    });
    device.TakeSnapshot("late", "late", 0, note("late"));
  });
  closed.get_future().wait();
  EXPECT_THAT(
      heard, testing::UnorderedElementsAre("a recorded OK", "a merged UNAVAILABLE", "b recorded OK",
                                           "b merged UNAVAILABLE", "late UNAVAILABLE"));
  rig_.Forget();
  ASSERT_TRUE(Open().ok());
}

TEST_F(ReplicaLayers, PauseAMergeWithoutSpaceAndLoseNothing) {
  EXPECT_EQ(rig_.Fill(0, 8 * kMiB, 1), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("a").ok());
  EXPECT_EQ(rig_.Fill(0, kBlock, 2), ErrorCode::kOk);
  disk_.SetCapacityBytes(9 * kMiB);
  ASSERT_TRUE(rig_.DeleteRecorded("a").ok());
  EXPECT_EQ(rig_.Flush(), ErrorCode::kOk);
  EXPECT_TRUE(Holds(0, 2) && Holds(1, 1));
  ASSERT_TRUE(rig_.Close().ok());
  EXPECT_THAT(log_, HasSubstr("NO_SPACE"));
  EXPECT_EQ(Files().size(), 2u);
  disk_.SetCapacityBytes(UINT64_MAX);
  ASSERT_TRUE(Open().ok());
  ASSERT_TRUE(rig_.Snapshot("b").ok());
  ASSERT_TRUE(rig_.Delete("b").ok());
  EXPECT_EQ(Files().size(), 1u);
  EXPECT_TRUE(Holds(0, 2) && Holds(1, 1));
}

TEST_F(ReplicaLayers, TakeNoSnapshotAndLeaveNothingWhenTheDiskRefuses) {
  EXPECT_EQ(rig_.Fill(0, kBlock, 1), ErrorCode::kOk);
  EXPECT_EQ(rig_.Flush(), ErrorCode::kOk);
  for (uint64_t step = 0; step < 8; ++step) {
    disk_.FailAt(step, ErrorCode::kNoSpace);
    const Status status = rig_.Snapshot("s" + std::to_string(step));
    if (status.ok() || rig_.device().failed()) break;
    EXPECT_EQ(status.code(), ErrorCode::kNoSpace);
    EXPECT_THAT(Files(), ElementsAre("layer-000001.img")) << "failed at step " << step;
    EXPECT_EQ(rig_.Fill(0, kBlock, 1), ErrorCode::kOk) << "the old state still works";
    EXPECT_EQ(rig_.Flush(), ErrorCode::kOk);
  }
  EXPECT_TRUE(Holds(0, 1));
}

TEST_F(ReplicaLayers, AnswerNoSpaceToAnUnmapThatCannotBeRecorded) {
  EXPECT_EQ(rig_.Fill(0, 2 * kBlock, 1), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("a").ok());
  disk_.SetCapacityBytes(0);
  EXPECT_EQ(rig_.Unmap(0, kBlock), ErrorCode::kNoSpace);
  EXPECT_TRUE(Holds(0, 1) && Holds(1, 1));
  EXPECT_FALSE(rig_.device().failed());
  disk_.SetCapacityBytes(UINT64_MAX);
  EXPECT_EQ(rig_.Unmap(0, kBlock), ErrorCode::kOk);
  EXPECT_TRUE(Holds(0, 0) && Holds(1, 1));
}

TEST_F(ReplicaLayers, StayReadableAfterAFailedWrite) {
  EXPECT_EQ(rig_.Fill(0, 64 * kBlock, 1), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("a").ok());
  EXPECT_TRUE(Holds(0, 1));                         // The region is known.
  disk_.SetCapacityBytes(64 * kBlock + 64 * kKiB);  // Room for a part.
  EXPECT_EQ(rig_.Fill(0, 64 * kBlock, 2), ErrorCode::kNoSpace);
  for (uint64_t block = 0; block < 64; ++block) {
    EXPECT_TRUE(Holds(block, 1) || Holds(block, 2)) << block;
  }
  const auto before = rig_.Read(0, 64 * kBlock);
  Reopen();
  EXPECT_EQ(rig_.Read(0, 64 * kBlock), before) << "the map had forgotten what the write left";
}

TEST_F(ReplicaLayers, AreReadWhenTheFirstScanFails) {
  EXPECT_EQ(rig_.Fill(0, kBlock, 1), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("a").ok());
  EXPECT_EQ(rig_.Unmap(kBlock, kBlock), ErrorCode::kOk);
  Reopen();
  disk_.FailReadAt(0);  // The zero map.
  std::vector<std::byte> block(kBlock);
  EXPECT_EQ(rig_.TryRead(0, &block), ErrorCode::kIo);
  EXPECT_TRUE(Holds(0, 1));
}

TEST_F(ReplicaLayers, AreRefusedWithALayerMissingCutOrGrown) {
  ASSERT_TRUE(rig_.Snapshot("a").ok());
  ASSERT_TRUE(rig_.Close().ok());
  auto directory = Dir();
  const auto expect = [&](const std::string& what) {
    const Status status = Open();
    EXPECT_EQ(status.code(), ErrorCode::kCorruption);
    EXPECT_THAT(status.message(), HasSubstr(what));
    const auto findings = FsckReplica(*directory);
    ASSERT_FALSE(findings.empty());
    EXPECT_EQ(findings[0].severity, FsckFinding::Severity::kError);
    EXPECT_THAT(findings[0].message, HasSubstr("layer-000001.img"));
  };
  auto file = directory->OpenFile("layer-000001.img", OpenMode::kReadWrite).value();
  ASSERT_TRUE(file->Truncate(kSize - kBlock).ok());
  expect("layer-000001.img has 16773120 bytes where replica.json says 16777216");
  ASSERT_TRUE(file->Truncate(kSize + kBlock).ok());
  expect("layer-000001.img has 16781312 bytes");
  ASSERT_TRUE(directory->Remove("layer-000001.img").ok());
  expect("layer-000001.img is missing");
}

TEST_F(ReplicaLayers, AreFreedOfLeftOversAtOpenButNotOfOthersFiles) {
  ASSERT_TRUE(rig_.Close().ok());
  auto directory = Dir();
  for (const char* name : {"layer-000009.img", "layer-000009.zero", "replica.json.new", "notes"}) {
    ASSERT_TRUE(directory->OpenFile(name, OpenMode::kCreate).ok());
  }
  EXPECT_EQ(FsckReplica(*directory).size(), 3u);
  ASSERT_TRUE(Open().ok());
  EXPECT_THAT(Files(), ElementsAre("layer-000001.img", "notes"));
}

// It is not theirs to remove: a save of the unit's state may be under way at any time.
TEST_F(ReplicaLayers, LeaveAReplacementOfTheUnitStateAloneWhileOpen) {
  const std::string replacement = ReplacementName(kUnitStateFile);
  ASSERT_TRUE(Dir()->OpenFile(replacement, OpenMode::kCreate).ok());
  EXPECT_EQ(rig_.Fill(0, kBlock, 1), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("a").ok());
  ASSERT_TRUE(rig_.Snapshot("b").ok());
  ASSERT_TRUE(rig_.Revert("a").ok());
  ASSERT_TRUE(rig_.Delete("b").ok());
  EXPECT_TRUE(Dir()->Rename(replacement, kUnitStateFile).ok());
}

TEST_F(ReplicaLayers, AreNotRemovedForAnOldCopyOfTheMetadata) {
  EXPECT_EQ(rig_.Fill(0, kBlock, 1), ErrorCode::kOk);
  auto directory = Dir();
  const ReplicaMeta old = LoadReplicaMeta(*directory).value();
  ASSERT_TRUE(rig_.Snapshot("a").ok());
  EXPECT_EQ(rig_.Fill(0, kBlock, 2), ErrorCode::kOk);
  const ReplicaMeta newest = LoadReplicaMeta(*directory).value();
  ASSERT_TRUE(rig_.Close().ok());
  Status stored;
  ASSERT_EQ(StoreReplicaMeta(*directory, old, &stored), StoreOutcome::kStored);
  const Status opened = Open();
  EXPECT_EQ(opened.code(), ErrorCode::kCorruption);
  EXPECT_THAT(opened.message(), HasSubstr("layer-000002.img holds data"));
  EXPECT_EQ(FsckReplica(*directory)[0].severity, FsckFinding::Severity::kError);

  ASSERT_EQ(StoreReplicaMeta(*directory, newest, &stored), StoreOutcome::kStored);
  ASSERT_TRUE(Open().ok());
  EXPECT_TRUE(Holds(0, 2));
}

TEST_F(ReplicaLayers, KeepAZeroMapThatAnOldCopyOfTheMetadataDoesNotKnow) {
  EXPECT_EQ(rig_.Fill(0, kBlock, 1), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("a").ok());
  auto directory = Dir();
  const ReplicaMeta old = LoadReplicaMeta(*directory).value();
  EXPECT_EQ(rig_.Unmap(0, kBlock), ErrorCode::kOk);
  const ReplicaMeta newest = LoadReplicaMeta(*directory).value();
  ASSERT_TRUE(rig_.Close().ok());
  Status stored;
  ASSERT_EQ(StoreReplicaMeta(*directory, old, &stored), StoreOutcome::kStored);
  const Status opened = Open();
  EXPECT_EQ(opened.code(), ErrorCode::kCorruption);
  EXPECT_THAT(opened.message(), HasSubstr("layer-000002.zero holds data"));
  EXPECT_EQ(FsckReplica(*directory)[0].severity, FsckFinding::Severity::kError);

  ASSERT_EQ(StoreReplicaMeta(*directory, newest, &stored), StoreOutcome::kStored);
  ASSERT_TRUE(Open().ok());
  EXPECT_TRUE(Holds(0, 0));
}

TEST_F(ReplicaLayers, AreNotCutBackToTheSizeInAnOldCopyOfTheMetadata) {
  auto directory = Dir();
  const ReplicaMeta old = LoadReplicaMeta(*directory).value();
  ASSERT_TRUE(rig_.Expand(kSize + 4 * kBlock).ok());
  EXPECT_EQ(rig_.Fill(kSize + kBlock, kBlock, 1), ErrorCode::kOk);
  const ReplicaMeta newest = LoadReplicaMeta(*directory).value();
  ASSERT_TRUE(rig_.Close().ok());
  Status stored;
  ASSERT_EQ(StoreReplicaMeta(*directory, old, &stored), StoreOutcome::kStored);
  const Status opened = Open();
  EXPECT_EQ(opened.code(), ErrorCode::kCorruption);
  EXPECT_THAT(opened.message(), HasSubstr("layer-000001.img holds data past its end"));
  EXPECT_EQ(FsckReplica(*directory)[0].severity, FsckFinding::Severity::kError);

  ASSERT_EQ(StoreReplicaMeta(*directory, newest, &stored), StoreOutcome::kStored);
  ASSERT_TRUE(Open().ok());
  EXPECT_EQ(rig_.Read(kSize + kBlock, kBlock), Bytes(kBlock, 1));
}

TEST_F(ReplicaLayers, AreFoundSoundByTheOfflineCheck) {
  EXPECT_EQ(rig_.Fill(0, kBlock, 1), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("a").ok());
  EXPECT_EQ(rig_.Unmap(0, kBlock), ErrorCode::kOk);
  EXPECT_THAT(FsckReplica(*Dir())[0].message, HasSubstr("in use"));
  ASSERT_TRUE(rig_.Close().ok());
  EXPECT_TRUE(FsckReplica(*Dir()).empty());
}

TEST_F(ReplicaLayers, GrowWithTheVolumeAndTellItsObservers) {
  EXPECT_EQ(rig_.Fill(kSize - kBlock, kBlock, 1), ErrorCode::kOk);
  ASSERT_TRUE(rig_.Snapshot("a").ok());
  EXPECT_EQ(rig_.Unmap(0, kBlock), ErrorCode::kOk);
  uint64_t heard = 0;
  rig_.device().AddInfoObserver([&heard](const DeviceInfo& info) { heard = info.size_bytes; });
  ASSERT_TRUE(rig_.Expand(kSize + 5 * kBlock).ok());
  EXPECT_EQ(heard, kSize + 5 * kBlock);
  EXPECT_EQ(rig_.Fill(kSize + 4 * kBlock, kBlock, 2), ErrorCode::kOk);
  EXPECT_EQ(rig_.Unmap(kSize, kBlock), ErrorCode::kOk);
  EXPECT_EQ(rig_.Expand(kSize).code(), ErrorCode::kInvalidArgument);
  Reopen();
  EXPECT_EQ(rig_.device().info().size_bytes, kSize + 5 * kBlock);
  EXPECT_EQ(rig_.Read(kSize - kBlock, kBlock), Bytes(kBlock, 1));
  EXPECT_EQ(rig_.Read(kSize, kBlock), Bytes(kBlock, 0));
  ASSERT_TRUE(rig_.Revert("a").ok());
  EXPECT_EQ(rig_.device().info().size_bytes, kSize + 5 * kBlock) << "a revert keeps the size";
  EXPECT_EQ(rig_.Read(kSize + 4 * kBlock, kBlock), Bytes(kBlock, 0));
}

TEST_F(ReplicaLayers, RefuseToGrowBeyondTheFileSystemAndNameItsLimit) {
  disk_.SetFileBytesMax(40 * kMiB);
  const Status status = rig_.Expand(64 * kMiB);
  EXPECT_EQ(status.code(), ErrorCode::kOutOfRange);
  EXPECT_THAT(status.message(), HasSubstr(std::to_string(40 * kMiB)));
  EXPECT_EQ(rig_.device().info().size_bytes, kSize);
  EXPECT_TRUE(rig_.Expand(40 * kMiB).ok());
  EXPECT_EQ(Files().size(), 1u);
}

TEST(ReplicaCreate, RefusesSizesAndNamesTheLimit) {
  SimDisk disk;
  auto root = disk.Root();
  const auto create = [&](uint64_t size_bytes) {
    return CreateReplica(*root, "r", {kVolumeId, kReplicaId, size_bytes});
  };
  EXPECT_EQ(create(kVolumeBytesMin - kBlock).code(), ErrorCode::kOutOfRange);
  EXPECT_EQ(create(kVolumeBytesMax + kBlock).code(), ErrorCode::kOutOfRange);
  EXPECT_EQ(create(kVolumeBytesMin + 512).code(), ErrorCode::kInvalidArgument);
  disk.SetFileBytesMax(100 * kMiB);
  const Status status = create(1 * kGiB);
  EXPECT_EQ(status.code(), ErrorCode::kOutOfRange);
  EXPECT_THAT(status.message(), HasSubstr(std::to_string(100 * kMiB)));
  EXPECT_THAT(root->List().value(), testing::IsEmpty());
  EXPECT_TRUE(create(100 * kMiB).ok());
  EXPECT_EQ(create(kMiB).code(), ErrorCode::kAlreadyExists);
}

TEST(ReplicaCreate, LeavesNothingBehindWhenAStepFails) {
  for (uint64_t step = 0;; ++step) {
    SimDisk disk;
    auto root = disk.Root();
    disk.FailAt(step, ErrorCode::kNoSpace);
    if (CreateReplica(*root, "r", {kVolumeId, kReplicaId, kMiB}).ok()) break;
    EXPECT_THAT(root->List().value(), testing::IsEmpty()) << "step " << step;
  }
}

TEST(ReplicaCreate, RemovesNoReplicaThatIsOpen) {
  SimDisk disk;
  auto root = disk.Root();
  ASSERT_TRUE(CreateReplica(*root, "r", {kVolumeId, kReplicaId, kMiB}).ok());
  ReplicaRig rig;
  ASSERT_TRUE(rig.Open(root->OpenDirectory("r").value()).ok());
  EXPECT_EQ(RemoveReplica(*root, "r").code(), ErrorCode::kBusy);
  ASSERT_TRUE(rig.Close().ok());
  EXPECT_TRUE(RemoveReplica(*root, "r").ok());
  EXPECT_THAT(root->List().value(), testing::IsEmpty());
  EXPECT_EQ(RemoveReplica(*root, "r").code(), ErrorCode::kNotFound);
}

}  // namespace
}  // namespace aurochs
