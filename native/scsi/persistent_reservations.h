// Who has registered with a logical unit, and who holds its persistent reservation (SPC-4, 5.13).
// State and rules only: a value that changes by calls and does no I/O, so that it can be stored and
// loaded as a whole.
//
// Registrations belong to I_T nexuses by name: they outlive sessions.
//
// Thread: the unit's loop.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "scsi/logical_unit.h"
#include "scsi/sense.h"

namespace aurochs::scsi {

// SPC-4, 6.13.3.4.
enum class ReservationType : uint8_t {
  kWriteExclusive = 1,
  kExclusiveAccess = 3,
  kWriteExclusiveRegistrantsOnly = 5,
  kExclusiveAccessRegistrantsOnly = 6,
  kWriteExclusiveAllRegistrants = 7,
  kExclusiveAccessAllRegistrants = 8,
};
std::optional<ReservationType> ReservationTypeFrom(uint8_t code);

struct Registration {
  NexusId nexus;
  uint64_t key = 0;
};

struct Reservation {
  ReservationType type;
  NexusId
      holder;  // Of the all-registrants types: the one that reserved; every registrant holds it.
};

class PersistentReservations {
 public:
  // The parameters of PERSISTENT RESERVE OUT (SPC-4, 6.14).
  struct Request {
    int service_action;
    uint8_t scope_and_type;
    uint64_t key;                 // RESERVATION KEY
    uint64_t service_action_key;  // SERVICE ACTION RESERVATION KEY
  };
  struct Notice {
    NexusId nexus;
    Asc attention;
  };
  struct Outcome {
    Status status = Status::kGood;
    Sense sense;                     // with kCheckCondition
    std::vector<Notice> notices;     // unit attentions for others
    std::vector<NexusId> preempted;  // whose registrations PREEMPT removed
  };

  PersistentReservations() = default;
  // As they were; `reservation` names one of `registrations`.
  PersistentReservations(std::vector<Registration> registrations,
                         std::optional<Reservation> reservation)
      : registrations_(std::move(registrations)), reservation_(std::move(reservation)) {}

  Outcome Execute(const NexusId& nexus, const Request& request);

  // Whether a reservation keeps `nexus` from reading (or, with `writing`, from changing) the
  // medium.
  bool Conflicts(const NexusId& nexus, bool writing) const;

  uint32_t generation() const { return generation_; }
  const std::vector<Registration>& registrations() const { return registrations_; }
  const std::optional<Reservation>& reservation() const { return reservation_; }
  bool Holds(const NexusId& nexus) const;

 private:
  const Registration* Find(const NexusId& nexus) const;
  Outcome Register(const NexusId& nexus, const Request& request);
  Outcome Unregister(const NexusId& nexus);
  Outcome Reserve(const NexusId& nexus, ReservationType type);
  Outcome Release(const NexusId& nexus, ReservationType type);
  Outcome Clear(const NexusId& nexus);
  Outcome Preempt(const NexusId& nexus, ReservationType type, uint64_t victim_key);
  // Adds a notice for every registrant but `nexus`.
  void NotifyOthers(const NexusId& nexus, Asc attention, Outcome& outcome) const;

  uint32_t generation_ = 0;
  std::vector<Registration> registrations_;  // in the order of registration
  std::optional<Reservation> reservation_;
};

}  // namespace aurochs::scsi
