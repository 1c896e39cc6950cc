// START STOP UNIT (SBC-3, 5.25) and PREVENT ALLOW MEDIUM REMOVAL (SPC-4, 6.19). Only a unit that is
// offered as removable has a medium that can go.
#include <algorithm>

#include "scsi/unit.h"

namespace aurochs::scsi {

void Unit::StartStopUnit(Task& task) {
  constexpr uint8_t kPowerCondition = 0xf0;
  constexpr uint8_t kNoFlush = 0x04;
  constexpr uint8_t kLoadEject = 0x02;
  constexpr uint8_t kStart = 0x01;
  const uint8_t flags = CdbByte(task.cdb(), 4);
  // START and LOEJ are ignored then; there are no power conditions to change.
  if ((flags & kPowerCondition) != 0) return Good(task);
  if ((flags & kLoadEject) != 0) {
    if (!options_.removable) return FailCdbField(task, 4);
    const bool prevented = std::any_of(nexuses_.begin(), nexuses_.end(), [](const auto& each) {
      return each.second.prevents_removal;
    });
    if (prevented) return FailIllegal(task, Asc::kMediumRemovalPrevented);
    if ((flags & kStart) != 0) return LoadMedium(task);
  }
  // Stopping only means that what was written is safe: the volume goes on answering.
  if ((flags & (kStart | kNoFlush)) != 0) {
    if ((flags & kLoadEject) != 0) medium_loaded_ = false;
    return Good(task);
  }
  StartFlush(task, (flags & kLoadEject) != 0 ? &Unit::AfterFlushToUnload : &Unit::FinishIo);
}

bool Unit::AfterFlushToUnload(Task& task, ErrorCode result) {
  if (result == ErrorCode::kOk) medium_loaded_ = false;
  return FinishIo(task, result);
}

void Unit::LoadMedium(Task& task) {
  if (!medium_loaded_) AddAttention(Asc::kMediumMayHaveChanged, task.command->nexus);
  medium_loaded_ = true;
  Good(task);
}

void Unit::PreventAllowMediumRemoval(Task& task) {
  constexpr uint8_t kPrevent = 0x01;
  NexusOf(task).prevents_removal = (CdbByte(task.cdb(), 4) & kPrevent) != 0;
  Good(task);
}

}  // namespace aurochs::scsi
