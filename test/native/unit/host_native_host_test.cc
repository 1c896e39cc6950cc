#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/limits.h"
#include "base/log.h"
#include "host/disk_jobs.h"
#include "host/native_host.h"
#include "support/host_rig.h"
#include "support/temp_directory.h"

namespace aurochs {
namespace {

using test::Await;
using test::Close;
using test::Describe;
using test::EventLog;
using test::HostRig;
using test::VolumeResult;

constexpr uint64_t kSizeBytes = 16 * kMiB;

std::shared_ptr<HostVolume> OpenNew(HostRig& rig, const TempDirectory& disk,
                                    const std::string& name) {
  EXPECT_TRUE(rig.Create(disk.path(), name, kSizeBytes).ok());
  VolumeResult volume = rig.Open(disk.path(), name, 1);
  EXPECT_TRUE(volume.ok()) << volume.status().ToString();
  return volume.value();
}

TEST(NativeHost, CreatesOpensDescribesAndRemovesAReplica) {
  const TempDirectory disk;
  HostRig rig;
  const auto volume = OpenNew(rig, disk, "r");
  auto description = Describe(*volume);
  ASSERT_TRUE(description.ok());
  EXPECT_EQ(description->replica.volume_id, "volume-r");
  EXPECT_EQ(description->replica.size_bytes, kSizeBytes);
  EXPECT_EQ(description->replica.epoch, 1u);
  EXPECT_FALSE(description->failed);

  const auto remove = [&](auto done) {
    rig.host().RemoveReplica(disk.path(), "r", std::move(done));
  };
  EXPECT_EQ(Await<Status>(remove).code(), ErrorCode::kBusy);
  EXPECT_TRUE(Close(*volume).ok());
  EXPECT_TRUE(Await<Status>(remove).ok());
  EXPECT_EQ(Await<Status>(remove).code(), ErrorCode::kNotFound);
}

TEST(NativeHost, FreesADiskOnceOfWhatInterruptedCreationsAndRemovalsLeft) {
  namespace fs = std::filesystem;
  const TempDirectory disk;
  const fs::path replicas = fs::path(disk.path()) / "replicas";
  const auto leave = [&](const char* name) {
    fs::create_directories(replicas / name);
    std::ofstream(replicas / name / "layer-000001.img") << "half-made";
  };
  const auto probe = [&](HostRig& rig) {
    return Await<Result<DiskProbe>>(
               [&](auto done) { rig.host().ProbeDisk(disk.path(), std::move(done)); })
        .ok();
  };
  leave(".new-a");
  leave(".removed-b");
  leave("somebody-elses");
  HostRig rig;
  ASSERT_TRUE(probe(rig));
  EXPECT_FALSE(fs::exists(replicas / ".new-a"));
  EXPECT_FALSE(fs::exists(replicas / ".removed-b"));
  EXPECT_TRUE(fs::exists(replicas / "somebody-elses"));
  // From now on such a name is that of a creation under way.
  leave(".new-c");
  ASSERT_TRUE(probe(rig));
  EXPECT_TRUE(rig.Create(disk.path(), "r", kSizeBytes).ok());
  EXPECT_TRUE(fs::exists(replicas / ".new-c"));
}

TEST(NativeHost, SaysWhatKeepsAReplicaFromOpening) {
  const TempDirectory disk;
  HostRig rig;
  EXPECT_EQ(rig.Open(disk.path() + "/gone", "r", 1).status().code(), ErrorCode::kNotFound);
  EXPECT_EQ(rig.Open(disk.path(), "r", 1).status().code(), ErrorCode::kNotFound);

  const auto volume = OpenNew(rig, disk, "r");
  EXPECT_EQ(rig.Open(disk.path(), "r", 2).status().code(), ErrorCode::kBusy);
  EXPECT_TRUE(Close(*volume).ok());
  EXPECT_TRUE(Close(*rig.Open(disk.path(), "r", 7).value()).ok());
  EXPECT_EQ(rig.Open(disk.path(), "r", 6).status().code(), ErrorCode::kStaleEpoch);
}

TEST(NativeHost, KeepsReplicaNamesInsideTheirDirectory) {
  for (const std::string name : {"", ".", "..", "a/b", "/", "../r"}) {
    EXPECT_EQ(CheckReplicaName(name).code(), ErrorCode::kInvalidArgument) << name;
  }
  EXPECT_EQ(CheckReplicaName(std::string("a\0b", 3)).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(CheckReplicaName(std::string(256, 'a')).code(), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(CheckReplicaName(std::string(255, 'a')).ok());
  EXPECT_TRUE(CheckReplicaName("..a").ok());
}

TEST(NativeHost, RefusesLoopsAndSizesOutOfRange) {
  const auto ignore = [](const HostEvent&) {};
  EXPECT_EQ(NativeHost::Create({.loops = 0, .backend = {}}, ignore).status().code(),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(NativeHost::Create({.loops = kHostLoopsMax + 1, .backend = {}}, ignore).status().code(),
            ErrorCode::kInvalidArgument);
  HostRig rig;
  EXPECT_EQ(rig.OpenMemory(kVolumeBytesMin - kBlockBytes).status().code(), ErrorCode::kOutOfRange);
  EXPECT_EQ(rig.OpenMemory(kVolumeBytesMax + kBlockBytes).status().code(), ErrorCode::kOutOfRange);
  EXPECT_EQ(rig.OpenMemory(kVolumeBytesMin + 512).status().code(), ErrorCode::kInvalidArgument);
}

TEST(NativeHost, ATestVolumeCanBeExportedButHasNoSnapshots) {
  HostRig rig;
  const auto volume = rig.OpenMemory(kSizeBytes).value();
  EXPECT_EQ(Describe(*volume)->replica.size_bytes, kSizeBytes);
  EXPECT_EQ(Await<Status>([&](auto done) { volume->TakeSnapshot("a", "a", 1, done); }).code(),
            ErrorCode::kUnsupported);
  const auto offer = [&](auto done) { volume->ExportNbd({.name = "x"}, std::move(done)); };
  EXPECT_TRUE(Await<Status>(offer).ok());
  EXPECT_EQ(Await<Status>(offer).code(), ErrorCode::kAlreadyExists);
  EXPECT_TRUE(Await<Status>([&](auto done) { volume->UnexportNbd(done); }).ok());
  EXPECT_TRUE(Await<Status>([&](auto done) { volume->UnexportNbd(done); }).ok());
  EXPECT_TRUE(Await<Status>(offer).ok());
}

TEST(NativeHost, TwoVolumesCannotShareAnExportName) {
  HostRig rig;
  const auto one = rig.OpenMemory(kSizeBytes).value();
  const auto two = rig.OpenMemory(kSizeBytes).value();
  EXPECT_TRUE(Await<Status>([&](auto done) { one->ExportNbd({.name = "x"}, done); }).ok());
  EXPECT_EQ(Await<Status>([&](auto done) { two->ExportNbd({.name = "x"}, done); }).code(),
            ErrorCode::kAlreadyExists);
  EXPECT_TRUE(Await<Status>([&](auto done) { two->ExportNbd({.name = "y"}, done); }).ok());
}

TEST(NativeHost, RefusesDiscoveryCredentialsThatNobodyCouldUse) {
  HostRig rig;
  const iscsi::ChapCredentials good{"user", "a secret of 24 bytes ok."};
  const iscsi::ChapCredentials weak{"user", "short"};
  using Chap = std::optional<iscsi::ChapCredentials>;
  const auto set = [&](Chap chap, Chap mutual) {
    return Await<Status>([&](auto done) { rig.host().SetDiscoveryAuth(chap, mutual, done); });
  };
  EXPECT_TRUE(set(good, good).ok());
  EXPECT_TRUE(set({}, {}).ok());
  EXPECT_EQ(set(weak, {}).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(set(good, weak).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(set({}, good).code(), ErrorCode::kInvalidArgument);
}

void DeleteNewSnapshot(HostVolume& volume, const std::string& id) {
  ASSERT_TRUE(Await<Status>([&](auto done) { volume.TakeSnapshot(id, id, 1, done); }).ok());
  ASSERT_TRUE(Await<Status>([&](auto done) { volume.DeleteSnapshot(id, done); }).ok());
}

void WaitForMerge(HostRig& rig, const std::string& id) {
  const auto merged = rig.events().WaitFor<MergeDoneEvent>(
      [&](const MergeDoneEvent& event) { return event.snapshot_id == id; });
  EXPECT_TRUE(merged.status.ok()) << merged.status.ToString();
  EXPECT_EQ(merged.volume_id, "volume-r");
}

TEST(NativeHost, TellsTheEndOfAMerge) {
  const TempDirectory disk;
  HostRig rig;
  const auto volume = OpenNew(rig, disk, "r");
  DeleteNewSnapshot(*volume, "s1");
  WaitForMerge(rig, "s1");
  EXPECT_TRUE(Describe(*volume)->replica.snapshots.empty());
}

TEST(NativeHost, TellsTheEndOfAMergeThatGoesOnAfterReopening) {
  const TempDirectory disk;
  HostRig rig;
  auto volume = OpenNew(rig, disk, "r");
  DeleteNewSnapshot(*volume, "s1");
  EXPECT_TRUE(Close(*volume).ok());
  volume = rig.Open(disk.path(), "r", 2).value();
  // It may have ended before the volume was closed, or before it was described.
  if (!Describe(*volume)->replica.snapshots.empty()) WaitForMerge(rig, "s1");
}

TEST(NativeHost, CallsAfterCloseFailAndCallsBeforeItRunToTheirEnd) {
  const TempDirectory disk;
  HostRig rig;
  const auto volume = OpenNew(rig, disk, "r");
  constexpr int kCalls = 64;
  std::atomic<int> described = 0;
  std::atomic<int> unavailable = 0;
  const auto count = [&](const Result<VolumeDescription>& result) {
    if (result.ok()) ++described;
    if (result.status().code() == ErrorCode::kUnavailable) ++unavailable;
  };
  for (int i = 0; i < kCalls; ++i) volume->Describe(count);
  Status first_closed(ErrorCode::kAborted, "not called");
  volume->Close([&](Status status) { first_closed = std::move(status); });
  for (int i = 0; i < kCalls; ++i) volume->Describe(count);
  EXPECT_TRUE(Close(*volume).ok());
  EXPECT_TRUE(first_closed.ok());
  EXPECT_EQ(described, kCalls);
  EXPECT_EQ(unavailable, kCalls);
  EXPECT_TRUE(Close(*volume).ok());
  EXPECT_EQ(Describe(*volume).status().code(), ErrorCode::kUnavailable);
}

TEST(NativeHost, ClosingSettlesWhatIsUnderWayExactlyOnce) {
  const TempDirectory disk;
  HostRig rig;
  const auto volume = OpenNew(rig, disk, "open");
  ASSERT_TRUE(rig.Create(disk.path(), "opening", kSizeBytes).ok());
  std::atomic<int> settled = 0;
  std::atomic<int> expected = 0;
  const auto settle = [&](const auto&) { ++settled; };
  for (int i = 0; i < 20; ++i) {
    expected += 6;
    rig.host().OpenVolume(disk.path(), "opening", 1, settle);
    rig.host().OpenTestVolume(NativeHost::TestDevice::kNull, kSizeBytes, settle);
    rig.host().ProbeDisk(disk.path(), settle);
    rig.host().ListenNbd("127.0.0.1:0", {}, settle);
    volume->Describe(settle);
    volume->ExportNbd({.name = "x" + std::to_string(i)}, settle);
    if (i == 10) rig.host().Close(settle);
    if (i == 11) volume->Close(settle);
  }
  EXPECT_TRUE(rig.Close().ok());
  EXPECT_TRUE(Close(*volume).ok());
  rig.Destroy();
  EXPECT_EQ(settled, expected + 2);
}

TEST(NativeHost, GivesReplicasBackWhenItIsDestroyedWithoutClose) {
  const TempDirectory disk;
  std::shared_ptr<HostVolume> left_over;
  {
    HostRig rig;
    left_over = OpenNew(rig, disk, "r");
    ASSERT_TRUE(Await<Status>([&](auto done) {
                  left_over->ExportNbd({.name = "x"}, std::move(done));
                }).ok());
  }
  // A handle that outlives its host answers by itself.
  EXPECT_EQ(Describe(*left_over).status().code(), ErrorCode::kUnavailable);
  EXPECT_TRUE(Close(*left_over).ok());

  HostRig rig;
  const VolumeResult again = rig.Open(disk.path(), "r", 2);
  EXPECT_TRUE(again.ok()) << again.status().ToString();
}

TEST(NativeHost, EveryOpenHostHearsTheCoresLogLines) {
  HostRig one;
  const auto hears = [](EventLog& events, const std::string& text) {
    return events.WaitFor<LogEvent>([&](const LogEvent& log) { return log.message == text; });
  };
  {
    HostRig two;
    Log(LogLevel::kWarn, "test", "to both");
    EXPECT_EQ(hears(one.events(), "to both").component, "test");
    EXPECT_EQ(hears(two.events(), "to both").level, LogLevel::kWarn);
  }
  Log(LogLevel::kInfo, "test", "to one");
  EXPECT_EQ(hears(one.events(), "to one").level, LogLevel::kInfo);
}

TEST(NativeHost, SpreadsVolumesOverTheLoopsWithTheFewest) {
  auto loops = LoopSet::Start(3, {}).value();
  LoopSet::Member& first = loops->Assign();
  LoopSet::Member& second = loops->Assign();
  LoopSet::Member& third = loops->Assign();
  EXPECT_NE(&first, &second);
  EXPECT_NE(&second, &third);
  EXPECT_NE(&first, &third);
  loops->Release(second);
  EXPECT_EQ(&loops->Assign(), &second);
}

}  // namespace
}  // namespace aurochs
