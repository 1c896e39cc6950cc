// Persistent reservations over the whole way: initiator, target, unit, file, and back.
#include <gtest/gtest.h>

#include "base/units.h"
#include "iscsi_initiator.h"
#include "support/host_rig.h"
#include "support/temp_directory.h"

namespace aurochs {
namespace {

using iscsi::test::Initiator;
using iscsi::test::ScsiStatusOf;
using test::Await;

constexpr uint8_t kReservationConflict = 0x18;
constexpr char kTarget[] = "iqn.2026-11.io.aurochs:vol";
constexpr char kHolder[] = "iqn.2026-11.test:holder";
constexpr char kOther[] = "iqn.2026-11.test:other";

// Opens the volume and exports it; where.
std::string Serve(test::HostRig& rig, const TempDirectory& disk, uint64_t epoch) {
  const auto volume = rig.Open(disk.path(), "r", epoch);
  EXPECT_TRUE(volume.ok()) << volume.status().ToString();
  const auto address = Await<Result<std::string>>(
      [&](auto done) { rig.host().ListenIscsi("127.0.0.1:0", std::move(done)); });
  EXPECT_TRUE(address.ok());
  EXPECT_TRUE(Await<Status>([&](auto done) {
                (*volume)->ExportIscsi({.target_name = kTarget, .serial = "r"}, std::move(done));
              }).ok());
  return *address;
}

std::unique_ptr<Initiator> Login(const std::string& address, const char* name) {
  auto initiator = std::make_unique<Initiator>(address);
  EXPECT_EQ(initiator->LoginTo({.initiator = name}), iscsi::LoginStatus::kSuccess);
  initiator->ClearUnitAttentions();
  return initiator;
}

uint8_t ReserveOut(Initiator& initiator, uint8_t action, uint8_t type, uint8_t key,
                   uint8_t action_key, bool persist) {
  iscsi::Bhs bhs = initiator.Write(0, 0);
  bhs.SetU32(iscsi::field::kEdtl, 24);
  bhs.SetU8(iscsi::field::kCdb, 0x5f);
  bhs.SetU8(iscsi::field::kCdb + 1, action);
  bhs.SetU8(iscsi::field::kCdb + 2, type);
  bhs.SetU8(iscsi::field::kCdb + 8, 24);
  std::string list(24, '\0');
  list[7] = static_cast<char>(key);
  list[15] = static_cast<char>(action_key);
  list[20] = persist ? '\1' : '\0';
  initiator.Send(bhs, list);
  return ScsiStatusOf(initiator.Next());
}

uint8_t Write(Initiator& initiator) {
  initiator.Send(initiator.Write(0, 1), std::string(512, 'w'));
  return ScsiStatusOf(initiator.Next());
}

TEST(HostReservations, PersistThroughARestart) {
  constexpr uint8_t kRegister = 0, kReserve = 1, kRelease = 2, kWriteExclusive = 1;
  const TempDirectory disk;
  {
    test::HostRig rig;
    ASSERT_TRUE(rig.Create(disk.path(), "r", 16 * kMiB).ok());
    const auto holder = Login(Serve(rig, disk, 1), kHolder);
    EXPECT_EQ(ReserveOut(*holder, kRegister, 0, 0, 7, true), 0);
    EXPECT_EQ(ReserveOut(*holder, kReserve, kWriteExclusive, 7, 0, false), 0);
    holder->Close();
  }
  test::HostRig rig;
  const std::string address = Serve(rig, disk, 2);
  const auto holder = Login(address, kHolder);
  const auto other = Login(address, kOther);
  EXPECT_EQ(Write(*other), kReservationConflict);
  EXPECT_EQ(Write(*holder), 0);
  EXPECT_EQ(ReserveOut(*holder, kRelease, kWriteExclusive, 7, 0, false), 0);
  EXPECT_EQ(Write(*other), 0);
  holder->Close();
  other->Close();
}

TEST(HostReservations, ADamagedFileStopsTheOpening) {
  const TempDirectory disk;
  test::HostRig rig;
  ASSERT_TRUE(rig.Create(disk.path(), "r", 16 * kMiB).ok());
  auto directory = OpenReplicaDirectory(disk.path(), "r").value();
  auto file = directory->OpenFile("unit-state", OpenMode::kCreate).value();
  ASSERT_TRUE(file->WriteAt(std::as_bytes(std::span("nonsense")), 0).ok());
  const auto volume = rig.Open(disk.path(), "r", 1);
  EXPECT_EQ(volume.status().code(), ErrorCode::kCorruption);
  EXPECT_NE(volume.status().message().find("r/unit-state"), std::string::npos)
      << volume.status().message();
  ASSERT_TRUE(directory->Remove("unit-state").ok());
  EXPECT_TRUE(rig.Open(disk.path(), "r", 2).ok()) << "it was given back";
}

}  // namespace
}  // namespace aurochs
