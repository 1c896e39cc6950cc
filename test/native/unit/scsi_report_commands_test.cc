#include <gtest/gtest.h>

#include <set>

#include "base/byte_reader.h"
#include "base/byte_writer.h"
#include "block/checked_device.h"
#include "block/fault_device.h"
#include "block/memory_device.h"
#include "scsi/command_spec.h"
#include "scsi/spec.h"
#include "support/block_io.h"
#include "support/scsi_initiator.h"

namespace aurochs::scsi {
namespace {

using test::Cdb;
using test::MakeCdb;

uint8_t U8At(const std::vector<std::byte>& bytes, size_t offset) {
  return std::to_integer<uint8_t>(bytes.at(offset));
}
uint16_t U16At(const std::vector<std::byte>& bytes, size_t offset) {
  return LoadBigEndian<uint16_t>(&bytes.at(offset));
}
uint32_t U32At(const std::vector<std::byte>& bytes, size_t offset) {
  return LoadBigEndian<uint32_t>(&bytes.at(offset));
}

Cdb ReportOpcodes(unsigned options, unsigned opcode = 0, unsigned action = 0) {
  return MakeCdb({opcode::kMaintenanceIn, 0x0c, options, opcode, 0, action, 0, 0, 0xff, 0xff});
}

class Reports : public testing::Test {
 protected:
  MemoryDevice memory{{.size_bytes = 4 * kMiB}};
  FaultDevice faulty{memory};
  CheckedDevice device{faulty};
  std::unique_ptr<LogicalUnit> unit = LogicalUnit::Create(device, {});
  test::Initiator initiator{*unit};
};

TEST_F(Reports, CapacityOfTheUnitAndItsBlocks) {
  const auto ten = initiator.Get(MakeCdb({opcode::kReadCapacity10}));
  ASSERT_EQ(ten.size(), 8u);
  EXPECT_EQ(U32At(ten, 0), 8191u);
  EXPECT_EQ(U32At(ten, 4), 512u);
  const auto sixteen = initiator.Get(MakeCdb({0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32}));
  ASSERT_EQ(sixteen.size(), 32u);
  EXPECT_EQ(LoadBigEndian<uint64_t>(sixteen.data()), 8191u);
  EXPECT_EQ(U32At(sixteen, 8), 512u);
  EXPECT_EQ(U8At(sixteen, 12), 0) << "no protection";
  EXPECT_EQ(U8At(sixteen, 13), 3) << "8 logical blocks in a physical one";
  EXPECT_EQ(U16At(sixteen, 14), 0xc000) << "LBPME, LBPRZ";
}

TEST_F(Reports, CapacityOfAUnitTooLargeForTenBytes) {
  MemoryDevice large({.size_bytes = 4 * kTiB});
  const auto other = LogicalUnit::Create(large, {});
  test::Initiator from(*other);
  EXPECT_EQ(U32At(from.Get(MakeCdb({opcode::kReadCapacity10})), 0), 0xffffffffu);
  EXPECT_EQ(LoadBigEndian<uint64_t>(
                from.Get(MakeCdb({0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32})).data()),
            4 * kTiB / 512 - 1);
}

TEST_F(Reports, DefectsAreNone) {
  const auto ten = initiator.Get(MakeCdb({opcode::kReadDefectData10, 0, 0x1d, 0, 0, 0, 0, 0, 32}));
  EXPECT_EQ(ten, (std::vector<std::byte>{{}, std::byte{0x1d}, {}, {}}));
  const auto twelve =
      initiator.Get(MakeCdb({opcode::kReadDefectData12, 0x08, 0, 0, 0, 0, 0, 0, 0, 32}));
  ASSERT_EQ(twelve.size(), 8u);
  EXPECT_EQ(U8At(twelve, 1), 0x08);
  EXPECT_EQ(LoadBigEndian<uint32_t>(&twelve[4]), 0u);
}

TEST_F(Reports, TheOneLun) {
  const auto luns = initiator.Get(MakeCdb({opcode::kReportLuns, 0, 0, 0, 0, 0, 0, 0, 1, 0}));
  ASSERT_EQ(luns.size(), 16u);
  EXPECT_EQ(U32At(luns, 0), 8u);
  EXPECT_EQ(U16At(luns, 8), kVolumeLun);
  EXPECT_EQ(initiator.Do(MakeCdb({opcode::kReportLuns, 0, 3, 0, 0, 0, 0, 0, 1, 0})), "5/24/00");
}

TEST_F(Reports, OneActiveTargetPortGroup) {
  const auto plain = initiator.Get(MakeCdb({0xa3, 0x0a, 0, 0, 0, 0, 0, 0, 0, 255}));
  ASSERT_EQ(plain.size(), 16u);
  EXPECT_EQ(U32At(plain, 0), 12u);
  EXPECT_EQ(U8At(plain, 4) & 0x0f, 0) << "active/optimized";
  EXPECT_EQ(U16At(plain, 6), kTargetPortGroup);
  EXPECT_EQ(U8At(plain, 11), 1);
  const auto extended = initiator.Get(MakeCdb({0xa3, 0x2a, 0, 0, 0, 0, 0, 0, 0, 255}));
  EXPECT_EQ(U32At(extended, 0), 16u);
  EXPECT_EQ(U8At(extended, 4), 0x10);
}

TEST_F(Reports, EveryCommandOfTheTableAndEachByItself) {
  for (bool timeouts : {false, true}) {
    const unsigned rctd = timeouts ? 0x80 : 0;
    const auto all = initiator.Get(ReportOpcodes(rctd));
    const size_t step = timeouts ? 20 : 8;
    ASSERT_EQ(U32At(all, 0), all.size() - 4);
    ASSERT_EQ(all.size(), 4 + AllCommands().size() * step);
    for (size_t at = 4; at < all.size(); at += step) {
      const uint8_t opcode = U8At(all, at);
      const uint16_t action = U16At(all, at + 2);
      const bool has_action = (U8At(all, at + 5) & 1) != 0;
      SCOPED_TRACE(testing::Message() << std::hex << int{opcode} << "/" << action);
      EXPECT_EQ((U8At(all, at + 5) & 2) != 0, timeouts);
      EXPECT_EQ(initiator.Do(ReportOpcodes(has_action ? 1 : 2, opcode, action)), "5/24/00");
      const auto one = initiator.Get(ReportOpcodes(rctd | (has_action ? 2 : 1), opcode, action));
      EXPECT_EQ(U8At(one, 1), timeouts ? 0x83 : 0x03);
      EXPECT_EQ(U16At(one, 2), U16At(all, at + 6));
      EXPECT_EQ(U8At(one, 4), opcode);
      EXPECT_TRUE(!has_action || (U8At(one, 5) & 0x1f) == action);
      EXPECT_EQ(one.size(), 4u + U16At(one, 2) + (timeouts ? 12 : 0));
    }
  }
}

TEST_F(Reports, CommandsThatAreNotThere) {
  const auto unknown = initiator.Get(ReportOpcodes(1, 0xc0));
  EXPECT_EQ(U8At(unknown, 1) & 7, 1);
  const auto unknown_action = initiator.Get(ReportOpcodes(2, 0x9e, 0x1f));
  EXPECT_EQ(U8At(unknown_action, 1) & 7, 1);
  EXPECT_EQ(initiator.Do(ReportOpcodes(4)), "5/24/00");
  EXPECT_EQ(initiator.Do(MakeCdb({0xc0})), "5/20/00");
  EXPECT_EQ(initiator.Do(MakeCdb({0x9e, 0x1f})), "5/24/00");
}

TEST_F(Reports, ReadAndWriteLookAtDpoAndFua) {
  for (uint8_t opcode : {opcode::kRead10, opcode::kWrite16, opcode::kOrWrite16}) {
    EXPECT_EQ(U8At(initiator.Get(ReportOpcodes(1, opcode)), 5) & 0x18, 0x18);
  }
}

TEST_F(Reports, TaskManagementFunctionsOfTheTarget) {
  const auto functions = initiator.Get(MakeCdb({0xa3, 0x0d, 0, 0, 0, 0, 0, 0, 0, 255}));
  ASSERT_EQ(functions.size(), 4u);
  EXPECT_EQ(U8At(functions, 0), 0xda);
  EXPECT_EQ(initiator.Get(MakeCdb({0xa3, 0x0d, 0x80, 0, 0, 0, 0, 0, 0, 255})).size(), 16u);
}

TEST_F(Reports, StoppingTheUnitFlushesAndEjectingIsRefused) {
  faulty.FailAll(IoOp::kFlush, ErrorCode::kIo);
  EXPECT_EQ(initiator.Do(MakeCdb({opcode::kStartStopUnit, 0, 0, 0, 0x00})), "3/0c/00");
  EXPECT_EQ(initiator.Do(MakeCdb({opcode::kStartStopUnit, 0, 0, 0, 0x04})), "GOOD");
  EXPECT_EQ(initiator.Do(MakeCdb({opcode::kStartStopUnit, 0, 0, 0, 0x01})), "GOOD");
  EXPECT_EQ(initiator.Do(MakeCdb({opcode::kStartStopUnit, 0, 0, 0, 0x02})), "5/24/00");
  EXPECT_EQ(initiator.Do(MakeCdb({opcode::kPreventAllowMediumRemoval, 0, 0, 0, 1})), "GOOD");
}

TEST(CommandTable, IsSortedAndItsPlansFitTheirDirection) {
  int before = -1;
  for (const CommandSpec& spec : AllCommands()) {
    const int key = spec.opcode * 256 + std::max(spec.service_action, 0);
    EXPECT_GT(key, before) << spec.name;
    before = key;
    Cdb cdb{};
    cdb.fill(std::byte{0xff});
    cdb[0] = std::byte{spec.opcode};
    cdb[1] = static_cast<std::byte>(spec.has_service_action() ? spec.service_action : 0x02);
    EXPECT_EQ(FindCommand(cdb).spec, &spec) << spec.name;
    const Plan plan = PlanOf(spec, cdb, 512);
    EXPECT_EQ(plan.direction == DataDirection::kNone, spec.transfer == Transfer::kNone)
        << spec.name;
    EXPECT_EQ(plan.length_bytes > 0, spec.transfer != Transfer::kNone) << spec.name;
  }
}

}  // namespace
}  // namespace aurochs::scsi
