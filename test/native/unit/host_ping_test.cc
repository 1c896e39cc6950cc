#include <gtest/gtest.h>

#include <chrono>
#include <future>

#include "host/native_host.h"
#include "support/host_rig.h"

namespace aurochs {
namespace {

using test::HostRig;

constexpr uint64_t kSizeBytes = 16 * kMiB;

std::future<Status> Ping(HostRig& rig) {
  auto promise = std::make_shared<std::promise<Status>>();
  rig.host().Ping([promise](Status status) { promise->set_value(std::move(status)); });
  return promise->get_future();
}

TEST(HostPing, IsAnsweredWhenEveryLoopHasRun) {
  HostRig rig(3);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(Ping(rig).get().ok());
}

// A callback runs on the volume's loop and must return at once: this one stands for a loop that
// hangs.
TEST(HostPing, WaitsForALoopThatHangs) {
  HostRig rig(2);
  const auto first = rig.OpenMemory(kSizeBytes).value();
  const auto second = rig.OpenMemory(kSizeBytes).value();  // On the loop that is not the control's.
  std::promise<void> hung;
  std::promise<void> release;
  second->Describe([&](const Result<VolumeDescription>&) {
    hung.set_value();
    release.get_future().wait();
  });
  hung.get_future().wait();
  std::future<Status> ping = Ping(rig);
  // Everything else goes on, and the ping is still not answered.
  EXPECT_TRUE(test::Describe(*first).ok());
  EXPECT_EQ(ping.wait_for(std::chrono::milliseconds(50)), std::future_status::timeout);
  release.set_value();
  EXPECT_TRUE(ping.get().ok());
}

TEST(HostPing, IsAnsweredByAHostThatIsClosing) {
  HostRig rig(2);
  std::future<Status> before = Ping(rig);
  std::promise<Status> closed;
  rig.host().Close([&](Status status) { closed.set_value(std::move(status)); });
  std::future<Status> after = Ping(rig);
  EXPECT_TRUE(before.get().ok());
  EXPECT_EQ(after.get().code(), ErrorCode::kUnavailable);
  EXPECT_TRUE(closed.get_future().get().ok());
}

}  // namespace
}  // namespace aurochs
