// Copies of snapshots into new replicas, while the source goes on.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <future>
#include <map>
#include <memory>

#include "base/limits.h"
#include "replica/fsck.h"
#include "support/block_io.h"
#include "support/copy_source.h"
#include "support/gated_directory.h"
#include "support/replica_rig.h"
#include "support/sim_directory.h"
#include "support/temp_directory.h"

namespace aurochs {
namespace {

using test::Bytes;
using test::ContentOf;
using test::GatedDirectory;
using test::kCopySourceBytes;
using test::kReplicaId;
using test::kVolumeId;
using test::ReplicaRig;
using test::ScanGate;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A directory of the target's disk that tells of two calls before they are made.
class WatchedDirectory final : public test::ForwardingDirectory {
 public:
  WatchedDirectory(std::unique_ptr<Directory> directory, std::function<void()> before_rename,
                   std::function<void()> before_sync)
      : ForwardingDirectory(std::move(directory)),
        before_rename_(std::move(before_rename)),
        before_sync_(std::move(before_sync)) {}

  Status Rename(std::string_view from, std::string_view to) override {
    if (before_rename_) before_rename_();
    return ForwardingDirectory::Rename(from, to);
  }
  Status Sync() override {
    if (before_sync_) before_sync_();
    return ForwardingDirectory::Sync();
  }

 private:
  std::unique_ptr<File> Wrap(std::unique_ptr<File> file) override { return file; }

  const std::function<void()> before_rename_;
  const std::function<void()> before_sync_;
};

class ReplicaCopy : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(CreateReplica(*disk_.Root(), "r", {kVolumeId, kReplicaId, kCopySourceBytes}).ok());
    auto directory = disk_.Root()->OpenDirectory("r").value();
    ASSERT_TRUE(rig_.Open(std::make_unique<GatedDirectory>(std::move(directory), gate_)).ok());
    held_ = test::TakeThreeSnapshots(rig_);
  }
  void TearDown() override {
    gate_.Open();
    if (rig_.is_open()) (void)rig_.Close();
  }

  std::future<Status> Start(const std::string& word, const std::string& name = "copy",
                            uint64_t size_bytes = kCopySourceBytes) {
    return rig_.StartCopy(
        word, [this] { return target_.Root(); }, name, size_bytes);
  }
  Status Copy(const std::string& word, const std::string& name = "copy",
              uint64_t size_bytes = kCopySourceBytes) {
    return Start(word, name, size_bytes).get();
  }
  // A copy that has looked for data and not copied it.
  std::future<Status> StartAndStop(const std::string& word, const std::string& name = "copy") {
    gate_.Close();
    auto copy = Start(word, name);
    gate_.AwaitWaiting();
    return copy;
  }
  std::vector<std::string> Names() { return target_.Root()->List().value(); }
  std::vector<std::byte> Content(const std::string& name = "copy") {
    return ContentOf(target_.Root()->OpenDirectory(name).value());
  }

  SimDisk disk_;
  SimDisk target_;
  ScanGate gate_;
  ReplicaRig rig_{false};
  std::map<std::string, std::vector<std::byte>> held_;
};

TEST_F(ReplicaCopy, ReadsAsTheSnapshotDoesAndIsAReplicaLikeAnyOther) {
  for (const auto& [word, content] : held_) {
    ASSERT_TRUE(Copy(word, word).ok());
    target_.PowerCut(1);
    EXPECT_EQ(Content(word), content) << word;
    EXPECT_THAT(FsckReplica(*target_.Root()->OpenDirectory(word).value()), IsEmpty()) << word;
  }
  EXPECT_THAT(Names(), ElementsAre("a", "b", "c"));
  ReplicaRig copy;
  ASSERT_TRUE(copy.Open(target_.Root()->OpenDirectory("c").value()).ok());
  EXPECT_EQ(copy.Describe()->volume_id, "volume-c");
  EXPECT_EQ(copy.Describe()->replica_id, "replica-c");
  EXPECT_EQ(copy.Describe()->epoch, 1u);
}

TEST_F(ReplicaCopy, KeepsZerosAsHoles) {
  ASSERT_TRUE(Copy("c").ok());
  ReplicaRig copy;
  ASSERT_TRUE(copy.Open(target_.Root()->OpenDirectory("copy").value()).ok());
  EXPECT_EQ(copy.Allocation(),
            "d40960 h16384 d73728 h8192 d8192 h16384 d98304 h8339456 d65536 h3915776");
}

TEST_F(ReplicaCopy, MayBeLargerThanTheSnapshotButNotSmaller) {
  EXPECT_EQ(Copy("a", "copy", kCopySourceBytes - kBlockBytes).code(), ErrorCode::kInvalidArgument);
  EXPECT_THAT(Names(), IsEmpty());
  ASSERT_TRUE(Copy("a", "copy", kCopySourceBytes + 5 * kMiB).ok());
  auto expected = held_["a"];
  expected.resize(kCopySourceBytes + 5 * kMiB);
  EXPECT_EQ(Content(), expected);
}

TEST_F(ReplicaCopy, OfWhatIsNotThereOrIsGoingIsRefused) {
  EXPECT_EQ(Copy("x").code(), ErrorCode::kNotFound);
  auto stopped = StartAndStop("c");
  ASSERT_TRUE(rig_.DeleteRecorded("c").ok());
  EXPECT_EQ(Copy("c", "other").code(), ErrorCode::kFailedPrecondition);
  gate_.Open();
  EXPECT_TRUE(stopped.get().ok());
}

TEST_F(ReplicaCopy, AnswersThatTheNameIsTaken) {
  ASSERT_TRUE(Copy("a").ok());
  EXPECT_EQ(Copy("b").code(), ErrorCode::kAlreadyExists);
  EXPECT_EQ(Content(), held_["a"]);
  EXPECT_THAT(Names(), ElementsAre("copy"));
}

TEST_F(ReplicaCopy, TakesOverWhatAnInterruptedOneLeftButNotOneThatIsUnderWay) {
  ASSERT_TRUE(target_.Root()->CreateDirectory(".new-copy").ok());
  auto stopped = StartAndStop("a");
  EXPECT_EQ(CreateReplica(*target_.Root(), "copy", {"v", "r", kMiB}).code(), ErrorCode::kBusy);
  EXPECT_EQ(RemoveInterrupted(*target_.Root()).code(), ErrorCode::kBusy);
  gate_.Open();
  EXPECT_TRUE(stopped.get().ok());
  EXPECT_EQ(Content(), held_["a"]);
}

TEST_F(ReplicaCopy, IsCancelledWhileItsDiskIsOpened) {
  std::promise<void> opening;
  std::promise<void> go_on;
  auto copy = rig_.StartCopy(
      "a",
      [&] {
        opening.set_value();
        go_on.get_future().wait();
        return target_.Root();
      },
      "copy", kCopySourceBytes);
  opening.get_future().wait();
  auto cancelled = rig_.StartCancel("copy");
  EXPECT_EQ(rig_.Read(0, 512), Bytes(512, 6)) << "the cancel was taken, and the volume serves";
  go_on.set_value();
  EXPECT_EQ(copy.get().code(), ErrorCode::kAborted);
  cancelled.get();
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(ReplicaCopy, IsCancelledRightAfterItWasAskedFor) {
  std::promise<std::pair<std::future<Status>, std::future<void>>> asked;
  rig_.loop().Post([&] {  // From the loop, so that nothing comes between the two.
    auto copy = Start("a");
    asked.set_value({std::move(copy), rig_.StartCancel("copy")});
  });
  auto [copy, cancelled] = asked.get_future().get();
  EXPECT_EQ(copy.get().code(), ErrorCode::kAborted);
  cancelled.get();
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(ReplicaCopy, IsCancelledWhileItCopies) {
  auto copy = StartAndStop("a");
  auto cancelled = rig_.StartCancel("copy");
  auto again = rig_.StartCancel("copy");
  EXPECT_EQ(rig_.Fill(0, 512, 7), ErrorCode::kOk);
  gate_.Open();
  EXPECT_EQ(copy.get().code(), ErrorCode::kAborted);
  cancelled.get();
  again.get();
  rig_.StartCancel("copy").get();
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(ReplicaCopy, IsCancelledWhileItGetsItsName) {
  for (const bool renamed : {false, true}) {
    std::promise<void> there;
    std::promise<void> go_on;
    std::atomic<bool> stopped = false;  // Undoing renames and syncs too.
    const std::function<void()> stop = [&] {
      if (stopped.exchange(true)) return;
      there.set_value();
      go_on.get_future().wait();
    };
    auto copy = rig_.StartCopy(
        "a",
        [&]() -> Result<std::unique_ptr<Directory>> {
          const std::function<void()> nothing;
          return std::unique_ptr<Directory>(std::make_unique<WatchedDirectory>(
              target_.Root(), renamed ? nothing : stop, renamed ? stop : nothing));
        },
        "copy", kCopySourceBytes);
    there.get_future().wait();
    auto cancelled = rig_.StartCancel("copy");
    EXPECT_EQ(rig_.Fill(0, 512, 7), ErrorCode::kOk);
    go_on.set_value();
    EXPECT_EQ(copy.get().code(), ErrorCode::kAborted);
    cancelled.get();
    EXPECT_THAT(Names(), IsEmpty());
  }
}

TEST_F(ReplicaCopy, EndsWhenItsSourceIsClosed) {
  auto copying = StartAndStop("a", "one");
  auto waiting = Start("b", "two");
  rig_.loop().Post([this] { rig_.device().BeginClose(); });
  EXPECT_EQ(Copy("c", "three").code(), ErrorCode::kUnavailable);
  auto closed = std::async(std::launch::async, [this] { return rig_.Close(); });
  gate_.Open();
  EXPECT_EQ(copying.get().code(), ErrorCode::kAborted);
  EXPECT_EQ(waiting.get().code(), ErrorCode::kAborted);
  EXPECT_TRUE(closed.get().ok());
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(ReplicaCopy, HoldsBackTheMergeOfWhatItReads) {
  for (const std::string word : {"a", "b"}) {
    auto copy = StartAndStop("b", word);
    ASSERT_TRUE(rig_.DeleteRecorded(word).ok());
    ASSERT_TRUE(rig_.Snapshot("after-" + word).ok());
    EXPECT_EQ(rig_.Fill(0, 128 * kBlockBytes, 9), ErrorCode::kOk);
    gate_.Open();
    ASSERT_TRUE(copy.get().ok());
    EXPECT_EQ(Content(word), held_["b"]) << word;
    const Status merged = rig_.Delete(word);
    EXPECT_TRUE(merged.ok() || merged.code() == ErrorCode::kNotFound) << merged.ToString();
  }
  ASSERT_TRUE(Copy("c").ok());
  EXPECT_EQ(Content(), held_["c"]);
}

TEST_F(ReplicaCopy, LetsOthersMergeMeanwhile) {
  auto copy = StartAndStop("a");
  auto merged = std::async(std::launch::async, [this] { return rig_.Delete("c"); });
  gate_.Open();
  EXPECT_TRUE(merged.get().ok());
  EXPECT_TRUE(copy.get().ok());
  EXPECT_EQ(Content(), held_["a"]);
}

TEST_F(ReplicaCopy, DoesNotMindARevert) {
  auto copy = StartAndStop("c");
  ASSERT_TRUE(rig_.Revert("a").ok());
  EXPECT_EQ(rig_.Fill(0, 64 * kBlockBytes, 9), ErrorCode::kOk);
  gate_.Open();
  EXPECT_TRUE(copy.get().ok());
  EXPECT_EQ(Content(), held_["c"]);
}

TEST_F(ReplicaCopy, RunsTwiceAtOnceAndNoMore) {
  auto one = StartAndStop("a", "one");
  auto two = Start("b", "two");
  EXPECT_EQ(Copy("c", "one").code(), ErrorCode::kBusy);
  EXPECT_EQ(Copy("c", "three").code(), ErrorCode::kBusy);
  gate_.Open();
  EXPECT_TRUE(one.get().ok());
  EXPECT_TRUE(two.get().ok());
  EXPECT_TRUE(Copy("c", "three").ok());
  EXPECT_EQ(Content("one"), held_["a"]);
  EXPECT_EQ(Content("two"), held_["b"]);
  EXPECT_EQ(Content("three"), held_["c"]);
}

TEST_F(ReplicaCopy, SaysAtOnceThatItCannotFit) {
  target_.SetCapacityBytes(kCopyFreeBytesMin + 50 * kBlockBytes);
  const Status status = Copy("a");
  EXPECT_EQ(status.code(), ErrorCode::kNoSpace);
  EXPECT_THAT(status.message(), HasSubstr(std::to_string(65 * kBlockBytes)));
  EXPECT_THAT(status.message(), HasSubstr(std::to_string(kCopyFreeBytesMin + 50 * kBlockBytes)));
  EXPECT_THAT(Names(), IsEmpty());
}

TEST_F(ReplicaCopy, LeavesSpaceForTheVolumesInUse) {
  target_.SetCapacityBytes(kCopyFreeBytesMin + 64 * kBlockBytes);
  EXPECT_EQ(Copy("a").code(), ErrorCode::kNoSpace);
  target_.SetCapacityBytes(kCopyFreeBytesMin + 65 * kBlockBytes);
  EXPECT_TRUE(Copy("a").ok());
}

// Each of the two fits; before, each compared itself with the same free space.
TEST_F(ReplicaCopy, FitsBesideWhatCopiesOfOtherVolumesHaveStillToWriteOrIsRefused) {
  ASSERT_TRUE(CreateReplica(*disk_.Root(), "r2", {kVolumeId, kReplicaId, kCopySourceBytes}).ok());
  ReplicaRig other(false);
  ASSERT_TRUE(other.Open(disk_.Root()->OpenDirectory("r2").value()).ok());
  ASSERT_EQ(other.Fill(0, 65 * kBlockBytes, 1), ErrorCode::kOk);
  ASSERT_TRUE(other.Snapshot("a").ok());
  const auto copy_other = [&] {
    return other
        .StartCopy(
            "a", [this] { return target_.Root(); }, "two", kCopySourceBytes)
        .get();
  };
  target_.SetCapacityBytes(kCopyFreeBytesMin + 100 * kBlockBytes);
  auto one = StartAndStop("a", "one");
  const Status refused = copy_other();
  EXPECT_EQ(refused.code(), ErrorCode::kNoSpace);
  EXPECT_THAT(refused.message(), HasSubstr(std::to_string(65 * kBlockBytes) + " still to write"));
  EXPECT_THAT(Names(), ElementsAre(".new-one"));
  auto cancelled = rig_.StartCancel("one");
  gate_.Open();
  EXPECT_EQ(one.get().code(), ErrorCode::kAborted);
  cancelled.get();
  ASSERT_TRUE(target_.Root()->Sync().ok());  // Until then a power cut could bring its files back.
  EXPECT_TRUE(copy_other().ok()) << "what a copy had claimed goes with it";
}

TEST_F(ReplicaCopy, CountsWhatItHasWrittenOnce) {
  target_.SetCapacityBytes(kCopyFreeBytesMin + 140 * kBlockBytes);
  ASSERT_TRUE(Copy("a", "one").ok());
  EXPECT_TRUE(Copy("a", "two").ok());
  EXPECT_EQ(Copy("a", "three").code(), ErrorCode::kNoSpace);
}

TEST_F(ReplicaCopy, LeavesNothingBehindWhenAStepFails) {
  for (uint64_t step = 0;; ++step) {
    target_.FailAt(step, ErrorCode::kNoSpace);
    const Status status = Copy("c");
    if (status.ok()) break;
    EXPECT_EQ(status.code(), ErrorCode::kNoSpace) << "step " << step << ": " << status.ToString();
    EXPECT_THAT(Names(), IsEmpty()) << "step " << step;
    EXPECT_FALSE(rig_.device().failed());
  }
  target_.KillProcess();  // With the error that waits for a step past the last.
  EXPECT_EQ(Content(), held_["c"]);
}

TEST_F(ReplicaCopy, FailsWithItsSourcesDiskAndTheVolumeGoesOn) {
  disk_.FailReadAt(0);
  EXPECT_EQ(Copy("c").code(), ErrorCode::kIo);
  EXPECT_THAT(Names(), IsEmpty());
  EXPECT_FALSE(rig_.device().failed());
  EXPECT_TRUE(Copy("c").ok());
}

TEST_F(ReplicaCopy, TellsItsProgress) {
  std::mutex mutex;
  std::vector<double> shares;
  auto copy = rig_.StartCopy(
      "c", [this] { return target_.Root(); }, "copy", kCopySourceBytes,
      [&](double share) {
        std::lock_guard lock(mutex);
        shares.push_back(share);
      });
  ASSERT_TRUE(copy.get().ok());
  std::lock_guard lock(mutex);
  ASSERT_FALSE(shares.empty());
  EXPECT_TRUE(std::is_sorted(shares.begin(), shares.end()));
  EXPECT_EQ(shares.back(), 1.0);
}

TEST(ReplicaCopyOnOneDisk, SharesExtentsWhereItCanAndThenNeedsNoSpace) {
  SimDisk disk;
  disk.SetCanClone(true);
  ASSERT_TRUE(CreateReplica(*disk.Root(), "r", {kVolumeId, kReplicaId, kCopySourceBytes}).ok());
  ReplicaRig rig;
  ASSERT_TRUE(rig.Open(disk.Root()->OpenDirectory("r").value()).ok());
  auto held = test::TakeThreeSnapshots(rig);
  disk.SetCapacityBytes(kCopyFreeBytesMin);
  for (const std::string word : {"a", "b", "c"}) {
    ASSERT_TRUE(rig.StartCopy(
                       word, [&] { return disk.Root(); }, word, kCopySourceBytes)
                    .get()
                    .ok());
    EXPECT_EQ(ContentOf(disk.Root()->OpenDirectory(word).value()), held[word]);
  }
}

TEST(ReplicaCopyOnOneDisk, IsOfOneMomentWhileTheVolumeIsWrittenTo) {
  const TempDirectory disk;
  ASSERT_TRUE(CreateReplica(*disk.Open(), "r", {kVolumeId, kReplicaId, kCopySourceBytes}).ok());
  ReplicaRig rig(false);
  ASSERT_TRUE(rig.Open(disk.Open()->OpenDirectory("r").value()).ok());
  auto held = test::TakeThreeSnapshots(rig);
  std::atomic<bool> over = false;
  auto writer = std::async(std::launch::async, [&] {
    for (uint64_t i = 0; !over; ++i) {
      const uint64_t at = i * 7919 % (kCopySourceBytes / kBlockBytes - 16) * kBlockBytes;
      CHECK(rig.Fill(at, 16 * kBlockBytes, static_cast<uint8_t>(i)) == ErrorCode::kOk);
      if (i % 5 == 0) CHECK(rig.Unmap(at, 4 * kBlockBytes) == ErrorCode::kOk);
    }
  });
  for (int round = 0; round < 4; ++round) {
    const std::string name = "copy" + std::to_string(round);
    auto copy = rig.StartCopy(
        "b", [&] { return disk.Open(); }, name, kCopySourceBytes);
    const std::string word = "s" + std::to_string(round);
    EXPECT_TRUE(rig.Snapshot(word).ok());
    EXPECT_TRUE(rig.Delete(word).ok());
    const Status status = copy.get();
    EXPECT_TRUE(status.ok()) << status.ToString();
    EXPECT_EQ(ContentOf(disk.Open()->OpenDirectory(name).value()), held["b"]);
  }
  over = true;
  writer.get();
  ASSERT_TRUE(rig.Close().ok());
  EXPECT_THAT(FsckReplica(*disk.Open()->OpenDirectory("r").value()), IsEmpty());
}

}  // namespace
}  // namespace aurochs
