// SANITIZE (SBC-3, 4.11 and 5.24): BLOCK ERASE makes a hole of the whole unit. It is remembered
// from its beginning to its end, so that an interruption leaves failure mode and not half a volume
// that looks whole. IMMED does not make us answer before it is done.
#include <algorithm>

#include "base/limits.h"
#include "scsi/unit.h"

namespace aurochs::scsi {
namespace {

constexpr uint8_t kAllowUnrestrictedExit = 0x20;  // AUSE

}  // namespace

std::optional<Sense> Unit::NotReady(bool needs_medium) const {
  if (sanitizing_) {
    Sense sense{SenseKey::kNotReady, Asc::kSanitizeInProgress};
    sense.progress = sanitize_progress_;
    return sense;
  }
  if (needs_medium && !medium_loaded_) return Sense{SenseKey::kNotReady, Asc::kMediumNotPresent};
  return std::nullopt;
}

void Unit::SanitizeBlockErase(Task& task) {
  if (AllocationLengthOf(*task.spec, task.cdb()) != 0) return FailCdbField(task, 7);
  sanitizing_ = true;
  sanitize_progress_ = 0;
  ChangeState(task, &Unit::ProposeSanitize, &Unit::StartErasing);
}

void Unit::ProposeSanitize(Task& task, UnitState& next) {
  const bool unrestricted = (CdbByte(task.cdb(), 1) & kAllowUnrestrictedExit) != 0;
  next.sanitize = unrestricted ? SanitizeState::kUnrestricted : SanitizeState::kRestricted;
}

void Unit::StartErasing(Task& task, ErrorCode result) {
  if (result != ErrorCode::kOk) {
    sanitizing_ = false;
    return Fail(task, SenseFor(result, true));
  }
  task.rest = {0, device_.info().size_bytes};
  PrepareErase(task);
  StartGated(task, task.rest, true);  // after the commands under way
}

void Unit::PrepareErase(Task& task) {
  const uint64_t length_bytes = std::min<uint64_t>(task.rest.length_bytes, kUnmapBytesMax);
  task.io.op = IoOp::kUnmap;
  task.io.extent = {task.rest.offset_bytes, length_bytes};
  task.io.iov = {};
  task.after_io = &Unit::AfterErase;
}

bool Unit::AfterErase(Task& task, ErrorCode result) {
  if (result != ErrorCode::kOk) {
    FailSanitize(task);
    return false;
  }
  task.rest.offset_bytes += task.io.extent.length_bytes;
  task.rest.length_bytes -= task.io.extent.length_bytes;
  sanitize_progress_ =
      static_cast<uint16_t>(task.rest.offset_bytes / (device_.info().size_bytes / 0xffff + 1));
  if (task.rest.length_bytes > 0) {
    PrepareErase(task);
    return true;
  }
  task.io.op = IoOp::kFlush;
  task.io.extent = {};
  task.after_io = &Unit::AfterEraseFlush;
  return true;
}

bool Unit::AfterEraseFlush(Task& task, ErrorCode result) {
  if (result != ErrorCode::kOk) {
    FailSanitize(task);
  } else {
    ChangeState(task, &Unit::ProposeNoSanitize, &Unit::AfterSanitize);
  }
  return false;
}

void Unit::ProposeNoSanitize(Task&, UnitState& next) {
  next.sanitize = SanitizeState::kNone;
}

void Unit::AfterSanitize(Task& task, ErrorCode result) {
  if (result != ErrorCode::kOk) return FailSanitize(task);
  sanitizing_ = false;
  Good(task);
}

void Unit::FailSanitize(Task& task) {
  sanitizing_ = false;
  Fail(task, {SenseKey::kMediumError, Asc::kSanitizeCommandFailed});
}

void Unit::SanitizeExitFailureMode(Task& task) {
  if (AllocationLengthOf(*task.spec, task.cdb()) != 0) return FailCdbField(task, 7);
  switch (state_.sanitize) {
    case SanitizeState::kNone: return Good(task);
    case SanitizeState::kUnrestricted:
      return ChangeState(task, &Unit::ProposeNoSanitize, &Unit::AfterExit);
    case SanitizeState::kRestricted: return FailSanitize(task);
  }
}

void Unit::AfterExit(Task& task, ErrorCode result) {
  if (result != ErrorCode::kOk) return Fail(task, SenseFor(result, true));
  Good(task);
}

}  // namespace aurochs::scsi
