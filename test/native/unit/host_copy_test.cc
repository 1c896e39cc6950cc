// Copies of snapshots and holds on writes, through a host.
#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <vector>

#include "base/limits.h"
#include "host/copy_slots.h"
#include "support/host_rig.h"
#include "support/temp_directory.h"

namespace aurochs {
namespace {

using test::Await;
using test::Close;
using test::Describe;
using test::HostRig;

constexpr uint64_t kSizeBytes = 16 * kMiB;

std::future<Status> StartCopy(HostVolume& volume, const std::string& disk,
                              const std::string& name) {
  auto promise = std::make_shared<std::promise<Status>>();
  volume.CopySnapshot("s1", {disk, name, {"volume-" + name, "replica-" + name, kSizeBytes}},
                      [promise](Status status) { promise->set_value(std::move(status)); });
  return promise->get_future();
}

Status Cancel(HostVolume& volume, const std::string& name) {
  return Await<Status>([&](auto done) { volume.CancelCopy(name, std::move(done)); });
}

class HostCopy : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(rig_.Create(disk_.path(), "r", kSizeBytes).ok());
    volume_ = rig_.Open(disk_.path(), "r", 1).value();
    ASSERT_TRUE(Await<Status>([&](auto done) {
                  volume_->TakeSnapshot("s1", "one", 1, std::move(done));
                }).ok());
  }
  std::vector<std::string> NamesOn(const TempDirectory& disk) {
    return disk.Open()->OpenDirectory("replicas").value()->List().value();
  }

  const TempDirectory disk_;
  const TempDirectory other_disk_;
  HostRig rig_;
  std::shared_ptr<HostVolume> volume_;
};

TEST_F(HostCopy, GoesToAnyDiskAndTellsItsProgress) {
  ASSERT_TRUE(StartCopy(*volume_, other_disk_.path(), "copy").get().ok());
  (void)rig_.events().WaitFor<CopyProgressEvent>([](const CopyProgressEvent& event) {
    return event.volume_id == "volume-copy" && event.share == 1;
  });
  EXPECT_EQ(NamesOn(other_disk_), std::vector<std::string>{"copy"});
  const auto copy = rig_.Open(other_disk_.path(), "copy", 1).value();
  EXPECT_EQ(Describe(*copy)->replica.volume_id, "volume-copy");
  EXPECT_TRUE(Close(*copy).ok());
}

TEST_F(HostCopy, HasANameInsideTheDirectoryOfReplicas) {
  EXPECT_EQ(StartCopy(*volume_, disk_.path(), "../x").get().code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(StartCopy(*volume_, disk_.path() + "/gone", "x").get().code(), ErrorCode::kNotFound);
}

// Cancelled as soon as it was asked for, and closed: what is left is whole or nothing.
TEST_F(HostCopy, EndsWithAllOrNothingHoweverItEnds) {
  for (int round = 0; round < 20; ++round) {
    const std::string name = "copy" + std::to_string(round);
    auto copy = StartCopy(*volume_, other_disk_.path(), name);
    EXPECT_TRUE(Cancel(*volume_, name).ok());
    ASSERT_EQ(copy.wait_for(std::chrono::seconds(0)), std::future_status::ready);
    const Status status = copy.get();
    EXPECT_TRUE(status.ok() || status.code() == ErrorCode::kAborted) << status.ToString();
    auto expected = status.ok() ? std::vector<std::string>{name} : std::vector<std::string>{};
    EXPECT_EQ(NamesOn(other_disk_), expected);
    if (!status.ok()) continue;
    EXPECT_TRUE(Await<Status>([&](auto done) {
                  rig_.host().RemoveReplica(other_disk_.path(), name, std::move(done));
                }).ok());
  }
  auto copy = StartCopy(*volume_, other_disk_.path(), "last");
  EXPECT_TRUE(rig_.Close().ok());
  const Status status = copy.get();
  EXPECT_TRUE(status.ok() || status.code() == ErrorCode::kAborted) << status.ToString();
  EXPECT_EQ(NamesOn(other_disk_).size(), status.ok() ? 1u : 0u);
}

TEST_F(HostCopy, OfAClosedVolumeHasEnded) {
  EXPECT_TRUE(Close(*volume_).ok());
  EXPECT_EQ(StartCopy(*volume_, disk_.path(), "copy").get().code(), ErrorCode::kUnavailable);
  EXPECT_TRUE(Cancel(*volume_, "copy").ok());
  EXPECT_TRUE(rig_.Close().ok());
  EXPECT_TRUE(Cancel(*volume_, "copy").ok());
}

TEST_F(HostCopy, AndHoldsNeedAReplica) {
  const auto memory = rig_.OpenMemory(kSizeBytes).value();
  EXPECT_EQ(StartCopy(*memory, disk_.path(), "copy").get().code(), ErrorCode::kUnsupported);
  EXPECT_TRUE(Cancel(*memory, "copy").ok());
  const auto held = Await<Result<uint64_t>>(
      [&](auto done) { memory->HoldWrites(kWriteHoldMsMax, std::move(done)); });
  EXPECT_EQ(held.status().code(), ErrorCode::kUnsupported);
}

TEST_F(HostCopy, AHoldEndsWithItsVolume) {
  const auto release = [&](uint64_t hold) {
    return *Await<Result<bool>>([&](auto done) { volume_->ReleaseWrites(hold, std::move(done)); });
  };
  const auto hold = [&] {
    return *Await<Result<uint64_t>>(
        [&](auto done) { volume_->HoldWrites(kWriteHoldMsMax, std::move(done)); });
  };
  EXPECT_TRUE(release(hold()));
  const uint64_t last = hold();
  EXPECT_TRUE(Close(*volume_).ok());
  EXPECT_FALSE(release(last));
  EXPECT_TRUE(rig_.Close().ok());
  EXPECT_FALSE(release(last));
}

TEST(CopySlots, AreAsManyAsTheLimitSays) {
  CopySlots slots;
  for (uint32_t taken = 0; taken < kHostSnapshotCopiesMax; ++taken) EXPECT_TRUE(slots.TryTake());
  EXPECT_FALSE(slots.TryTake());
  slots.Give();
  EXPECT_TRUE(slots.TryTake());
  EXPECT_FALSE(slots.TryTake());
}

}  // namespace
}  // namespace aurochs
