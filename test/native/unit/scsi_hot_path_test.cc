#include <gtest/gtest.h>

#include "block/fault_device.h"
#include "block/null_device.h"
#include "scsi/spec.h"
#include "support/allocation_count.h"
#include "support/block_io.h"
#include "support/scsi_initiator.h"

namespace aurochs::scsi {
namespace {

// Sends the same command again and again, as a transport does.
struct Repeater {
  Repeater(LogicalUnit& on, uint64_t nexus, const test::Cdb& cdb, std::span<const iovec> data_out)
      : unit(on) {
    command.cdb = cdb;
    command.nexus = nexus;
    command.data_out = data_out;
    command.data_in_bytes_max = unit.PlanFor(cdb).length_bytes;
    command.owner = this;
    command.complete = [](Command* done) {
      auto* self = static_cast<Repeater*>(done->owner);
      self->good += done->status == Status::kGood ? 1 : 0;
      self->unit.Release(done);
    };
  }
  void Run(int times) {
    for (int i = 0; i < times; ++i) unit.Submit(&command);
  }

  LogicalUnit& unit;
  Command command;
  int good = 0;
};

TEST(ScsiHotPath, ReadsAndWritesDoNotAllocate) {
  if (!test::CanCountAllocations()) GTEST_SKIP() << "a sanitizer owns the allocator";
  NullDevice device({.size_bytes = kGiB});
  const auto unit = LogicalUnit::Create(device, {});
  test::Initiator initiator(*unit);
  auto data = test::Bytes(128 * kKiB, 1);
  const iovec pieces[] = {{data.data(), 4096}, {data.data() + 4096, data.size() - 4096}};
  const auto one = std::span(pieces).first(1);
  Repeater read10(*unit, initiator.nexus(), test::MakeCdb10(opcode::kRead10, 8, 8), {});
  Repeater write10(*unit, initiator.nexus(), test::MakeCdb10(opcode::kWrite10, 8, 8), one);
  Repeater read16(*unit, initiator.nexus(), test::MakeCdb16(opcode::kRead16, 8, 256), {});
  Repeater write16(*unit, initiator.nexus(), test::MakeCdb16(opcode::kWrite16, 8, 256), pieces);
  const auto all = {&read10, &write10, &read16, &write16};
  for (Repeater* repeater : all) repeater->Run(1);

  const uint64_t before = test::AllocationCount();
  for (Repeater* repeater : all) repeater->Run(100);
  EXPECT_EQ(test::AllocationCount(), before);
  for (Repeater* repeater : all) EXPECT_EQ(repeater->good, 101);
}

TEST(ScsiHotPath, OneCommandIsOneRequestOverTheInitiatorsOwnMemory) {
  NullDevice null({.size_bytes = kGiB});
  FaultDevice device(null);
  int requests = 0;
  const void* written_from = nullptr;
  device.FailMatching(
      [&](const IoRequest& request) {
        ++requests;
        if (request.op == IoOp::kWrite) written_from = request.iov.front().iov_base;
        return false;
      },
      ErrorCode::kIo);
  const auto unit = LogicalUnit::Create(device, {});
  test::Initiator initiator(*unit);
  EXPECT_EQ(initiator.Get(test::MakeCdb10(opcode::kRead10, 0, 2048)).size(), kMiB);
  EXPECT_EQ(requests, 1);

  auto data = test::Bytes(4096, 1);
  const iovec piece{data.data(), data.size()};
  Repeater write(*unit, initiator.nexus(), test::MakeCdb10(opcode::kWrite10, 0, 8), {&piece, 1});
  write.Run(1);
  EXPECT_EQ(requests, 2);
  EXPECT_EQ(written_from, data.data());
}

}  // namespace
}  // namespace aurochs::scsi
