#include <gtest/gtest.h>

#include "base/byte_reader.h"
#include "base/byte_writer.h"
#include "block/checked_device.h"
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
namespace sa = service_action;

constexpr uint8_t kWriteExclusive = 1, kExclusiveAccess = 3, kWriteExclusiveRegistrants = 5,
                  kExclusiveAccessRegistrants = 6, kWriteExclusiveAll = 7, kExclusiveAccessAll = 8;

class ReservationTest : public testing::Test {
 protected:
  static std::vector<std::byte> Parameters(uint64_t key, uint64_t action_key, uint8_t flags = 0) {
    std::vector<std::byte> list(24);
    ByteWriter writer(list);
    writer.U64(key);
    writer.U64(action_key);
    writer.U32(0);
    writer.U8(flags);
    return list;
  }
  static test::Cdb OutCdb(int action, uint8_t type = 0) {
    return MakeCdb(
        {opcode::kPersistentReserveOut, static_cast<unsigned>(action), type, 0, 0, 0, 0, 0, 24});
  }
  static std::string Out(test::Initiator& from, int action, uint64_t key, uint64_t action_key,
                         uint8_t type = 0) {
    return from.Do(OutCdb(action, type), Parameters(key, action_key));
  }
  static std::vector<std::byte> In(test::Initiator& from, int action, unsigned length = 0x1000) {
    return from.Get(MakeCdb({opcode::kPersistentReserveIn, static_cast<unsigned>(action), 0, 0, 0,
                             0, 0, length >> 8, length & 0xff}));
  }
  static uint32_t Generation(test::Initiator& from) {
    return LoadBigEndian<uint32_t>(In(from, sa::kReadKeys).data());
  }
  static std::vector<uint64_t> Keys(test::Initiator& from) {
    const auto data = In(from, sa::kReadKeys);
    EXPECT_EQ(LoadBigEndian<uint32_t>(&data[4]), data.size() - 8);
    std::vector<uint64_t> keys;
    for (size_t at = 8; at < data.size(); at += 8) {
      keys.push_back(LoadBigEndian<uint64_t>(&data[at]));
    }
    return keys;
  }
  // "key/type", or "none".
  static std::string Reserved(test::Initiator& from) {
    const auto data = In(from, sa::kReadReservation);
    if (data.size() == 8) return "none";
    EXPECT_EQ(data.size(), 24u);
    return std::to_string(LoadBigEndian<uint64_t>(&data[8])) + "/" +
           std::to_string(std::to_integer<int>(data[21]));
  }
  // "rw", "r-", "-w" or "--": what `from` may do.
  static std::string Rights(test::Initiator& from) {
    const std::string read = from.Do(MakeCdb10(opcode::kRead10, 0, 1));
    const std::string write = from.Do(MakeCdb10(opcode::kWrite10, 0, 1), Bytes(512, 1));
    EXPECT_TRUE(read == "GOOD" || read == "RESERVATION CONFLICT") << read;
    EXPECT_TRUE(write == "GOOD" || write == "RESERVATION CONFLICT") << write;
    return std::string(read == "GOOD" ? "r" : "-") + (write == "GOOD" ? "w" : "-");
  }

  MemoryDevice memory{{.size_bytes = kMiB}};
  FaultDevice faulty{memory};
  CheckedDevice device{faulty};
  std::unique_ptr<LogicalUnit> unit = LogicalUnit::Create(device, {});
  test::Initiator one{*unit, "iqn.2026-11.test:one,i,0x000001"};
  test::Initiator two{*unit, "iqn.2026-11.test:two,i,0x000001"};
};

TEST_F(ReservationTest, RegistersChangesAndRemovesKeys) {
  EXPECT_EQ(Out(one, sa::kRegister, 0, 11), "GOOD");
  EXPECT_EQ(Out(two, sa::kRegisterAndIgnoreExistingKey, 99, 22), "GOOD");
  EXPECT_EQ(Keys(one), (std::vector<uint64_t>{11, 22}));
  EXPECT_EQ(Out(one, sa::kRegister, 12, 13), "RESERVATION CONFLICT");
  EXPECT_EQ(Out(one, sa::kRegister, 11, 13), "GOOD");
  EXPECT_EQ(Out(one, sa::kRegisterAndIgnoreExistingKey, 0, 14), "GOOD");
  EXPECT_EQ(Keys(one), (std::vector<uint64_t>{14, 22}));
  EXPECT_EQ(Generation(one), 4u);
  EXPECT_EQ(Out(one, sa::kRegister, 14, 0), "GOOD");
  EXPECT_EQ(Out(one, sa::kRegister, 0, 0), "GOOD") << "nothing to remove";
  EXPECT_EQ(Keys(one), (std::vector<uint64_t>{22}));
  EXPECT_EQ(Generation(one), 5u);
}

TEST_F(ReservationTest, ARegistrationOutlivesItsSession) {
  {
    test::Initiator three(*unit, "iqn.2026-11.test:three,i,0x1");
    ASSERT_EQ(Out(three, sa::kRegister, 0, 33), "GOOD");
    ASSERT_EQ(Out(three, sa::kReserve, 33, 0, kExclusiveAccess), "GOOD");
  }
  EXPECT_EQ(Rights(one), "--");
  test::Initiator three(*unit, "iqn.2026-11.test:three,i,0x1");
  EXPECT_EQ(Rights(three), "rw");
}

TEST_F(ReservationTest, EachTypeGivesTheRightsItIsNamedFor) {
  struct Expected {
    uint8_t type;
    const char* registered;
    const char* unregistered;
  };
  const Expected table[] = {
      {kWriteExclusive, "r-", "r-"},
      {kExclusiveAccess, "--", "--"},
      {kWriteExclusiveRegistrants, "rw", "r-"},
      {kExclusiveAccessRegistrants, "rw", "--"},
      {kWriteExclusiveAll, "rw", "r-"},
      {kExclusiveAccessAll, "rw", "--"},
  };
  for (const Expected& expected : table) {
    SCOPED_TRACE(int{expected.type});
    ASSERT_EQ(Out(one, sa::kRegister, 0, 1), "GOOD");
    ASSERT_EQ(Out(two, sa::kRegister, 0, 2), "GOOD");
    ASSERT_EQ(Out(one, sa::kReserve, 1, 0, expected.type), "GOOD");
    const bool all = expected.type >= kWriteExclusiveAll;
    EXPECT_EQ(Reserved(two), (all ? "0/" : "1/") + std::to_string(expected.type));
    EXPECT_EQ(Rights(one), "rw");
    EXPECT_EQ(Rights(two), expected.registered);
    ASSERT_EQ(Out(two, sa::kRegister, 2, 0), "GOOD");
    EXPECT_EQ(Rights(two), expected.unregistered);
    EXPECT_EQ(two.TestUnitReady(), "GOOD");
    EXPECT_EQ(two.Do(MakeCdb({opcode::kInquiry, 0, 0, 0, 36})), "GOOD");
    EXPECT_EQ(two.Do(MakeCdb({opcode::kReadCapacity10})), "GOOD");
    EXPECT_EQ(two.Do(MakeCdb10(opcode::kSynchronizeCache10, 0, 0)), "RESERVATION CONFLICT");
    EXPECT_EQ(two.Do(MakeCdb({opcode::kStartStopUnit, 0, 0, 0, 1})), "GOOD");
    EXPECT_EQ(two.Do(MakeCdb({opcode::kStartStopUnit, 0, 0, 0, 0})), "RESERVATION CONFLICT");
    ASSERT_EQ(Out(one, sa::kRelease, 1, 0, expected.type), "GOOD");
    EXPECT_EQ(Rights(two), "rw");
    ASSERT_EQ(Out(one, sa::kRegister, 1, 0), "GOOD");
  }
}

TEST_F(ReservationTest, OnlyARegistrantReservesAndReleases) {
  EXPECT_EQ(Out(one, sa::kReserve, 0, 0, kWriteExclusive), "RESERVATION CONFLICT");
  ASSERT_EQ(Out(one, sa::kRegister, 0, 1), "GOOD");
  ASSERT_EQ(Out(two, sa::kRegister, 0, 2), "GOOD");
  EXPECT_EQ(Out(one, sa::kReserve, 9, 0, kWriteExclusive), "RESERVATION CONFLICT");
  EXPECT_EQ(Out(one, sa::kReserve, 1, 0, 2), "5/24/00") << "no such type";
  EXPECT_EQ(Out(one, sa::kReserve, 1, 0, 0x11), "5/24/00") << "no such scope";
  EXPECT_EQ(Out(one, sa::kReserve, 1, 0, kWriteExclusive), "GOOD");
  EXPECT_EQ(Out(one, sa::kReserve, 1, 0, kWriteExclusive), "GOOD");
  EXPECT_EQ(Out(one, sa::kReserve, 1, 0, kExclusiveAccess), "RESERVATION CONFLICT");
  EXPECT_EQ(Out(two, sa::kReserve, 2, 0, kWriteExclusive), "RESERVATION CONFLICT");
  EXPECT_EQ(Out(two, sa::kRelease, 2, 0, kWriteExclusive), "GOOD") << "not the holder: nothing";
  EXPECT_EQ(Out(one, sa::kRelease, 1, 0, kExclusiveAccess), "5/26/04");
  EXPECT_EQ(Reserved(one), "1/1");
  EXPECT_EQ(Generation(one), 2u) << "RESERVE and RELEASE do not count";
}

TEST_F(ReservationTest, AHolderThatUnregistersReleases) {
  for (uint8_t type : {kWriteExclusive, kExclusiveAccessRegistrants, kExclusiveAccessAll}) {
    SCOPED_TRACE(int{type});
    ASSERT_EQ(Out(one, sa::kRegister, 0, 1), "GOOD");
    ASSERT_EQ(Out(two, sa::kRegister, 0, 2), "GOOD");
    ASSERT_EQ(Out(one, sa::kReserve, 1, 0, type), "GOOD");
    ASSERT_EQ(Out(one, sa::kRegister, 1, 0), "GOOD");
    if (type == kExclusiveAccessAll) {
      EXPECT_EQ(Reserved(one), "0/8");
      EXPECT_EQ(Out(two, sa::kRelease, 2, 0, type), "GOOD");
    } else {
      EXPECT_EQ(Reserved(one), "none");
      EXPECT_EQ(two.TestUnitReady(), type == kWriteExclusive ? "GOOD" : "6/2a/04");
    }
    ASSERT_EQ(Out(two, sa::kRegister, 2, 0), "GOOD");
  }
}

TEST_F(ReservationTest, ClearRemovesEverythingAndTellsTheOthers) {
  ASSERT_EQ(Out(one, sa::kRegister, 0, 1), "GOOD");
  ASSERT_EQ(Out(two, sa::kRegister, 0, 2), "GOOD");
  ASSERT_EQ(Out(one, sa::kReserve, 1, 0, kWriteExclusive), "GOOD");
  EXPECT_EQ(Out(two, sa::kClear, 2, 0), "GOOD");
  EXPECT_EQ(one.TestUnitReady(), "6/2a/03");
  EXPECT_TRUE(Keys(one).empty());
  EXPECT_EQ(Reserved(one), "none");
  EXPECT_EQ(Generation(one), 3u);
  EXPECT_EQ(two.TestUnitReady(), "GOOD");
}

TEST_F(ReservationTest, PreemptTakesTheReservationOver) {
  ASSERT_EQ(Out(one, sa::kRegister, 0, 1), "GOOD");
  ASSERT_EQ(Out(two, sa::kRegister, 0, 2), "GOOD");
  ASSERT_EQ(Out(one, sa::kReserve, 1, 0, kWriteExclusive), "GOOD");
  EXPECT_EQ(Out(two, sa::kPreempt, 2, 1, kExclusiveAccess), "GOOD");
  EXPECT_EQ(Reserved(two), "2/3");
  EXPECT_EQ(Keys(two), (std::vector<uint64_t>{2}));
  EXPECT_EQ(one.TestUnitReady(), "6/2a/05");
  EXPECT_EQ(Rights(one), "--");
  EXPECT_EQ(Generation(two), 3u);
}

TEST_F(ReservationTest, PreemptWithoutTheHoldersKeyRemovesRegistrationsOnly) {
  ASSERT_EQ(Out(one, sa::kRegister, 0, 1), "GOOD");
  ASSERT_EQ(Out(two, sa::kRegister, 0, 2), "GOOD");
  EXPECT_EQ(Out(two, sa::kPreempt, 2, 7, kWriteExclusive), "RESERVATION CONFLICT");
  EXPECT_EQ(Out(two, sa::kPreempt, 2, 0, kWriteExclusive), "5/26/00");
  ASSERT_EQ(Out(one, sa::kReserve, 1, 0, kWriteExclusiveRegistrants), "GOOD");
  EXPECT_EQ(Out(one, sa::kPreempt, 1, 2, kWriteExclusive), "GOOD");
  EXPECT_EQ(Reserved(one), "1/5");
  EXPECT_EQ(Keys(one), (std::vector<uint64_t>{1}));
  EXPECT_EQ(two.TestUnitReady(), "6/2a/05");
}

TEST_F(ReservationTest, PreemptOfAllRegistrantsWithKeyZeroLeavesOnlyItself) {
  ASSERT_EQ(Out(one, sa::kRegister, 0, 1), "GOOD");
  ASSERT_EQ(Out(two, sa::kRegister, 0, 2), "GOOD");
  ASSERT_EQ(Out(one, sa::kReserve, 1, 0, kWriteExclusiveAll), "GOOD");
  EXPECT_EQ(Out(two, sa::kPreempt, 2, 0, kExclusiveAccess), "GOOD");
  EXPECT_EQ(Reserved(two), "2/3");
  EXPECT_EQ(Keys(two), (std::vector<uint64_t>{2}));
}

TEST_F(ReservationTest, PreemptAndAbortAnswersWhenTheirCommandsHaveEnded) {
  ASSERT_EQ(Out(one, sa::kRegister, 0, 1), "GOOD");
  ASSERT_EQ(Out(two, sa::kRegister, 0, 2), "GOOD");
  ASSERT_EQ(Out(one, sa::kReserve, 1, 0, kWriteExclusive), "GOOD");
  faulty.DelayAll(IoOp::kWrite, 1);
  const auto write = one.Send(MakeCdb10(opcode::kWrite10, 0, 1), Bytes(512, 'o'));
  const auto preempt = two.Send(OutCdb(sa::kPreemptAndAbort, kWriteExclusive), Parameters(2, 1));
  EXPECT_EQ(preempt->result(), "PENDING");
  EXPECT_EQ(two.TestUnitReady(), "GOOD");
  EXPECT_EQ(preempt->result(), "PENDING");
  faulty.Release();
  EXPECT_EQ(write->result(), "GOOD");
  EXPECT_EQ(preempt->result(), "GOOD");
  EXPECT_EQ(one.TestUnitReady(), "6/2a/05");
  EXPECT_EQ(Rights(one), "r-");
}

TEST_F(ReservationTest, RefusesParametersThatItCannotKeep) {
  EXPECT_EQ(one.Do(OutCdb(sa::kRegister), Parameters(0, 1, 0x01)), "5/26/00") << "APTPL";
  EXPECT_EQ(one.Do(OutCdb(sa::kRegister), Parameters(0, 1, 0x04)), "5/26/00") << "ALL_TG_PT";
  EXPECT_EQ(one.Do(OutCdb(sa::kRegister), Parameters(0, 1, 0x08)), "5/26/00") << "SPEC_I_PT";
  EXPECT_EQ(one.Do(OutCdb(sa::kRegister), Bytes(20, 0)), "5/1a/00");
  EXPECT_EQ(one.Do(MakeCdb({opcode::kPersistentReserveOut, 0, 0, 0, 0, 0, 0, 0, 16}), Bytes(16, 0)),
            "5/1a/00");
  EXPECT_EQ(one.Do(OutCdb(7), Bytes(24, 0)), "5/24/00") << "REGISTER AND MOVE";
  EXPECT_TRUE(Keys(one).empty());
}

TEST_F(ReservationTest, ReportsCapabilitiesAndFullStatus) {
  const auto capabilities = In(one, sa::kReportCapabilities);
  ASSERT_EQ(capabilities.size(), 8u);
  EXPECT_EQ(LoadBigEndian<uint16_t>(&capabilities[0]), 8);
  EXPECT_EQ(LoadBigEndian<uint16_t>(&capabilities[4]), 0xea01);

  ASSERT_EQ(Out(one, sa::kRegister, 0, 1), "GOOD");
  ASSERT_EQ(Out(one, sa::kReserve, 1, 0, kWriteExclusive), "GOOD");
  const auto status = In(one, sa::kReadFullStatus);
  ASSERT_EQ(LoadBigEndian<uint32_t>(&status[4]), status.size() - 8);
  EXPECT_EQ(LoadBigEndian<uint64_t>(&status[8]), 1u);
  EXPECT_EQ(status[20], std::byte{0x01}) << "R_HOLDER";
  EXPECT_EQ(status[21], std::byte{kWriteExclusive});
  EXPECT_EQ(status[32], std::byte{0x45});
  const std::string name = "iqn.2026-11.test:one,i,0x000001";
  EXPECT_EQ(LoadBigEndian<uint16_t>(&status[34]) % 4, 0);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(&status[36])), name);
  EXPECT_EQ(In(one, sa::kReadKeys, 8).size(), 8u);
}

TEST_F(ReservationTest, ReserveSixKeepsEverybodyElseOut) {
  EXPECT_EQ(one.Do(MakeCdb({opcode::kReserve6})), "GOOD");
  EXPECT_EQ(two.Do(MakeCdb({opcode::kReserve6})), "RESERVATION CONFLICT");
  EXPECT_EQ(Rights(two), "--");
  EXPECT_EQ(two.Do(MakeCdb({opcode::kInquiry, 0, 0, 0, 36})), "GOOD");
  EXPECT_EQ(two.Do(MakeCdb({opcode::kRelease6})), "GOOD") << "and nothing happens";
  EXPECT_EQ(Rights(two), "--");
  EXPECT_EQ(Out(two, sa::kRegister, 0, 2), "RESERVATION CONFLICT");
  EXPECT_EQ(one.Do(MakeCdb({opcode::kRelease6})), "GOOD");
  EXPECT_EQ(Rights(two), "rw");
}

TEST_F(ReservationTest, ReserveSixEndsWithItsSessionAndExcludesRegistrations) {
  {
    test::Initiator three(*unit, "iqn.2026-11.test:three,i,0x1");
    ASSERT_EQ(three.Do(MakeCdb({opcode::kReserve6})), "GOOD");
    EXPECT_EQ(Rights(one), "--");
  }
  EXPECT_EQ(Rights(one), "rw");
  ASSERT_EQ(Out(one, sa::kRegister, 0, 1), "GOOD");
  EXPECT_EQ(one.Do(MakeCdb({opcode::kReserve6})), "RESERVATION CONFLICT");
  EXPECT_EQ(two.Do(MakeCdb({opcode::kRelease6})), "RESERVATION CONFLICT");
}

}  // namespace
}  // namespace aurochs::scsi
