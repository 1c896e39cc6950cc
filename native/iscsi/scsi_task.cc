#include "iscsi/scsi_task.h"

#include <algorithm>

namespace aurochs::iscsi {
namespace {

// Where each state may go; kFree is reached from everywhere but kSubmitted, when the session ends
// or the task is aborted.
bool MayMove(ScsiTask::State from, ScsiTask::State to) {
  using State = ScsiTask::State;
  switch (from) {
    case State::kFree: return to == State::kArriving;
    case State::kArriving:
      return to == State::kParked || to == State::kCollecting || to == State::kFree;
    case State::kParked: return to == State::kCollecting || to == State::kFree;
    case State::kCollecting:
      return to == State::kWaiting || to == State::kSubmitted || to == State::kAnswering ||
             to == State::kFree;
    case State::kWaiting:
      return to == State::kCollecting || to == State::kSubmitted || to == State::kAnswering ||
             to == State::kFree;
    case State::kSubmitted: return to == State::kAnswering || to == State::kFree;
    case State::kAnswering: return to == State::kSending || to == State::kFree;
    case State::kSending: return to == State::kFree;
  }
  Unreachable("MayMove");
}

}  // namespace

void ScsiTask::MoveTo(State to) {
  CHECK(MayMove(state, to));
  state = to;
}

uint32_t ScsiTask::wanted_bytes() const {
  if (plan.direction != scsi::DataDirection::kOut) return 0;
  return static_cast<uint32_t>(std::min<uint64_t>(write_bytes, plan.length_bytes));
}

void ScsiTask::BeginUnsolicited(const Bhs& command_pdu, const Parameters& parameters) {
  immediate_bytes = command_pdu.data_segment_bytes();
  unsolicited_open = write_bytes > 0 && !command_pdu.final();
  const uint32_t limit = std::min(write_bytes, parameters.first_burst_bytes);
  if ((immediate_bytes > 0 && !parameters.immediate_data) ||
      (unsolicited_open && parameters.initial_r2t)) {
    fault = TaskFault::kUnexpectedUnsolicitedData;
  } else if (immediate_bytes > limit) {
    fault = TaskFault::kIncorrectAmountOfData;
  }
  if (fault != TaskFault::kNone) return;
  const uint32_t room = unsolicited_open ? limit : immediate_bytes;
  if (room == 0) return;
  unsolicited = BufferPool::OfThisThread().Allocate(room);
  if (!unsolicited) {
    fault = TaskFault::kNoMemory;
    return;
  }
  received_bytes = immediate_bytes;
}

ScsiTask::DataOutPlace ScsiTask::OnDataOutHeader(const Bhs& pdu, const Parameters& parameters) {
  return pdu.U32(field::kTtt) == kReservedTag ? PlaceUnsolicited(pdu, parameters)
                                              : PlaceSolicited(pdu);
}

ScsiTask::DataOutPlace ScsiTask::PlaceUnsolicited(const Bhs& pdu, const Parameters& parameters) {
  if (fault != TaskFault::kNone) return {};
  const uint32_t limit = std::min(write_bytes, parameters.first_burst_bytes);
  const uint32_t bytes = pdu.data_segment_bytes();
  if (!unsolicited_open) {
    fault = TaskFault::kUnexpectedUnsolicitedData;
  } else if (pdu.U32(field::kDataSn) != unsolicited_data_sn) {
    fault = TaskFault::kLostData;
  } else if (pdu.U32(field::kBufferOffset) != received_bytes || bytes > limit - received_bytes) {
    fault = TaskFault::kIncorrectAmountOfData;
  }
  if (fault != TaskFault::kNone || bytes == 0) return {};
  return {unsolicited.data() + received_bytes};
}

ScsiTask::DataOutPlace ScsiTask::PlaceSolicited(const Bhs& pdu) {
  Burst* const burst = FindBurst(pdu.U32(field::kTtt));
  if (burst == nullptr) return {.wrong_tag = true};
  if (fault != TaskFault::kNone) return {};
  const uint32_t bytes = pdu.data_segment_bytes();
  // 13.18, 13.19: PDUs and sequences come in order.
  if (pdu.U32(field::kDataSn) != burst->next_data_sn) {
    fault = TaskFault::kLostData;
  } else if (burst != bursts.data() || pdu.U32(field::kBufferOffset) != burst->next_offset ||
             bytes > burst->end_offset - burst->next_offset ||
             (pdu.final() && burst->next_offset + bytes != burst->end_offset)) {
    fault = TaskFault::kIncorrectAmountOfData;
  }
  if (fault != TaskFault::kNone || bytes == 0) return {};
  return {solicited.data() + (burst->next_offset - solicited_from)};
}

void ScsiTask::OnDataOut(const Bhs& pdu) {
  const uint32_t bytes = pdu.data_segment_bytes();
  if (pdu.U32(field::kTtt) == kReservedTag) {
    if (fault == TaskFault::kNone) {
      received_bytes += bytes;
      ++unsolicited_data_sn;
    }
    if (pdu.final()) unsolicited_open = false;
    return;
  }
  Burst* const burst = FindBurst(pdu.U32(field::kTtt));
  CHECK(burst != nullptr);
  if (fault == TaskFault::kNone) {
    received_bytes += bytes;
    burst->next_offset += bytes;
    ++burst->next_data_sn;
  }
  if (pdu.final()) EndBurst(burst);
}

std::optional<Burst> ScsiTask::NextBurst(uint32_t max_burst_bytes) const {
  const uint32_t wanted = wanted_bytes();
  if (r2t_end >= wanted) return std::nullopt;
  return Burst{.next_offset = r2t_end,
               .end_offset = r2t_end + std::min(max_burst_bytes, wanted - r2t_end)};
}

Burst* ScsiTask::FindBurst(uint32_t ttt) {
  for (uint32_t i = 0; i < burst_count; ++i) {
    if (bursts[i].ttt == ttt) return &bursts[i];
  }
  return nullptr;
}

void ScsiTask::EndBurst(Burst* burst) {
  std::move(burst + 1, bursts.data() + burst_count, burst);
  --burst_count;
}

}  // namespace aurochs::iscsi
