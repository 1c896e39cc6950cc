// A removable unit: START STOP UNIT with LOEJ, PREVENT ALLOW MEDIUM REMOVAL, and what is refused
// while the medium is out.
#include <gtest/gtest.h>

#include "block/fault_device.h"
#include "block/memory_device.h"
#include "scsi/spec.h"
#include "support/block_io.h"
#include "support/scsi_initiator.h"

namespace aurochs::scsi {
namespace {

using test::Bytes;
using test::MakeCdb;
using test::MakeCdb10;
using test::MakeCdb16;

constexpr unsigned kStart = 1, kLoadEject = 2, kNoFlush = 4;

class RemovableUnit : public testing::Test {
 protected:
  static std::string StartStop(test::Initiator& from, unsigned flags) {
    return from.Do(MakeCdb({opcode::kStartStopUnit, 0, 0, 0, flags}));
  }
  static std::string Prevent(test::Initiator& from, bool prevent) {
    return from.Do(MakeCdb({opcode::kPreventAllowMediumRemoval, 0, 0, 0, prevent ? 1u : 0u}));
  }

  MemoryDevice memory{{.size_bytes = 4 * kMiB}};
  FaultDevice device{memory};
  std::unique_ptr<LogicalUnit> unit = LogicalUnit::Create(device, {}, {.removable = true});
};

TEST_F(RemovableUnit, SaysSoInItsInquiryData) {
  test::Initiator one(*unit);
  EXPECT_EQ(one.Get(MakeCdb({opcode::kInquiry, 0, 0, 0, 36}))[1], std::byte{0x80});
}

TEST_F(RemovableUnit, RefusesWhatNeedsTheMediumWhileItIsOut) {
  test::Initiator one(*unit);
  ASSERT_EQ(StartStop(one, kLoadEject), "GOOD");
  EXPECT_EQ(one.TestUnitReady(), "2/3a/00");
  EXPECT_EQ(one.Do(MakeCdb10(opcode::kRead10, 0, 1)), "2/3a/00");
  EXPECT_EQ(one.Do(MakeCdb10(opcode::kWrite10, 0, 1), Bytes(512, 1)), "2/3a/00");
  EXPECT_EQ(one.Do(MakeCdb10(opcode::kSynchronizeCache10, 0, 0)), "2/3a/00");
  EXPECT_EQ(one.Do(MakeCdb({opcode::kReadCapacity10})), "2/3a/00");
  EXPECT_EQ(one.Do(MakeCdb16(opcode::kCompareAndWrite, 0, 1), Bytes(1024, 0)), "2/3a/00");
  EXPECT_EQ(one.Do(MakeCdb10(opcode::kUnmap, 0, 0)), "2/3a/00");
  EXPECT_EQ(one.Do(MakeCdb({opcode::kInquiry, 0, 0, 0, 36})), "GOOD");
  EXPECT_EQ(one.Do(MakeCdb({opcode::kModeSense6, 0, 0x3f, 0, 255})), "GOOD");
  EXPECT_EQ(one.Get(MakeCdb({opcode::kRequestSense, 0, 0, 0, 18}))[12], std::byte{0x3a});
  EXPECT_EQ(StartStop(one, kLoadEject | kStart), "GOOD");
  EXPECT_EQ(one.TestUnitReady(), "GOOD");
}

TEST_F(RemovableUnit, TellsTheOthersThatTheMediumMayHaveChanged) {
  test::Initiator one(*unit, "iqn.2026-11.test:a,i,0x1");
  test::Initiator other(*unit, "iqn.2026-11.test:b,i,0x1");
  ASSERT_EQ(StartStop(one, kLoadEject), "GOOD");
  ASSERT_EQ(StartStop(one, kLoadEject | kStart), "GOOD");
  EXPECT_EQ(one.TestUnitReady(), "GOOD");
  EXPECT_EQ(other.TestUnitReady(), "6/28/00");
  ASSERT_EQ(StartStop(one, kLoadEject | kStart), "GOOD");
  EXPECT_EQ(other.TestUnitReady(), "GOOD") << "it was there";
}

TEST_F(RemovableUnit, FlushesBeforeTheMediumGoes) {
  test::Initiator one(*unit);
  device.FailAll(IoOp::kFlush, ErrorCode::kIo, 1);
  EXPECT_EQ(StartStop(one, kLoadEject), "3/0c/00");
  EXPECT_EQ(one.TestUnitReady(), "GOOD");
  device.FailAll(IoOp::kFlush, ErrorCode::kIo, 1);
  EXPECT_EQ(StartStop(one, kLoadEject | kNoFlush), "GOOD");
  EXPECT_EQ(one.TestUnitReady(), "2/3a/00");
}

TEST_F(RemovableUnit, StaysWhileAnyNexusPreventsIt) {
  test::Initiator one(*unit, "iqn.2026-11.test:a,i,0x1");
  {
    test::Initiator other(*unit, "iqn.2026-11.test:b,i,0x1");
    ASSERT_EQ(Prevent(one, true), "GOOD");
    ASSERT_EQ(Prevent(other, true), "GOOD");
    ASSERT_EQ(Prevent(one, false), "GOOD");
    EXPECT_EQ(StartStop(one, kLoadEject), "5/53/02");
    EXPECT_EQ(StartStop(other, kLoadEject | kStart), "5/53/02");
    EXPECT_EQ(StartStop(one, 0), "GOOD") << "stopping takes nothing out";
    EXPECT_EQ(one.TestUnitReady(), "GOOD");
  }
  EXPECT_EQ(StartStop(one, kLoadEject), "GOOD") << "its nexus is gone";
}

TEST_F(RemovableUnit, AResetLetsTheMediumGo) {
  test::Initiator one(*unit);
  ASSERT_EQ(Prevent(one, true), "GOOD");
  unit->Reset();
  ASSERT_EQ(one.TestUnitReady(), "6/29/03");
  EXPECT_EQ(StartStop(one, kLoadEject), "GOOD");
}

TEST_F(RemovableUnit, IgnoresLoejWithAPowerCondition) {
  test::Initiator one(*unit);
  EXPECT_EQ(StartStop(one, 0x30 | kLoadEject), "GOOD");
  EXPECT_EQ(one.TestUnitReady(), "GOOD");
}

TEST(FixedUnit, HasNoMediumToEject) {
  MemoryDevice memory({.size_bytes = 4 * kMiB});
  const auto unit = LogicalUnit::Create(memory, {});
  test::Initiator one(*unit);
  EXPECT_EQ(one.Do(MakeCdb({opcode::kStartStopUnit, 0, 0, 0, kLoadEject})), "5/24/00");
  EXPECT_EQ(one.Do(MakeCdb({opcode::kPreventAllowMediumRemoval, 0, 0, 0, 1})), "GOOD");
  EXPECT_EQ(one.TestUnitReady(), "GOOD");
}

TEST(FullyProvisionedUnit, HasNothingToUnmap) {
  MemoryDevice memory({.size_bytes = 4 * kMiB});
  const auto unit = LogicalUnit::Create(memory, {}, {.provisioning = Provisioning::kFull});
  test::Initiator one(*unit);
  EXPECT_EQ(one.Do(MakeCdb10(opcode::kUnmap, 0, 0)), "5/20/00");
  EXPECT_EQ(one.Do(MakeCdb10(opcode::kWriteSame10, 0, 1, 0x08), Bytes(512, 0)), "5/24/00");
  const auto capacity =
      one.Get(MakeCdb({opcode::kServiceActionIn16, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32}));
  EXPECT_EQ(capacity[14], std::byte{0}) << "LBPME";
  const auto status =
      one.Get(MakeCdb({opcode::kServiceActionIn16, 0x12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 24}));
  EXPECT_EQ(status[20], std::byte{0}) << "mapped";
  const auto provisioning = one.Get(MakeCdb({opcode::kInquiry, 1, 0xb2, 0, 255}));
  EXPECT_EQ(provisioning[5], std::byte{0}) << "LBPU, LBPWS, LBPWS10";
  EXPECT_EQ(provisioning[6], std::byte{0}) << "PROVISIONING TYPE";
}

}  // namespace
}  // namespace aurochs::scsi
