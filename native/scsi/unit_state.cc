#include "scsi/unit_state.h"

#include <algorithm>
#include <string>

#include "base/byte_reader.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "scsi/byte_list.h"

namespace aurochs::scsi {
namespace {

constexpr std::string_view kMagic = "aurochsU";
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderBytes = 20;
constexpr size_t kChecksumBytes = 4;
constexpr uint8_t kPersists = 0x01;

aurochs::Status Corrupt(const char* what) {
  return {ErrorCode::kCorruption, std::string("state of a SCSI unit: ") + what};
}

void AddRegistrations(ByteList& bytes, const PersistentReservations& reservations) {
  const auto& registrations = reservations.registrations();
  const auto& reservation = reservations.reservation();
  uint16_t holder = 0;
  for (size_t i = 0; i < registrations.size(); ++i) {
    if (reservation && registrations[i].nexus == reservation->holder) {
      holder = static_cast<uint16_t>(i);
    }
  }
  bytes.U8(reservation ? static_cast<uint8_t>(reservation->type) : 0);
  bytes.U8(0);
  bytes.U16(holder);
  bytes.U32(static_cast<uint32_t>(registrations.size()));
  for (const Registration& registration : registrations) {
    bytes.U64(registration.key);
    bytes.U16(registration.nexus.portal_group);
    bytes.U16(static_cast<uint16_t>(registration.nexus.initiator.size()));
    bytes.Text(registration.nexus.initiator);
  }
}

Result<PersistentReservations> ReadRegistrations(ByteReader& reader) {
  if (reader.remaining() < 8) return Corrupt("it ends before its registrations");
  const uint8_t type_code = reader.U8();
  reader.Skip(1);
  const size_t holder = reader.U16();
  const size_t count = reader.U32();
  if (count > kReservationRegistrationsMax) return Corrupt("it has too many registrations");
  std::vector<Registration> registrations;
  for (size_t i = 0; i < count; ++i) {
    if (reader.remaining() < 12) return Corrupt("it ends within a registration");
    Registration registration;
    registration.key = reader.U64();
    registration.nexus.portal_group = reader.U16();
    const size_t name_bytes = reader.U16();
    if (name_bytes > reader.remaining()) return Corrupt("it ends within an initiator's name");
    const auto name = reader.Bytes(name_bytes);
    registration.nexus.initiator.assign(reinterpret_cast<const char*>(name.data()), name.size());
    const bool known = std::any_of(
        registrations.begin(), registrations.end(),
        [&registration](const Registration& other) { return other.nexus == registration.nexus; });
    if (known || registration.key == 0) return Corrupt("a registration is not one");
    registrations.push_back(std::move(registration));
  }
  std::optional<Reservation> reservation;
  if (type_code != 0) {
    const auto type = ReservationTypeFrom(type_code);
    if (!type || holder >= registrations.size()) return Corrupt("its reservation is not one");
    reservation = Reservation{*type, registrations[holder].nexus};
  }
  return PersistentReservations(std::move(registrations), std::move(reservation));
}

}  // namespace

std::vector<std::byte> EncodeUnitState(const UnitState& state) {
  ByteList bytes;
  bytes.Text(kMagic);
  bytes.U32(kVersion);
  bytes.U32(0);  // length of the whole, below
  bytes.U8(state.persists ? kPersists : 0);
  bytes.U8(static_cast<uint8_t>(state.sanitize));
  bytes.U16(0);
  if (state.persists) {
    AddRegistrations(bytes, state.reservations);
  } else {
    bytes.U64(0);  // no reservation, no registrations
  }
  bytes.SetU32(kMagic.size() + 4, static_cast<uint32_t>(bytes.size() + kChecksumBytes));
  bytes.U32(Crc32c(bytes.bytes()));
  return std::move(bytes).Take();
}

Result<UnitState> DecodeUnitState(std::span<const std::byte> bytes) {
  if (bytes.empty()) return UnitState{};
  if (bytes.size() < kHeaderBytes + kChecksumBytes) return Corrupt("it is too short");
  ByteReader reader(bytes);
  const auto magic = std::as_bytes(std::span(kMagic));
  if (!std::equal(magic.begin(), magic.end(), reader.Bytes(kMagic.size()).begin())) {
    return Corrupt("it does not begin as one");
  }
  if (reader.U32() != kVersion) {
    return aurochs::Status(ErrorCode::kUnsupported,
                           "state of a SCSI unit: a newer version wrote it");
  }
  if (reader.U32() != bytes.size()) return Corrupt("its length is wrong");
  const auto content = bytes.first(bytes.size() - kChecksumBytes);
  if (LoadBigEndian<uint32_t>(bytes.data() + content.size()) != Crc32c(content)) {
    return Corrupt("its checksum is wrong");
  }
  UnitState state;
  state.persists = (reader.U8() & kPersists) != 0;
  const uint8_t sanitize = reader.U8();
  if (sanitize > static_cast<uint8_t>(SanitizeState::kRestricted)) {
    return Corrupt("its state of sanitizing is not one");
  }
  state.sanitize = static_cast<SanitizeState>(sanitize);
  reader.Skip(2);
  auto reservations = ReadRegistrations(reader);
  if (!reservations.ok()) return reservations.status();
  if (reader.remaining() != kChecksumBytes) return Corrupt("it goes on after its end");
  state.reservations = std::move(reservations).value();
  return state;
}

}  // namespace aurochs::scsi
