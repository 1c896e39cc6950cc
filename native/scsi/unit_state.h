// What a unit remembers beyond its own life: the persistent reservations that were asked to persist
// through power loss (SPC-4, 5.13.5), and a SANITIZE that has not come to its end (SBC-3, 4.11).
//
// Thread: the unit's loop.
// Format: docs/scsi-support.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "base/status.h"
#include "scsi/persistent_reservations.h"

namespace aurochs::scsi {

// A SANITIZE that was begun and not finished leaves the unit in failure mode (SBC-3, 4.11.4).
enum class SanitizeState : uint8_t {
  kNone = 0,
  kUnrestricted = 1,  // EXIT FAILURE MODE leads out of it: AUSE was set.
  kRestricted = 2,    // Only a SANITIZE that succeeds does.
};

struct UnitState {
  PersistentReservations reservations;
  bool persists = false;  // APTPL of the last registration: `reservations` are worth keeping
  SanitizeState sanitize = SanitizeState::kNone;
};

// Reservations that do not persist are left out.
std::vector<std::byte> EncodeUnitState(const UnitState& state);
// No bytes are a state in which nothing ever happened. kCorruption and kUnsupported say what is
// wrong (D2).
Result<UnitState> DecodeUnitState(std::span<const std::byte> bytes);

// Where whoever offers a unit keeps its state.
//
// Ownership: outlives the unit.
class UnitStateStore {
 public:
  virtual ~UnitStateStore() = default;

  // What was saved last; DecodeUnitState takes it, or the unit would not have been made.
  virtual std::span<const std::byte> saved() const = 0;
  // Replaces it as a whole (D2). `done` hears, later and on the unit's loop, that it is durable, or
  // why it may not be. One call at a time.
  virtual void Save(std::vector<std::byte> bytes, std::function<void(aurochs::Status)> done) = 0;
};

}  // namespace aurochs::scsi
