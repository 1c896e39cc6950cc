// What a unit remembers beyond its own life: the format, and reservations that persist.
#include <gtest/gtest.h>

#include "base/byte_writer.h"
#include "base/crc32c.h"
#include "block/memory_device.h"
#include "scsi/spec.h"
#include "scsi/unit_state.h"
#include "support/block_io.h"
#include "support/fake_unit_state_store.h"
#include "support/scsi_initiator.h"

namespace aurochs::scsi {
namespace {

using test::Bytes;
using test::MakeCdb;
using test::MakeCdb10;
namespace sa = service_action;

constexpr uint8_t kWriteExclusiveRegistrants = 5;

UnitState TwoRegistrants() {
  UnitState state;
  state.persists = true;
  state.sanitize = SanitizeState::kRestricted;
  const NexusId a{"iqn.2026-11.test:a,i,0x000000000001", 1};
  const NexusId b{"iqn.2026-11.test:b,i,0x000000000002", 2};
  state.reservations = PersistentReservations({{a, 0x1111}, {b, 0x2222}},
                                              Reservation{ReservationType::kExclusiveAccess, b});
  return state;
}

// With the checksum that fits.
std::vector<std::byte> Sealed(std::vector<std::byte> bytes) {
  const size_t content = bytes.size() - 4;
  StoreBigEndian(bytes.data() + content, Crc32c(std::span(bytes).first(content)));
  return bytes;
}

TEST(UnitStateFormat, ReturnsWhatWasPutIn) {
  const auto bytes = EncodeUnitState(TwoRegistrants());
  auto decoded = DecodeUnitState(bytes);
  ASSERT_TRUE(decoded.ok()) << decoded.status().ToString();
  EXPECT_TRUE(decoded->persists);
  EXPECT_EQ(decoded->sanitize, SanitizeState::kRestricted);
  ASSERT_EQ(decoded->reservations.registrations().size(), 2u);
  EXPECT_EQ(decoded->reservations.registrations()[1].key, 0x2222u);
  ASSERT_TRUE(decoded->reservations.reservation());
  EXPECT_EQ(decoded->reservations.reservation()->type, ReservationType::kExclusiveAccess);
  EXPECT_EQ(decoded->reservations.reservation()->holder,
            decoded->reservations.registrations()[1].nexus);
  EXPECT_EQ(EncodeUnitState(*decoded), bytes);
}

TEST(UnitStateFormat, LeavesOutReservationsThatDoNotPersist) {
  UnitState state = TwoRegistrants();
  state.persists = false;
  auto decoded = DecodeUnitState(EncodeUnitState(state));
  ASSERT_TRUE(decoded.ok());
  EXPECT_TRUE(decoded->reservations.registrations().empty());
  EXPECT_EQ(decoded->sanitize, SanitizeState::kRestricted);
}

TEST(UnitStateFormat, NoBytesAreAStateInWhichNothingHappened) {
  auto decoded = DecodeUnitState({});
  ASSERT_TRUE(decoded.ok());
  EXPECT_FALSE(decoded->persists);
  EXPECT_EQ(decoded->sanitize, SanitizeState::kNone);
}

TEST(UnitStateFormat, NoticesEveryBitThatFellOver) {
  const auto good = EncodeUnitState(TwoRegistrants());
  for (size_t bit = 0; bit < 8 * good.size(); ++bit) {
    auto bytes = good;
    bytes[bit / 8] ^= std::byte{1} << bit % 8;
    EXPECT_FALSE(DecodeUnitState(bytes).ok()) << bit;
  }
  for (size_t length = 1; length < good.size(); ++length) {
    EXPECT_FALSE(DecodeUnitState(std::span(good).first(length)).ok()) << length;
  }
}

TEST(UnitStateFormat, RefusesNonsenseThatHasAGoodChecksum) {
  struct Case {
    const char* what;
    size_t at;
    uint8_t value;
    ErrorCode code;
  };
  const Case table[] = {
      {"magic", 0, 'x', ErrorCode::kCorruption},
      {"version", 11, 2, ErrorCode::kUnsupported},
      {"length", 15, 1, ErrorCode::kCorruption},
      {"sanitize", 17, 3, ErrorCode::kCorruption},
      {"type", 20, 2, ErrorCode::kCorruption},
      {"holder", 23, 2, ErrorCode::kCorruption},
      {"fewer registrations", 27, 1, ErrorCode::kCorruption},
      {"more registrations", 27, 3, ErrorCode::kCorruption},
      {"far too many registrations", 24, 1, ErrorCode::kCorruption},
      {"length of a name", 38, 0xff, ErrorCode::kCorruption},
  };
  for (const Case& c : table) {
    auto bytes = EncodeUnitState(TwoRegistrants());
    bytes[c.at] = std::byte{c.value};
    EXPECT_EQ(DecodeUnitState(Sealed(std::move(bytes))).status().code(), c.code) << c.what;
  }
}

class PersistentThroughPowerLoss : public testing::Test {
 protected:
  static constexpr uint8_t kPersist = 0x01;

  static std::unique_ptr<test::SentCommand> Out(test::Initiator& from, int action, uint64_t key,
                                                uint64_t action_key, uint8_t type = 0,
                                                uint8_t flags = 0) {
    std::vector<std::byte> list(24);
    ByteWriter writer(list);
    writer.U64(key);
    writer.U64(action_key);
    writer.U32(0);
    writer.U8(flags);
    return from.Send(MakeCdb({opcode::kPersistentReserveOut, static_cast<unsigned>(action), type, 0,
                              0, 0, 0, 0, 24}),
                     list);
  }
  static std::vector<std::byte> Capabilities(test::Initiator& from) {
    return from.Get(
        MakeCdb({opcode::kPersistentReserveIn, sa::kReportCapabilities, 0, 0, 0, 0, 0, 0, 8}));
  }
  // What a power loss leaves: the device, and what is durable of the state.
  void LosePower() { unit = LogicalUnit::Create(memory, {}, {}, &store); }

  MemoryDevice memory{{.size_bytes = 4 * kMiB}};
  test::FakeUnitStateStore store;
  std::unique_ptr<LogicalUnit> unit = LogicalUnit::Create(memory, {}, {}, &store);
  static constexpr const char* kA = "iqn.2026-11.test:a,i,0x1";
  static constexpr const char* kB = "iqn.2026-11.test:b,i,0x1";
};

TEST_F(PersistentThroughPowerLoss, ReservationsAreThereAgain) {
  {
    test::Initiator a(*unit, kA);
    EXPECT_EQ(Capabilities(a)[2], std::byte{0x01}) << "PTPL_C";
    const auto registered = Out(a, sa::kRegister, 0, 0xa, 0, kPersist);
    EXPECT_FALSE(registered->done()) << "not durable yet";
    store.Finish();
    EXPECT_EQ(registered->result(), "GOOD");
    EXPECT_EQ(Capabilities(a)[3], std::byte{0x81}) << "TMV, PTPL_A";
    const auto reserved = Out(a, sa::kReserve, 0xa, 0, kWriteExclusiveRegistrants);
    EXPECT_FALSE(reserved->done());
    store.Finish();
    EXPECT_EQ(reserved->result(), "GOOD");
  }
  LosePower();
  test::Initiator a(*unit, kA);
  test::Initiator b(*unit, kB);
  EXPECT_EQ(a.Do(MakeCdb10(opcode::kWrite10, 0, 1), Bytes(512, 1)), "GOOD");
  EXPECT_EQ(b.Do(MakeCdb10(opcode::kWrite10, 0, 1), Bytes(512, 2)), "RESERVATION CONFLICT");
  EXPECT_EQ(b.Do(MakeCdb10(opcode::kRead10, 0, 1)), "GOOD");
  EXPECT_EQ(Capabilities(b)[3], std::byte{0x81});
}

TEST_F(PersistentThroughPowerLoss, TheLastRegistrationDecides) {
  {
    test::Initiator a(*unit, kA);
    test::Initiator b(*unit, kB);
    const auto first = Out(a, sa::kRegister, 0, 0xa, 0, kPersist);
    store.Finish();
    EXPECT_EQ(first->result(), "GOOD");
    const auto other = Out(b, sa::kRegister, 0, 0xb);
    EXPECT_FALSE(other->done()) << "that nothing persists has to be durable too";
    store.Finish();
    EXPECT_EQ(other->result(), "GOOD");
    EXPECT_EQ(Out(a, sa::kReserve, 0xa, 0, kWriteExclusiveRegistrants)->result(), "GOOD");
    EXPECT_EQ(store.saves, 2) << "what does not persist is not saved";
  }
  LosePower();
  test::Initiator b(*unit, kB);
  EXPECT_EQ(b.Do(MakeCdb10(opcode::kWrite10, 0, 1), Bytes(512, 2)), "GOOD");
  EXPECT_EQ(Capabilities(b)[3], std::byte{0x80});
}

TEST_F(PersistentThroughPowerLoss, ChangesTakeTurns) {
  test::Initiator a(*unit, kA);
  test::Initiator b(*unit, kB);
  const auto first = Out(a, sa::kRegister, 0, 0xa, 0, kPersist);
  const auto second = Out(b, sa::kRegister, 0, 0xb, 0, kPersist);
  const auto third = Out(a, sa::kReserve, 0xa, 0, kWriteExclusiveRegistrants);
  EXPECT_EQ(store.saves, 1);
  store.Finish();
  EXPECT_TRUE(first->done());
  EXPECT_FALSE(second->done());
  store.Finish();
  EXPECT_TRUE(second->done());
  EXPECT_FALSE(third->done());
  EXPECT_EQ(b.Do(MakeCdb10(opcode::kWrite10, 0, 1), Bytes(512, 2)), "GOOD");
  store.Finish();
  EXPECT_EQ(third->result(), "GOOD");
}

TEST_F(PersistentThroughPowerLoss, WhatCouldNotBeSavedDidNotHappen) {
  test::Initiator a(*unit, kA);
  const auto failed = Out(a, sa::kRegister, 0, 0xa, 0, kPersist);
  store.Finish(ErrorCode::kIo);
  EXPECT_EQ(failed->result(), "3/0c/00");
  const auto reserved = Out(a, sa::kReserve, 0xa, 0, kWriteExclusiveRegistrants);
  store.Finish();  // The old state is written again: nobody knows what is there.
  EXPECT_EQ(reserved->result(), "RESERVATION CONFLICT");
  const auto again = Out(a, sa::kRegister, 0, 0xa, 0, kPersist);
  store.Finish();
  EXPECT_EQ(again->result(), "GOOD");
}

TEST_F(PersistentThroughPowerLoss, WithoutAStoreItIsRefused) {
  const auto forgetful = LogicalUnit::Create(memory, {});
  test::Initiator a(*forgetful, kA);
  EXPECT_EQ(Capabilities(a)[2], std::byte{0});
  EXPECT_EQ(Out(a, sa::kRegister, 0, 0xa, 0, kPersist)->result(), "5/26/00");
  EXPECT_EQ(Out(a, sa::kRegister, 0, 0xa)->result(), "GOOD");
}

}  // namespace
}  // namespace aurochs::scsi
