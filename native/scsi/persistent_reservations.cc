#include "scsi/persistent_reservations.h"

#include <algorithm>

#include "base/check.h"
#include "base/limits.h"
#include "scsi/spec.h"

namespace aurochs::scsi {
namespace {

using Outcome = PersistentReservations::Outcome;

constexpr uint8_t kLogicalUnitScope = 0;

bool IsAllRegistrants(ReservationType type) {
  return type == ReservationType::kWriteExclusiveAllRegistrants ||
         type == ReservationType::kExclusiveAccessAllRegistrants;
}

// Whether registration is enough to read and write.
bool AdmitsRegistrants(ReservationType type) {
  return IsAllRegistrants(type) || type == ReservationType::kWriteExclusiveRegistrantsOnly ||
         type == ReservationType::kExclusiveAccessRegistrantsOnly;
}

// Whether everybody may read.
bool AdmitsReaders(ReservationType type) {
  return type == ReservationType::kWriteExclusive ||
         type == ReservationType::kWriteExclusiveRegistrantsOnly ||
         type == ReservationType::kWriteExclusiveAllRegistrants;
}

Outcome Conflict() {
  return {Status::kReservationConflict, {}, {}, {}};
}
Outcome Refuse(Asc asc) {
  return {Status::kCheckCondition, IllegalRequest(asc), {}, {}};
}

}  // namespace

std::optional<ReservationType> ReservationTypeFrom(uint8_t code) {
  switch (code) {
    case 1:
    case 3:
    case 5:
    case 6:
    case 7:
    case 8: return static_cast<ReservationType>(code);
    default: return std::nullopt;
  }
}

Outcome PersistentReservations::Execute(const NexusId& nexus, const Request& request) {
  namespace sa = service_action;
  if (request.service_action == sa::kRegister ||
      request.service_action == sa::kRegisterAndIgnoreExistingKey) {
    return Register(nexus, request);  // ignores scope and type
  }
  const Registration* registration = Find(nexus);
  if (registration == nullptr || registration->key != request.key) return Conflict();
  if (request.service_action == sa::kClear) return Clear(nexus);

  const auto type = ReservationTypeFrom(request.scope_and_type & 0x0f);
  if (!type || request.scope_and_type >> 4 != kLogicalUnitScope) {
    return Refuse(Asc::kInvalidFieldInCdb);
  }
  switch (request.service_action) {
    case sa::kReserve: return Reserve(nexus, *type);
    case sa::kRelease: return Release(nexus, *type);
    case sa::kPreempt:
    case sa::kPreemptAndAbort: return Preempt(nexus, *type, request.service_action_key);
    default: return Refuse(Asc::kInvalidFieldInCdb);
  }
}

Outcome PersistentReservations::Register(const NexusId& nexus, const Request& request) {
  const bool check_key = request.service_action == service_action::kRegister;
  const Registration* found = Find(nexus);
  const uint64_t known_key = found == nullptr ? 0 : found->key;
  if (check_key && request.key != known_key) return Conflict();

  if (found == nullptr) {
    if (request.service_action_key == 0) return {};
    if (registrations_.size() == kReservationRegistrationsMax) {
      return Refuse(Asc::kInsufficientRegistrationResources);
    }
    registrations_.push_back({nexus, request.service_action_key});
    ++generation_;
    return {};
  }
  if (request.service_action_key == 0) return Unregister(nexus);
  const auto index = static_cast<size_t>(found - registrations_.data());
  registrations_[index].key = request.service_action_key;
  ++generation_;
  return {};
}

// SPC-4, 5.13.11.2.3: with the holder the reservation goes, unless others hold it too.
Outcome PersistentReservations::Unregister(const NexusId& nexus) {
  const bool held = Holds(nexus);
  std::erase_if(registrations_, [&](const Registration& r) { return r.nexus == nexus; });
  ++generation_;
  Outcome outcome;
  if (!held) return outcome;
  const ReservationType type = reservation_->type;
  if (IsAllRegistrants(type) && !registrations_.empty()) {
    reservation_->holder = registrations_.front().nexus;
    return outcome;
  }
  reservation_.reset();
  if (AdmitsRegistrants(type)) NotifyOthers(nexus, Asc::kReservationsReleased, outcome);
  return outcome;
}

Outcome PersistentReservations::Reserve(const NexusId& nexus, ReservationType type) {
  if (!reservation_) {
    reservation_ = Reservation{type, nexus};
    return {};
  }
  return Holds(nexus) && reservation_->type == type ? Outcome{} : Conflict();
}

Outcome PersistentReservations::Release(const NexusId& nexus, ReservationType type) {
  Outcome outcome;
  if (!reservation_ || !Holds(nexus)) return outcome;
  if (reservation_->type != type) return Refuse(Asc::kInvalidReleaseOfPersistentReservation);
  reservation_.reset();
  if (AdmitsRegistrants(type)) NotifyOthers(nexus, Asc::kReservationsReleased, outcome);
  return outcome;
}

Outcome PersistentReservations::Clear(const NexusId& nexus) {
  Outcome outcome;
  NotifyOthers(nexus, Asc::kReservationsPreempted, outcome);
  registrations_.clear();
  reservation_.reset();
  ++generation_;
  return outcome;
}

// SPC-4, 5.13.11.2.6, and its figure of the cases.
Outcome PersistentReservations::Preempt(const NexusId& nexus, ReservationType type,
                                        uint64_t victim_key) {
  const bool all_registrants = reservation_ && IsAllRegistrants(reservation_->type);
  bool takes_over = all_registrants && victim_key == 0;
  if (reservation_ && !all_registrants) {
    const Registration* holder = Find(reservation_->holder);
    CHECK(holder != nullptr);
    takes_over = holder->key == victim_key;
  }
  if (victim_key == 0 && !takes_over) return Refuse(Asc::kInvalidFieldInParameterList);

  Outcome outcome;
  const auto is_victim = [&](const Registration& r) {
    return r.nexus != nexus && (takes_over && all_registrants ? true : r.key == victim_key);
  };
  const bool names_itself = Find(nexus)->key == victim_key;
  for (const Registration& r : registrations_) {
    if (!is_victim(r)) continue;
    outcome.preempted.push_back(r.nexus);
    outcome.notices.push_back({r.nexus, Asc::kRegistrationsPreempted});
  }
  if (outcome.preempted.empty() && !takes_over && !names_itself) return Conflict();
  std::erase_if(registrations_, is_victim);
  if (takes_over) {
    const ReservationType before = reservation_->type;
    reservation_ = Reservation{type, nexus};
    if (before != type) NotifyOthers(nexus, Asc::kReservationsReleased, outcome);
  } else if (all_registrants && Find(reservation_->holder) == nullptr) {
    reservation_->holder = nexus;
  }
  ++generation_;
  return outcome;
}

bool PersistentReservations::Conflicts(const NexusId& nexus, bool writing) const {
  if (!reservation_) return false;
  if (!writing && AdmitsReaders(reservation_->type)) return false;
  if (Holds(nexus)) return false;
  return !AdmitsRegistrants(reservation_->type) || Find(nexus) == nullptr;
}

bool PersistentReservations::Holds(const NexusId& nexus) const {
  if (!reservation_) return false;
  if (IsAllRegistrants(reservation_->type)) return Find(nexus) != nullptr;
  return reservation_->holder == nexus;
}

const Registration* PersistentReservations::Find(const NexusId& nexus) const {
  const auto found = std::find_if(registrations_.begin(), registrations_.end(),
                                  [&](const Registration& r) { return r.nexus == nexus; });
  return found == registrations_.end() ? nullptr : &*found;
}

void PersistentReservations::NotifyOthers(const NexusId& nexus, Asc attention,
                                          Outcome& outcome) const {
  for (const Registration& r : registrations_) {
    if (r.nexus != nexus) outcome.notices.push_back({r.nexus, attention});
  }
}

}  // namespace aurochs::scsi
