// SANITIZE.
#include <gtest/gtest.h>

#include "base/byte_reader.h"
#include "base/limits.h"
#include "block/checked_device.h"
#include "block/fault_device.h"
#include "block/memory_device.h"
#include "scsi/spec.h"
#include "support/block_io.h"
#include "support/fake_unit_state_store.h"
#include "support/scsi_initiator.h"

namespace aurochs::scsi {
namespace {

using test::Bytes;
using test::MakeCdb;
using test::MakeCdb10;
using test::Pattern;

constexpr unsigned kBlockErase = 0x02, kCryptographicErase = 0x03, kOverwrite = 0x01, kExit = 0x1f,
                   kAllowExit = 0x20;

class SanitizeTest : public testing::Test {
 protected:
  static test::Cdb Sanitize(unsigned byte1, unsigned list_bytes = 0) {
    return MakeCdb({opcode::kSanitize, byte1, 0, 0, 0, 0, 0, 0, list_bytes});
  }

  MemoryDevice memory{{.size_bytes = 1280 * kMiB}};
  FaultDevice faulty{memory};
  CheckedDevice device{faulty};
  test::FakeUnitStateStore store;
  std::unique_ptr<LogicalUnit> unit = LogicalUnit::Create(device, {}, {}, &store);
};

TEST_F(SanitizeTest, BlockEraseLeavesNothingAllocated) {
  test::Initiator one(*unit);
  ASSERT_EQ(test::WriteTo(memory, 0, Pattern(64 * kKiB, 1)), ErrorCode::kOk);
  ASSERT_EQ(test::WriteTo(memory, 1280 * kMiB - 4096, Pattern(4096, 2)), ErrorCode::kOk);
  const auto erase = one.Send(Sanitize(kBlockErase));
  store.Finish();
  EXPECT_FALSE(erase->done()) << "that it is over has to be durable";
  store.Finish();
  EXPECT_EQ(erase->result(), "GOOD");
  EXPECT_EQ(memory.allocated_bytes(), 0u);
  EXPECT_EQ(one.TestUnitReady(), "GOOD");
}

TEST_F(SanitizeTest, RefusesOtherCommandsMeanwhileAndTellsItsProgress) {
  test::Initiator one(*unit);
  faulty.DelayAll(IoOp::kUnmap);
  const auto erase = one.Send(Sanitize(kBlockErase));
  EXPECT_EQ(one.TestUnitReady(), "2/04/1b") << "before the first block is gone";
  store.Finish();
  EXPECT_EQ(one.Do(MakeCdb10(opcode::kRead10, 0, 1)), "2/04/1b");
  EXPECT_EQ(one.Do(Sanitize(kBlockErase)), "2/04/1b");
  EXPECT_EQ(one.Do(MakeCdb({opcode::kInquiry, 0, 0, 0, 36})), "GOOD");
  uint16_t before = 0;
  while (!faulty.delayed().empty()) {
    const auto sense = one.Get(MakeCdb({opcode::kRequestSense, 0, 0, 0, 18}));
    EXPECT_EQ(sense[15], std::byte{0x80}) << "SKSV";
    const auto progress = LoadBigEndian<uint16_t>(&sense[16]);
    EXPECT_GE(progress, before);
    before = progress;
    faulty.Release();
  }
  EXPECT_GT(before, 0);
  store.Finish();
  EXPECT_EQ(erase->result(), "GOOD");
}

TEST_F(SanitizeTest, WaitsForTheWritesBeforeIt) {
  test::Initiator one(*unit);
  faulty.DelayAll(IoOp::kWrite);
  const auto write = one.Send(MakeCdb10(opcode::kWrite10, 0, 8), Bytes(4096, 1));
  const auto erase = one.Send(Sanitize(kBlockErase));
  store.Finish();
  EXPECT_FALSE(erase->done());
  faulty.ReleaseAll();
  store.Finish();
  EXPECT_EQ(write->result(), "GOOD");
  EXPECT_EQ(erase->result(), "GOOD");
  EXPECT_EQ(memory.allocated_bytes(), 0u);
}

TEST_F(SanitizeTest, AFailureLocksTheUnitUntilItIsLetOut) {
  test::Initiator one(*unit);
  for (const unsigned allow : {0u, kAllowExit}) {
    faulty.FailAll(IoOp::kUnmap, ErrorCode::kIo, 1);
    const auto erase = one.Send(Sanitize(kBlockErase | allow));
    store.Finish();
    EXPECT_EQ(erase->result(), "3/31/03");
    EXPECT_EQ(one.TestUnitReady(), "3/31/03");
    EXPECT_EQ(one.Do(MakeCdb10(opcode::kRead10, 0, 1)), "3/31/03");
    EXPECT_EQ(one.Do(MakeCdb({opcode::kReportLuns, 0, 0, 0, 0, 0, 0, 0, 0, 16})), "GOOD");
    const auto exit = one.Send(Sanitize(kExit));
    if (allow != 0) {
      store.Finish();
      EXPECT_EQ(exit->result(), "GOOD");
    } else {
      EXPECT_EQ(exit->result(), "3/31/03");
      const auto again = one.Send(Sanitize(kBlockErase));
      store.Finish();
      EXPECT_EQ(again->result(), "GOOD") << "restricted before and after: one save";
    }
    EXPECT_EQ(one.TestUnitReady(), "GOOD");
  }
}

TEST_F(SanitizeTest, AnInterruptionIsAFailureToTheNextUnit) {
  {
    test::Initiator one(*unit);
    faulty.DelayAll(IoOp::kUnmap);
    const auto erase = one.Send(Sanitize(kBlockErase | kAllowExit));
    store.Finish();
    test::FakeUnitStateStore after_the_crash;
    after_the_crash.bytes = store.bytes;
    MemoryDevice same({.size_bytes = 1280 * kMiB});
    const auto next = LogicalUnit::Create(same, {}, {}, &after_the_crash);
    test::Initiator other(*next);
    EXPECT_EQ(other.TestUnitReady(), "3/31/03");
    const auto exit = other.Send(Sanitize(kExit));
    after_the_crash.Finish();
    EXPECT_EQ(exit->result(), "GOOD");
    EXPECT_EQ(other.TestUnitReady(), "GOOD");
    faulty.ClearFaults();
    faulty.ReleaseAll();
    store.Finish();
  }
}

TEST_F(SanitizeTest, RefusesWhatItCannotPromise) {
  test::Initiator one(*unit);
  EXPECT_EQ(one.Do(Sanitize(kOverwrite, 4), Bytes(4, 0)), "5/24/00");
  EXPECT_EQ(one.Do(Sanitize(kCryptographicErase)), "5/24/00");
  EXPECT_EQ(one.Do(Sanitize(kBlockErase, 8), Bytes(8, 0)), "5/24/00");
  EXPECT_EQ(one.Do(Sanitize(kBlockErase | 0x40)), "5/24/00");
  EXPECT_EQ(one.Do(Sanitize(kExit)), "GOOD") << "there is no failure";
  EXPECT_EQ(store.saves, 0);
}

TEST_F(SanitizeTest, DoesNothingThatIsNotDurable) {
  test::Initiator one(*unit);
  ASSERT_EQ(test::WriteTo(memory, 0, Bytes(4096, 1)), ErrorCode::kOk);
  const auto erase = one.Send(Sanitize(kBlockErase));
  store.Finish(ErrorCode::kIo);
  EXPECT_EQ(erase->result(), "3/0c/00");
  EXPECT_EQ(one.TestUnitReady(), "GOOD");
  EXPECT_EQ(test::ReadFrom(memory, 0, 4096), Bytes(4096, 1));
}

TEST_F(SanitizeTest, IsNotThereOnAFullyProvisionedUnitAndRefusedOnAReadOnlyOne) {
  MemoryDevice small({.size_bytes = 4 * kMiB});
  const auto full = LogicalUnit::Create(small, {}, {.provisioning = Provisioning::kFull});
  test::Initiator one(*full);
  EXPECT_EQ(one.Do(Sanitize(kBlockErase)), "5/20/00");
  const auto read_only = LogicalUnit::Create(small, {}, {.read_only = true});
  test::Initiator other(*read_only);
  EXPECT_EQ(other.Do(Sanitize(kBlockErase)), "7/27/00");
}

}  // namespace
}  // namespace aurochs::scsi
