#include <gtest/gtest.h>

#include <random>

#include "block/checked_device.h"
#include "block/memory_device.h"
#include "block/null_device.h"
#include "support/block_io.h"

namespace aurochs {
namespace {

using test::Bytes;
using test::Pattern;
using test::ReadFrom;
using test::RunIo;
using test::RunsOf;
using test::WriteTo;

TEST(MemoryDevice, ReadsZerosWhereNothingWasWritten) {
  MemoryDevice device({.size_bytes = 8 * kTiB});
  EXPECT_EQ(ReadFrom(device, 8 * kTiB - 4096, 4096), Bytes(4096, 0));
  EXPECT_EQ(RunsOf(device, {0, kMiB}), "h1048576");
  EXPECT_EQ(device.allocated_bytes(), 0u);
}

TEST(MemoryDevice, ReadsBackWhatWasWrittenAcrossPages) {
  MemoryDevice device({.size_bytes = kMiB});
  const auto data = Pattern(100 * kKiB, 3);
  ASSERT_EQ(WriteTo(device, 60 * kKiB + 512, data), ErrorCode::kOk);
  EXPECT_EQ(ReadFrom(device, 60 * kKiB + 512, data.size()), data);
  EXPECT_EQ(ReadFrom(device, 60 * kKiB, 512), Bytes(512, 0));
}

TEST(MemoryDevice, ScattersAReadAndGathersAWrite) {
  MemoryDevice device({.size_bytes = kMiB});
  const auto data = Pattern(2048, 9);
  auto source = data;
  const iovec pieces[] = {
      {source.data(), 1}, {source.data() + 1, 1000}, {source.data() + 1001, 1047}};
  test::PendingIo write(device, IoOp::kWrite, {65536 - 1024, 2048});
  write.request.iov = pieces;
  write.Submit();
  ASSERT_EQ(write.result, ErrorCode::kOk);
  EXPECT_EQ(ReadFrom(device, 65536 - 1024, 2048), data);

  auto into = Bytes(2048, 0xaa);
  const iovec rooms[] = {{into.data(), 511}, {into.data() + 511, 1537}};
  test::PendingIo read(device, IoOp::kRead, {65536 - 1024, 2048});
  read.request.iov = rooms;
  read.Submit();
  EXPECT_EQ(into, data);
}

TEST(MemoryDevice, GivesBackWholeBlocksAndZeroesTheRest) {
  MemoryDevice device({.size_bytes = kMiB});
  ASSERT_EQ(WriteTo(device, 0, Bytes(64 * kKiB, 1)), ErrorCode::kOk);
  ASSERT_EQ(RunIo(device, IoOp::kUnmap, {3584, 9216}), ErrorCode::kOk);  // 3584 ... 12800
  EXPECT_EQ(RunsOf(device, {0, 64 * kKiB}), "d4096 h8192 d53248");
  EXPECT_EQ(ReadFrom(device, 3584, 9216), Bytes(9216, 0));
  EXPECT_EQ(ReadFrom(device, 3072, 512), Bytes(512, 1));
  EXPECT_EQ(ReadFrom(device, 12800, 512), Bytes(512, 1));
  EXPECT_EQ(device.allocated_bytes(), 56 * kKiB);
  ASSERT_EQ(RunIo(device, IoOp::kUnmap, {0, 64 * kKiB}), ErrorCode::kOk);
  EXPECT_EQ(device.allocated_bytes(), 0u);
}

TEST(MemoryDevice, KeepsSpaceForZerosWhenAsked) {
  MemoryDevice device({.size_bytes = kMiB});
  test::PendingIo io(device, IoOp::kWriteZeroes, {0, 8192});
  io.request.keep_allocated = true;
  io.Submit();
  EXPECT_EQ(RunsOf(device, {0, 16384}), "d8192 h8192");
  io.request.keep_allocated = false;
  io.Submit();
  EXPECT_EQ(RunsOf(device, {0, 16384}), "h16384");
}

TEST(MemoryDevice, StopsTheAllocationListAtItsLimit) {
  MemoryDevice device({.size_bytes = kMiB});
  ASSERT_EQ(WriteTo(device, 4096, Bytes(4096, 1)), ErrorCode::kOk);
  EXPECT_EQ(RunsOf(device, {0, kMiB}, 1), "h4096");
  EXPECT_EQ(RunsOf(device, {0, kMiB}, 2), "h4096 d4096");
  EXPECT_EQ(RunsOf(device, {4608, 1024}), "d1024");
}

TEST(MemoryDevice, RefusesToWriteWhenReadOnly) {
  MemoryDevice device({.size_bytes = kMiB, .read_only = true});
  EXPECT_EQ(WriteTo(device, 0, Bytes(512, 1)), ErrorCode::kReadOnly);
  EXPECT_EQ(RunIo(device, IoOp::kUnmap, {0, 512}), ErrorCode::kReadOnly);
  EXPECT_EQ(RunIo(device, IoOp::kFlush, {}), ErrorCode::kOk);
}

TEST(MemoryDevice, TellsItsObserversThatItGrew) {
  MemoryDevice device({.size_bytes = kMiB});
  uint64_t seen_bytes = 0;
  device.AddInfoObserver([&](const DeviceInfo& info) { seen_bytes = info.size_bytes; });
  device.Expand(2 * kMiB);
  EXPECT_EQ(seen_bytes, 2 * kMiB);
}

TEST(MemoryDevice, BehavesLikeAnArrayUnderRandomRequests) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  constexpr uint64_t kSize = 256 * kKiB;
  MemoryDevice device({.size_bytes = kSize});
  std::vector<std::byte> model(kSize);
  for (int step = 0; step < 2000; ++step) {
    const uint64_t begin = random() % (kSize / 512);
    const uint64_t count = 1 + random() % std::min<uint64_t>(kSize / 512 - begin, 200);
    const Extent extent{begin * 512, count * 512};
    const auto at = model.begin() + static_cast<ptrdiff_t>(extent.offset_bytes);
    switch (random() % 4) {
      case 0: {
        const auto data = Pattern(extent.length_bytes, static_cast<uint8_t>(step));
        ASSERT_EQ(WriteTo(device, extent.offset_bytes, data), ErrorCode::kOk);
        std::copy(data.begin(), data.end(), at);
        break;
      }
      case 1:
        ASSERT_EQ(RunIo(device, IoOp::kUnmap, extent), ErrorCode::kOk);
        std::fill_n(at, extent.length_bytes, std::byte{0});
        break;
      case 2:
        ASSERT_EQ(RunIo(device, IoOp::kWriteZeroes, extent), ErrorCode::kOk);
        std::fill_n(at, extent.length_bytes, std::byte{0});
        break;
      default:
        ASSERT_EQ(ReadFrom(device, extent.offset_bytes, extent.length_bytes),
                  std::vector<std::byte>(at, at + static_cast<ptrdiff_t>(extent.length_bytes)));
    }
  }
}

TEST(NullDevice, ReadsZerosAndForgetsWrites) {
  NullDevice null({.size_bytes = kMiB});
  CheckedDevice device(null);
  ASSERT_EQ(WriteTo(device, 0, Bytes(4096, 1)), ErrorCode::kOk);
  EXPECT_EQ(ReadFrom(device, 0, 4096), Bytes(4096, 0));
  EXPECT_EQ(RunsOf(device, {0, kMiB}), "h1048576");
}

}  // namespace
}  // namespace aurochs
