#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <future>

#include "host/disk_jobs.h"
#include "support/temp_directory.h"

namespace aurochs {
namespace {

TEST(DiskSweeper, WaitsForNoOtherDiskAndSweepsEachOnce) {
  const TempDirectory hanging;
  const TempDirectory healthy;
  for (const TempDirectory* disk : {&hanging, &healthy}) {
    ASSERT_TRUE(disk->Open()->CreateDirectory("replicas").ok());
  }
  std::promise<void> hangs;
  std::promise<void> let_go;
  std::atomic<int> sweeps = 0;
  DiskSweeper sweeper([&](Directory& replicas) {
    ++sweeps;
    if (replicas.path().starts_with(hanging.path())) {
      hangs.set_value();
      let_go.get_future().wait();
    }
    return Status::Ok();
  });
  auto swept = std::async(std::launch::async, [&] { sweeper.Sweep(hanging.path()); });
  hangs.get_future().wait();
  auto other = std::async(std::launch::async, [&] { sweeper.Sweep(healthy.path()); });
  EXPECT_EQ(other.wait_for(std::chrono::seconds(10)), std::future_status::ready);
  let_go.set_value();
  swept.get();
  other.get();
  sweeper.Sweep(hanging.path());
  EXPECT_EQ(sweeps, 2);
}

}  // namespace
}  // namespace aurochs
