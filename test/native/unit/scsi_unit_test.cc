// What holds for all commands: errors of the device, write protection, unit attentions, resets, and
// CDBs that nobody sane would send.
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "base/byte_reader.h"
#include "base/limits.h"
#include "block/checked_device.h"
#include "block/fault_device.h"
#include "block/memory_device.h"
#include "scsi/command_spec.h"
#include "scsi/spec.h"
#include "support/block_io.h"
#include "support/scsi_initiator.h"

namespace aurochs::scsi {
namespace {

using test::Bytes;
using test::MakeCdb;
using test::MakeCdb10;
using test::MakeCdb16;

class LogicalUnitTest : public testing::Test {
 protected:
  MemoryDevice memory{{.size_bytes = 4 * kMiB}};
  FaultDevice faulty{memory};
  CheckedDevice device{faulty};
  std::unique_ptr<LogicalUnit> unit = LogicalUnit::Create(device, {});
};

TEST_F(LogicalUnitTest, TranslatesEveryErrorOfTheDevice) {
  struct Expected {
    ErrorCode code;
    const char* reading;
    const char* writing;
  };
  const Expected table[] = {
      {ErrorCode::kInvalidArgument, "5/24/00", "5/24/00"},
      {ErrorCode::kOutOfRange, "5/21/00", "5/21/00"},
      {ErrorCode::kNotFound, "4/44/00", "4/44/00"},
      {ErrorCode::kAlreadyExists, "4/44/00", "4/44/00"},
      {ErrorCode::kPermissionDenied, "4/44/00", "4/44/00"},
      {ErrorCode::kReadOnly, "7/27/00", "7/27/00"},
      {ErrorCode::kNoSpace, "7/27/07", "7/27/07"},
      {ErrorCode::kLimitExceeded, "b/55/03", "b/55/03"},
      {ErrorCode::kFailedPrecondition, "2/04/01", "2/04/01"},
      {ErrorCode::kBusy, "2/04/01", "2/04/01"},
      {ErrorCode::kUnavailable, "2/04/01", "2/04/01"},
      {ErrorCode::kAborted, "b/00/00", "b/00/00"},
      {ErrorCode::kUnsupported, "5/24/00", "5/24/00"},
      {ErrorCode::kStaleEpoch, "2/04/0c", "2/04/0c"},
      {ErrorCode::kMiscompare, "e/1d/00", "e/1d/00"},
      {ErrorCode::kCorruption, "3/11/00", "3/0c/00"},
      {ErrorCode::kIo, "3/3e/01", "3/0c/00"},
  };
  test::Initiator initiator(*unit);
  for (const Expected& expected : table) {
    SCOPED_TRACE(ErrorCodeName(expected.code));
    faulty.FailMatching([](const IoRequest&) { return true; }, expected.code);
    EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kRead10, 0, 1)), expected.reading);
    EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kWrite10, 0, 1), Bytes(512, 1)), expected.writing);
    EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kWriteSame10, 0, 1), Bytes(512, 1)), expected.writing);
    EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kWriteSame10, 0, 1), Bytes(512, 0)), expected.writing);
    EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kSynchronizeCache10, 0, 0)), expected.writing);
    EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kVerify10, 0, 1)), expected.reading);
    EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kCompareAndWrite, 0, 1), Bytes(1024, 1)),
              expected.reading);
    faulty.ClearFaults();
  }
}

TEST_F(LogicalUnitTest, AReadOnlyUnitReadsAndRefusesEveryChange) {
  const auto read_only = LogicalUnit::Create(device, {}, {.read_only = true});
  test::Initiator initiator(*read_only);
  EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kRead10, 0, 1)), "GOOD");
  EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kSynchronizeCache10, 0, 0)), "GOOD");
  for (uint8_t opcode : {opcode::kWrite10, opcode::kWriteAndVerify10, opcode::kWriteSame10}) {
    EXPECT_EQ(initiator.Do(MakeCdb10(opcode, 0, 1), Bytes(512, 1)), "7/27/00");
  }
  for (uint8_t opcode :
       {opcode::kWrite16, opcode::kOrWrite16, opcode::kWriteSame16, opcode::kWriteAndVerify16}) {
    EXPECT_EQ(initiator.Do(MakeCdb16(opcode, 0, 1), Bytes(512, 1)), "7/27/00");
  }
  EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kCompareAndWrite, 0, 1), Bytes(1024, 1)), "7/27/00");
  EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kUnmap, 0, 0)), "7/27/00");
  EXPECT_EQ(test::ReadFrom(memory, 0, 512), Bytes(512, 0));
}

TEST_F(LogicalUnitTest, TellsEachNexusOnceThatItWasPoweredOn) {
  for (const char* name : {"iqn.2026-11.test:a,i,0x1", "iqn.2026-11.test:b,i,0x1"}) {
    test::Initiator initiator(*unit, name, false);
    EXPECT_EQ(initiator.Do(MakeCdb({opcode::kInquiry, 0, 0, 0, 36})), "GOOD");
    EXPECT_EQ(initiator.Do(MakeCdb({opcode::kReportLuns, 0, 0, 0, 0, 0, 0, 0, 0, 16})), "GOOD");
    EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kWrite10, 0, 1), Bytes(512, 1)), "6/29/00");
    EXPECT_EQ(test::ReadFrom(memory, 0, 512), Bytes(512, 0));
    EXPECT_EQ(initiator.TestUnitReady(), "GOOD");
  }
}

TEST_F(LogicalUnitTest, RequestSenseReturnsTheUnitAttentionAsData) {
  test::Initiator initiator(*unit, "iqn.2026-11.test:a,i,0x1", false);
  auto sense = initiator.Get(MakeCdb({opcode::kRequestSense, 0, 0, 0, 252}));
  ASSERT_EQ(sense.size(), 18u);
  EXPECT_EQ(sense[2], std::byte{0x06});
  EXPECT_EQ(LoadBigEndian<uint16_t>(&sense[12]), 0x2900);
  sense = initiator.Get(MakeCdb({opcode::kRequestSense, 1, 0, 0, 252}));
  ASSERT_EQ(sense.size(), 8u);
  EXPECT_EQ(sense[0], std::byte{0x72});
  EXPECT_EQ(sense[1], std::byte{0});
  EXPECT_EQ(initiator.TestUnitReady(), "GOOD");
}

TEST_F(LogicalUnitTest, TellsEveryNexusThatItGrew) {
  test::Initiator one(*unit, "iqn.2026-11.test:a,i,0x1");
  test::Initiator other(*unit, "iqn.2026-11.test:b,i,0x1");
  memory.Expand(8 * kMiB);
  memory.Expand(16 * kMiB);
  for (test::Initiator* initiator : {&one, &other}) {
    EXPECT_EQ(initiator->TestUnitReady(), "6/2a/09");
    EXPECT_EQ(initiator->TestUnitReady(), "GOOD");
    EXPECT_EQ(initiator->Do(MakeCdb10(opcode::kRead10, 16 * kMiB / 512 - 1, 1)), "GOOD");
  }
}

TEST_F(LogicalUnitTest, AResetTellsEveryoneAndReleases) {
  test::Initiator one(*unit, "iqn.2026-11.test:a,i,0x1");
  test::Initiator other(*unit, "iqn.2026-11.test:b,i,0x1");
  EXPECT_EQ(one.Do(MakeCdb({opcode::kReserve6})), "GOOD");
  EXPECT_EQ(other.TestUnitReady(), "RESERVATION CONFLICT");
  unit->Reset();
  EXPECT_EQ(one.TestUnitReady(), "6/29/03");
  EXPECT_EQ(other.TestUnitReady(), "6/29/03");
  EXPECT_EQ(other.Do(MakeCdb({opcode::kReserve6})), "GOOD");
}

TEST_F(LogicalUnitTest, AUnitAttentionQueueThatOverflowsSaysPowerOn) {
  UnitAttentionQueue queue;
  const Asc many[] = {Asc::kModeParametersChanged,  Asc::kReservationsPreempted,
                      Asc::kReservationsReleased,   Asc::kRegistrationsPreempted,
                      Asc::kCapacityDataHasChanged, Asc::kInquiryDataHasChanged,
                      Asc::kPowerOnOrReset,         Asc::kBusDeviceResetFunctionOccurred};
  for (Asc asc : many) queue.Add(asc);
  for (Asc asc : many) queue.Add(asc);
  EXPECT_EQ(queue.Take(), many[0]);
  queue.Add(many[0]);
  queue.Add(Asc::kWriteError);
  EXPECT_EQ(queue.Take(), Asc::kPowerOnOrReset);
  EXPECT_TRUE(queue.empty());
}

TEST_F(LogicalUnitTest, CommandsCompleteInTheOrderOfTheDevice) {
  test::Initiator initiator(*unit);
  faulty.DelayAll(IoOp::kRead);
  std::vector<std::unique_ptr<test::SentCommand>> sent;
  for (uint32_t i = 0; i < 200; ++i) {
    sent.push_back(initiator.Send(MakeCdb10(opcode::kRead10, i, 1)));
  }
  for (size_t left = sent.size(); left > 0; --left) {
    faulty.Release(left - 1);
    EXPECT_EQ(sent[left - 1]->result(), "GOOD");
    EXPECT_TRUE(left == 1 || sent[left - 2]->result() == "PENDING");
  }
}

// Random CDBs, half of them near a real command, with random data and expected lengths. The device
// asserts that what reaches it was validated; the initiator asserts the transport's side.
TEST_F(LogicalUnitTest, SurvivesRandomCommands) {
  const uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  std::vector<std::unique_ptr<test::Initiator>> initiators;
  for (const char* name : {"iqn.2026-11.test:a,i,0x1", "iqn.2026-11.test:b,i,0x1"}) {
    initiators.push_back(std::make_unique<test::Initiator>(*unit, name));
  }
  faulty.DelayMatching([&](const IoRequest&) { return random() % 4 == 0; });
  faulty.FailMatching([&](const IoRequest&) { return random() % 16 == 0; }, ErrorCode::kIo);
  std::vector<std::unique_ptr<test::SentCommand>> sent;
  std::map<std::string, int> results;
  for (int i = 0; i < 20000; ++i) {
    test::Cdb cdb;
    for (std::byte& byte : cdb) byte = static_cast<std::byte>(random());
    if (random() % 8 != 0) {
      const auto commands = AllCommands();
      const CommandSpec& spec = commands[random() % commands.size()];
      const auto usage = spec.UsageData();
      for (size_t at = 0; at < cdb.size(); ++at) {
        // Few bits, so that addresses and lengths are often inside the unit.
        const auto bits = static_cast<uint8_t>(random() & random() & random());
        cdb[at] =
            static_cast<std::byte>(at == 0 || random() % 4 == 0 ? usage[at] : usage[at] & bits);
      }
      if (spec.has_service_action()) {
        cdb[1] = static_cast<std::byte>(spec.service_action | (usage[1] & 0xe0 & random()));
      }
      for (size_t at = 2; at + 4 < spec.cdb_bytes() && random() % 4 != 0; ++at) {
        cdb[at] = std::byte{0};
      }
    }
    test::Initiator& initiator = *initiators[random() % initiators.size()];
    const Plan plan = unit->PlanFor(cdb);
    const uint64_t planned = std::min<uint64_t>(plan.length_bytes, 64 * kKiB);
    const uint64_t data_out = random() % 4 == 0 ? random() % (planned + 1) : planned;
    const uint64_t expected = random() % 4 == 0 ? random() % 10000 : test::Initiator::kPlanned;
    sent.push_back(initiator.Send(cdb,
                                  plan.direction == DataDirection::kOut ? test::Pattern(data_out, 1)
                                                                        : std::vector<std::byte>(),
                                  expected));
    if (faulty.delayed().size() > 8) faulty.Release(random() % faulty.delayed().size());
    if (sent.size() > 64) {
      faulty.ReleaseAll();
      while (!faulty.delayed().empty()) faulty.ReleaseAll();
      for (const auto& command : sent) ++results[command->result()];
      sent.clear();
    }
  }
  faulty.ClearFaults();
  while (!faulty.delayed().empty()) faulty.ReleaseAll();
  EXPECT_EQ(results["PENDING"], 0);
  for (const char* common : {"GOOD", "5/24/00", "5/21/00", "5/20/00", "3/0c/00"}) {
    EXPECT_GT(results[common], 0) << common;
  }
}

}  // namespace
}  // namespace aurochs::scsi
