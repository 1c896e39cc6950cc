#include <gtest/gtest.h>

#include "block/checked_device.h"
#include "block/fault_device.h"
#include "block/memory_device.h"
#include "support/block_io.h"

namespace aurochs {
namespace {

using test::Bytes;
using test::PendingIo;
using test::ReadFrom;
using test::RunIo;
using test::WriteTo;

TEST(CheckedDevice, PassesGoodRequestsOnAndTheirResultsBack) {
  MemoryDevice memory({.size_bytes = kMiB});
  FaultDevice faulty(memory);
  CheckedDevice device(faulty);
  EXPECT_EQ(WriteTo(device, 512, Bytes(1024, 7)), ErrorCode::kOk);
  EXPECT_EQ(ReadFrom(device, 512, 1024), Bytes(1024, 7));
  EXPECT_EQ(test::RunsOf(device, {0, kMiB}), "d4096 h1044480");
  faulty.FailAll(IoOp::kFlush, ErrorCode::kIo);
  EXPECT_EQ(RunIo(device, IoOp::kFlush, {}), ErrorCode::kIo);
  EXPECT_EQ(device.in_flight(), 0u);
}

TEST(CheckedDevice, CountsWhatIsInFlight) {
  MemoryDevice memory({.size_bytes = kMiB});
  FaultDevice faulty(memory);
  CheckedDevice device(faulty);
  faulty.DelayAll(IoOp::kRead);
  PendingIo first(device, IoOp::kRead, {0, 512});
  PendingIo second(device, IoOp::kRead, {512, 512});
  first.Submit();
  second.Submit();
  EXPECT_EQ(device.in_flight(), 2u);
  faulty.Release(1);
  EXPECT_TRUE(second.result.has_value());
  EXPECT_FALSE(first.result.has_value());
  faulty.ReleaseAll();
  EXPECT_EQ(device.in_flight(), 0u);
}

TEST(CheckedDevice, PassesOnThatTheDeviceBelowGrew) {
  MemoryDevice memory({.size_bytes = kMiB});
  CheckedDevice device(memory);
  uint64_t seen_bytes = 0;
  device.AddInfoObserver([&](const DeviceInfo& info) { seen_bytes = info.size_bytes; });
  memory.Expand(2 * kMiB);
  EXPECT_EQ(seen_bytes, 2 * kMiB);
}

class CheckedDeviceDeathTest : public testing::Test {
 protected:
  CheckedDeviceDeathTest() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
  void Submit(IoOp op, Extent extent, size_t buffer_bytes, bool read_only = false) {
    MemoryDevice memory({.size_bytes = kMiB, .read_only = read_only, .can_unmap = false});
    CheckedDevice device(memory);
    PendingIo io(device, op, extent, Bytes(buffer_bytes, 0));
    io.piece.iov_len = buffer_bytes;
    io.Submit();
  }
};

TEST_F(CheckedDeviceDeathTest, StopsASubmitterThatBreaksTheContract) {
  EXPECT_DEATH(Submit(IoOp::kWrite, {1, 512}, 512), "IsAligned");
  EXPECT_DEATH(Submit(IoOp::kWrite, {0, 100}, 100), "IsAligned");
  EXPECT_DEATH(Submit(IoOp::kWrite, {0, 0}, 0), "length_bytes > 0");
  EXPECT_DEATH(Submit(IoOp::kWrite, {kMiB - 512, 1024}, 1024), "Contains");
  EXPECT_DEATH(Submit(IoOp::kWrite, {0, 1024}, 512), "length_bytes == request");
  EXPECT_DEATH(Submit(IoOp::kWrite, {0, 512}, 512, true), "read_only");
  EXPECT_DEATH(Submit(IoOp::kUnmap, {0, 512}, 0), "can_unmap");
}

// A device that answers one request twice.
class StutteringDevice : public BlockDevice {
 public:
  const DeviceInfo& info() const override { return info_; }
  void Submit(IoRequest* request) override {
    request->complete(request, ErrorCode::kOk);
    request->complete(request, ErrorCode::kOk);
  }
  void Submit(AllocationQuery* query) override { query->complete(query, ErrorCode::kOk); }

 private:
  DeviceInfo info_{.size_bytes = kMiB};
};

TEST_F(CheckedDeviceDeathTest, StopsADeviceThatBreaksTheContract) {
  StutteringDevice stuttering;
  CheckedDevice device(stuttering);
  EXPECT_DEATH(RunIo(device, IoOp::kFlush, {}), "original != nullptr");
  EXPECT_DEATH(test::RunsOf(device, {0, 512}), "runs.empty");
}

TEST_F(CheckedDeviceDeathTest, DoesNotEndWithARequestInFlight) {
  EXPECT_DEATH(
      {
        MemoryDevice memory({.size_bytes = kMiB});
        FaultDevice faulty(memory);
        faulty.DelayAll(IoOp::kFlush);
        CheckedDevice device(faulty);
        PendingIo io(device, IoOp::kFlush, {});
        io.Submit();
      },
      "in_flight_ == 0");
}

TEST(FaultDevice, FailsChosenRequestsAsOftenAsToldWithoutTouchingData) {
  MemoryDevice memory({.size_bytes = kMiB});
  FaultDevice device(memory);
  device.FailMatching([](const IoRequest& io) { return io.extent.offset_bytes == 4096; },
                      ErrorCode::kNoSpace, 1);
  EXPECT_EQ(WriteTo(device, 0, Bytes(512, 1)), ErrorCode::kOk);
  EXPECT_EQ(WriteTo(device, 4096, Bytes(512, 1)), ErrorCode::kNoSpace);
  EXPECT_EQ(ReadFrom(device, 4096, 512), Bytes(512, 0));
  EXPECT_EQ(WriteTo(device, 4096, Bytes(512, 1)), ErrorCode::kOk);
}

TEST(FaultDevice, HoldsRequestsBackBeforeTheirEffect) {
  MemoryDevice memory({.size_bytes = kMiB});
  FaultDevice device(memory);
  device.DelayAll(IoOp::kWrite, 2);
  PendingIo first(device, IoOp::kWrite, {0, 512}, Bytes(512, 1));
  PendingIo second(device, IoOp::kWrite, {512, 512}, Bytes(512, 2));
  first.Submit();
  second.Submit();
  EXPECT_EQ(ReadFrom(device, 0, 1024), Bytes(1024, 0));
  ASSERT_EQ(device.delayed().size(), 2u);
  device.Fail(1, ErrorCode::kIo);
  device.Release();
  EXPECT_EQ(first.result, ErrorCode::kOk);
  EXPECT_EQ(second.result, ErrorCode::kIo);
  EXPECT_EQ(ReadFrom(device, 0, 512), Bytes(512, 1));
  EXPECT_EQ(ReadFrom(device, 512, 512), Bytes(512, 0));
  EXPECT_EQ(first.completions, 1);
  EXPECT_EQ(second.completions, 1);
}

}  // namespace
}  // namespace aurochs
