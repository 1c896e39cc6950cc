// RESERVE and RELEASE (SPC-2, 7.21), PERSISTENT RESERVE IN and OUT (SPC-4, 6.13 and 6.14).
#include <algorithm>

#include "base/byte_reader.h"
#include "scsi/byte_list.h"
#include "scsi/spec.h"
#include "scsi/unit.h"

namespace aurochs::scsi {
namespace {

using Reservations = PersistentReservations;

void AddKeys(ByteList& data, const Reservations& reservations) {
  for (const Registration& registration : reservations.registrations()) {
    data.U64(registration.key);
  }
}

bool IsAllRegistrants(const Reservation& reservation) {
  return reservation.type == ReservationType::kWriteExclusiveAllRegistrants ||
         reservation.type == ReservationType::kExclusiveAccessAllRegistrants;
}

uint64_t HolderKey(const Reservations& reservations) {
  if (IsAllRegistrants(*reservations.reservation())) return 0;
  for (const Registration& registration : reservations.registrations()) {
    if (registration.nexus == reservations.reservation()->holder) return registration.key;
  }
  return 0;
}

void AddReservation(ByteList& data, const Reservations& reservations) {
  if (!reservations.reservation()) return;
  data.U64(HolderKey(reservations));
  data.U32(0);
  data.U8(0);
  data.U8(static_cast<uint8_t>(reservations.reservation()->type));  // LU_SCOPE
  data.U16(0);
}

// SPC-4, 6.13.5.2; the transport identifier is that of iSCSI (SPC-4, 7.6.4.6).
void AddFullStatus(ByteList& data, const Reservations& reservations) {
  for (const Registration& registration : reservations.registrations()) {
    const bool holds = reservations.Holds(registration.nexus);
    data.U64(registration.key);
    data.U32(0);
    data.U8(holds ? 0x01 : 0);  // R_HOLDER
    data.U8(holds ? static_cast<uint8_t>(reservations.reservation()->type) : 0);
    data.U32(0);
    data.U16(kRelativeTargetPort);
    const size_t length_at = data.size();
    data.U32(0);    // ADDITIONAL DESCRIPTOR LENGTH, below
    data.U8(0x45);  // initiator port name, iSCSI
    data.U8(0);
    const size_t name_length_at = data.size();
    data.U16(0);
    data.Text(registration.nexus.initiator);
    data.Zeros(4 - registration.nexus.initiator.size() % 4);
    data.SetLength16(name_length_at);
    data.SetLength32(length_at);
  }
}

}  // namespace

void Unit::Reserve6(Task& task) {
  // The two kinds of reservation exclude each other (SPC-4, 5.13.3).
  if (!state_.reservations.registrations().empty()) {
    return FailWithStatus(task, Status::kReservationConflict);
  }
  reserve6_holder_ = task.command->nexus;
  Good(task);
}

void Unit::Release6(Task& task) {
  if (!state_.reservations.registrations().empty()) {
    return FailWithStatus(task, Status::kReservationConflict);
  }
  if (reserve6_holder_ == task.command->nexus) reserve6_holder_ = 0;
  Good(task);
}

void Unit::PersistentReserveIn(Task& task) {
  ByteList data;
  if (task.spec->service_action == service_action::kReportCapabilities) {
    data.U16(8);
    constexpr uint8_t kPersistsCapable = 0x01;  // PTPL_C; no CRH, SIP_C, ATP_C
    constexpr uint8_t kTypesValid = 0x80;       // TMV
    constexpr uint8_t kPersistsActive = 0x01;   // PTPL_A
    data.U8(store_ != nullptr ? kPersistsCapable : 0);
    data.U8(static_cast<uint8_t>(kTypesValid | (state_.persists ? kPersistsActive : 0)));
    data.U16(0xea01);  // all six types
    data.U16(0);
    return Answer(task, data.bytes());
  }
  const PersistentReservations& reservations = state_.reservations;
  data.U32(reservations.generation());
  data.U32(0);  // ADDITIONAL LENGTH, below
  switch (task.spec->service_action) {
    case service_action::kReadKeys: AddKeys(data, reservations); break;
    case service_action::kReadReservation: AddReservation(data, reservations); break;
    default: AddFullStatus(data, reservations); break;
  }
  data.SetLength32(4);
  Answer(task, data.bytes());
}

void Unit::PersistentReserveOut(Task& task) {
  constexpr uint8_t kSpecifyInitiatorPorts = 0x08;
  constexpr uint8_t kAllTargetPorts = 0x04;
  constexpr uint8_t kActivatePersistThroughPowerLoss = 0x01;
  const auto list = ParameterListOrFail(task);
  if (!list) return;
  if (list->size() != kPersistentReserveOutBytes) {
    return FailIllegal(task, Asc::kParameterListLengthError);
  }
  ByteReader reader(*list);
  auto change = std::make_unique<ReservationChange>();
  change->request.service_action = task.spec->service_action;
  change->request.scope_and_type = CdbByte(task.cdb(), 2);
  change->request.key = reader.U64();
  change->request.service_action_key = reader.U64();
  reader.Skip(4);
  const uint8_t flags = reader.U8();
  change->persist = (flags & kActivatePersistThroughPowerLoss) != 0;
  if ((flags & (kSpecifyInitiatorPorts | kAllTargetPorts)) != 0 ||
      (change->persist && store_ == nullptr)) {
    return FailIllegal(task, Asc::kInvalidFieldInParameterList);
  }
  task.reservation = std::move(change);
  ChangeState(task, &Unit::ProposeReservation, &Unit::AfterReservation);
}

void Unit::ProposeReservation(Task& task, UnitState& next) {
  ReservationChange& change = *task.reservation;
  change.outcome = next.reservations.Execute(NexusOf(task).id, change.request);
  const int action = change.request.service_action;
  const bool registers = action == service_action::kRegister ||
                         action == service_action::kRegisterAndIgnoreExistingKey;
  if (registers && change.outcome.status == Status::kGood) next.persists = change.persist;
}

void Unit::AfterReservation(Task& task, ErrorCode result) {
  if (result != ErrorCode::kOk) return Fail(task, SenseFor(result, true));
  auto outcome = std::move(task.reservation->outcome);
  for (const auto& notice : outcome.notices) AddAttentionFor(notice.nexus, notice.attention);
  if (outcome.status == Status::kCheckCondition) return Fail(task, outcome.sense);
  if (outcome.status != Status::kGood) return FailWithStatus(task, outcome.status);
  for (auto& [handle, nexus] : nexuses_) {
    const auto& gone = outcome.preempted;
    if (std::find(gone.begin(), gone.end(), nexus.id) != gone.end()) nexus.prevents_removal = false;
  }
  if (task.reservation->request.service_action == service_action::kPreemptAndAbort) {
    // Nothing of ours can be called back once it is under way, so we answer when it has ended.
    task.awaited = std::move(outcome.preempted);
    if (MustWait(task)) {
      preempting_.push_back(&task);
      return;
    }
  }
  Good(task);
}

}  // namespace aurochs::scsi
