#include "iscsi/task_set.h"

#include <algorithm>
#include <utility>

#include "base/limits.h"

namespace aurochs::iscsi {
namespace {

using State = ScsiTask::State;

// -- Sense data of faults that the transport finds (11.4.7.2; SPC-4, 4.5.3).
struct Sense {
  uint8_t key;
  uint8_t asc;
  uint8_t ascq;
};

Sense SenseFor(TaskFault fault) {
  constexpr uint8_t kIllegalRequest = 0x05;
  constexpr uint8_t kAbortedCommand = 0x0b;
  switch (fault) {
    case TaskFault::kUnexpectedUnsolicitedData: return {kAbortedCommand, 0x0c, 0x0c};
    case TaskFault::kIncorrectAmountOfData: return {kAbortedCommand, 0x0c, 0x0d};
    case TaskFault::kLostData: return {kAbortedCommand, 0x47, 0x05};
    case TaskFault::kInvalidFieldInCdb: return {kIllegalRequest, 0x24, 0x00};
    case TaskFault::kNone:
    case TaskFault::kNoMemory: break;
  }
  Unreachable("SenseFor");
}

void SetSense(scsi::Command& command, Sense sense) {
  auto& bytes = command.sense_storage;
  bytes.fill(std::byte{0});
  bytes[0] = std::byte{0x70};  // current error, fixed format
  bytes[2] = std::byte{sense.key};
  bytes[7] = std::byte{10};  // bytes that follow
  bytes[12] = std::byte{sense.asc};
  bytes[13] = std::byte{sense.ascq};
  command.status = scsi::Status::kCheckCondition;
  command.sense = bytes;
}

struct Residual {
  uint8_t flag = 0;
  uint32_t bytes = 0;
};

// 11.4.5: what the initiator expected against what the command transfers.
Residual ResidualOf(const ScsiTask& task) {
  const uint32_t expected = std::max(task.read_bytes, task.write_bytes);
  uint64_t transferred = 0;
  if (task.plan.direction == scsi::DataDirection::kOut) {
    transferred = task.plan.length_bytes;
  } else if (task.plan.direction == scsi::DataDirection::kIn) {
    // A command may return less than it was allowed; then its plan says nothing.
    transferred =
        task.data_in_bytes < task.read_bytes ? task.data_in_bytes : task.plan.length_bytes;
  }
  if (transferred < expected) {
    return {kResidualUnderflowFlag, static_cast<uint32_t>(expected - transferred)};
  }
  if (transferred > expected) {
    const uint64_t excess = std::min<uint64_t>(transferred - expected, UINT32_MAX);
    return {kResidualOverflowFlag, static_cast<uint32_t>(excess)};
  }
  return {};
}

}  // namespace

TaskSet::TaskSet(const Parameters& parameters, Observer& observer)
    : parameters_(parameters), observer_(observer) {}

TaskSet::~TaskSet() {
  CHECK(submitted_ == 0);
}

// -- Commands

ScsiTask* TaskSet::Allocate() {
  ScsiTask* task = free_;
  if (task == nullptr) {
    task = &tasks_.emplace_back();
  } else {
    free_ = task->next;
    *task = ScsiTask{};
  }
  task->set = this;
  return task;
}

ScsiTask* TaskSet::Begin(const Bhs& bhs, scsi::LogicalUnit& unit, uint64_t nexus) {
  ScsiTask* const task = Allocate();
  task->MoveTo(State::kArriving);
  task->unit = &unit;
  task->lun = bhs.U64(field::kLun);
  task->itt = bhs.itt();
  task->cmd_sn = bhs.U32(field::kCmdSn);
  task->immediate = bhs.immediate();
  const uint32_t expected = bhs.U32(field::kEdtl);
  if ((bhs.flags() & kReadFlag) != 0) task->read_bytes = expected;
  if ((bhs.flags() & kWriteFlag) != 0) task->write_bytes = expected;
  std::copy_n(bhs.bytes().begin() + field::kCdb, task->command.cdb.size(),
              task->command.cdb.begin());
  task->command.nexus = nexus;
  task->command.owner = task;
  task->command.complete = &TaskSet::OnUnitComplete;
  task->plan = unit.PlanFor(task->command.cdb);
  const uint64_t moved = std::min<uint64_t>(expected, task->plan.length_bytes);
  const bool both_ways = task->read_bytes > 0 && task->write_bytes > 0;
  // Without its data a write would end well and have changed nothing. What only reads does no harm.
  const bool write_as_read = task->plan.direction == scsi::DataDirection::kOut &&
                             task->plan.length_bytes > 0 && task->read_bytes > 0;
  if (moved > kRequestBytesMax || both_ways || write_as_read) {
    task->fault = TaskFault::kInvalidFieldInCdb;
  }
  task->BeginUnsolicited(bhs, parameters_);

  ScsiTask** const bucket = BucketOf(task->itt);
  task->next = *bucket;
  *bucket = task;
  ++(task->immediate ? open_immediate_ : open_in_window_);
  return task;
}

void TaskSet::Park(ScsiTask& task) {
  task.MoveTo(State::kParked);
}

void TaskSet::Start(ScsiTask& task) {
  task.MoveTo(State::kCollecting);
  if (task.aborted) {
    AnswerAborted(task);
  } else {
    Advance(task);
  }
}

void TaskSet::Forget(ScsiTask& task) {
  Free(task);
}

ScsiTask* TaskSet::Find(uint32_t itt) const {
  ScsiTask* task = *const_cast<TaskSet*>(this)->BucketOf(itt);
  while (task != nullptr && task->itt != itt) task = task->next;
  return task;
}

ScsiTask* TaskSet::FindForDataOut(const Bhs& bhs) const {
  ScsiTask* const task = Find(bhs.itt());
  if (task == nullptr) return nullptr;
  const bool takes_data = task->state == State::kParked || task->state == State::kCollecting ||
                          task->state == State::kWaiting;
  return takes_data ? task : nullptr;
}

ScsiTask::DataOutPlace TaskSet::OnDataOutHeader(ScsiTask& task, const Bhs& bhs) {
  const auto place = task.OnDataOutHeader(bhs, parameters_);
  task.receiving = !place.wrong_tag;
  return place;
}

void TaskSet::OnDataOut(ScsiTask& task, const Bhs& bhs) {
  task.receiving = false;
  task.OnDataOut(bhs);
  if (task.state == State::kParked) return;
  if (task.aborted) {
    AnswerAborted(task);
  } else {
    Advance(task);
  }
}

// Takes a task whose turn it is as far as it gets.
void TaskSet::Advance(ScsiTask& task) {
  if (task.fault != TaskFault::kNone) {
    // 7.8: answered only when no more of its data can arrive.
    if (!task.expects_data_out()) AnswerFault(task);
    return;
  }
  if (task.unsolicited_open) return;
  if (task.reserved_bytes == 0 && !Reserve(task)) {
    if (task.state != State::kWaiting) {
      task.MoveTo(State::kWaiting);
      waiting_.push_back(&task);
    }
    return;
  }
  if (task.received_bytes < task.wanted_bytes()) {
    AskForData(task);
  } else {
    Submit(task);
  }
}

// Takes the memory that the task needs from what the session may have. A task alone always gets it.
bool TaskSet::Reserve(ScsiTask& task) {
  uint64_t needed = 0;
  if (task.plan.direction == scsi::DataDirection::kIn) {
    needed = std::min<uint64_t>(task.read_bytes, task.plan.length_bytes);
  } else if (task.received_bytes < task.wanted_bytes()) {
    needed = task.wanted_bytes() - task.received_bytes;
  }
  if (needed == 0) return true;
  if (!waiting_.empty() && waiting_.front() != &task) return false;
  if (reserved_bytes_ > 0 && reserved_bytes_ + needed > kTransferBytesMax) return false;
  reserved_bytes_ += needed;
  task.reserved_bytes = needed;
  return true;
}

void TaskSet::AskForData(ScsiTask& task) {
  if (task.state == State::kWaiting) task.MoveTo(State::kCollecting);
  if (!task.solicited) {
    const uint32_t missing = task.wanted_bytes() - task.received_bytes;
    task.solicited = BufferPool::OfThisThread().Allocate(missing);
    if (!task.solicited) {
      task.fault = TaskFault::kNoMemory;
      AnswerFault(task);
      return;
    }
    task.solicited_from = task.received_bytes;
    task.r2t_end = task.received_bytes;
  }
  while (task.burst_count < parameters_.outstanding_r2t_max) {
    std::optional<Burst> burst = task.NextBurst(parameters_.max_burst_bytes);
    if (!burst) return;
    if (++next_ttt_ == kReservedTag) next_ttt_ = 0;
    burst->ttt = next_ttt_;
    task.bursts[task.burst_count++] = *burst;
    task.r2t_end = burst->end_offset;
    Bhs bhs(Opcode::kR2t);
    bhs.SetU64(field::kLun, task.lun);
    bhs.SetU32(field::kItt, task.itt);
    bhs.SetU32(field::kTtt, burst->ttt);
    bhs.SetU32(field::kDataSn, task.r2t_sn++);
    bhs.SetU32(field::kBufferOffset, burst->next_offset);
    bhs.SetU32(field::kDesiredLength, burst->end_offset - burst->next_offset);
    connection_->AppendNoStatus(connection_->New(bhs), true);
  }
}

void TaskSet::Submit(ScsiTask& task) {
  const uint32_t wanted = task.wanted_bytes();
  const uint32_t unsolicited =
      std::min(wanted, task.solicited ? task.solicited_from : task.received_bytes);
  size_t pieces = 0;
  if (unsolicited > 0) task.data_out[pieces++] = {task.unsolicited.data(), unsolicited};
  if (wanted > unsolicited) {
    task.data_out[pieces++] = {task.solicited.data(), wanted - unsolicited};
  }
  task.command.data_out = {task.data_out.data(), pieces};
  task.command.data_out_bytes_expected = task.write_bytes;
  task.command.data_in_bytes_max = task.read_bytes;
  task.was_submitted = true;
  ++submitted_;
  task.MoveTo(State::kSubmitted);
  task.unit->Submit(&task.command);
}

void TaskSet::OnUnitComplete(scsi::Command* command) {
  auto& task = *static_cast<ScsiTask*>(command->owner);
  task.set->Completed(task);
}

void TaskSet::Completed(ScsiTask& task) {
  CHECK(task.state == State::kSubmitted && submitted_ > 0);
  --submitted_;
  if (task.aborted) {
    AnswerAborted(task);
    if (connection_ == nullptr) observer_.OnTaskGone();
    return;
  }
  task.data_in_bytes =
      static_cast<uint32_t>(std::min<uint64_t>(task.command.data_in_bytes, task.read_bytes));
  task.data_in = {task.command.data_in.data(), 0};
  Answer(task);
}

// -- Answers

void TaskSet::AnswerFault(ScsiTask& task) {
  if (task.fault == TaskFault::kNoMemory) {
    task.command.status = scsi::Status::kBusy;
  } else {
    SetSense(task.command, SenseFor(task.fault));
  }
  Answer(task);
}

void TaskSet::AnswerAborted(ScsiTask& task) {
  if (!task.abort_reported || connection_ == nullptr) {
    Free(task);
    return;
  }
  task.command.status = scsi::Status::kTaskAborted;
  task.command.sense = {};
  Answer(task);
}

void TaskSet::Answer(ScsiTask& task) {
  if (task.state == State::kWaiting) std::erase(waiting_, &task);
  task.MoveTo(State::kAnswering);
  (last_answer_ == nullptr ? first_answer_ : last_answer_->next_answer) = &task;
  last_answer_ = &task;
  connection_->WantOutput();
}

void TaskSet::FillOutput() {
  while (first_answer_ != nullptr && connection_->HasRoom()) {
    ScsiTask& task = *first_answer_;
    if (task.data_in_sent < task.data_in_bytes) {
      FormatDataIn(task);
    } else {
      FormatResponse(task);
    }
  }
}

void TaskSet::FormatDataIn(ScsiTask& task) {
  const uint32_t left = task.data_in_bytes - task.data_in_sent;
  const uint32_t burst_left =
      parameters_.max_burst_bytes - task.data_in_sent % parameters_.max_burst_bytes;
  uint32_t bytes = std::min({left, connection_->initiator_segment_bytes_max(), burst_left});
  // Only the last PDU is padded; the others would leave gaps.
  if (bytes < left && bytes < burst_left) bytes -= bytes % uint32_t{kWordBytes};
  const bool last = bytes == left;
  const bool collapse = last && task.command.sense.empty();

  uint8_t flags = last || bytes == burst_left ? kFinalFlag : 0;
  Bhs bhs(Opcode::kDataIn, flags);
  bhs.SetU32(field::kItt, task.itt);
  bhs.SetU32(field::kTtt, kReservedTag);
  bhs.SetU32(field::kDataSn, task.data_sn++);
  bhs.SetU32(field::kBufferOffset, task.data_in_sent);
  if (collapse) {
    const Residual residual = ResidualOf(task);
    bhs.SetU8(field::kFlags, static_cast<uint8_t>(flags | kDataInStatusFlag | residual.flag));
    bhs.SetU8(field::kStatus, static_cast<uint8_t>(task.command.status));
    bhs.SetU32(field::kResidualCount, residual.bytes);
  }
  OutPdu* const pdu = connection_->New(bhs);
  pdu->data = task.data_in;
  pdu->data_bytes = bytes;
  task.data_in_sent += bytes;
  if (!last) {
    for (uint32_t skip = bytes; skip > 0;) {
      skip -= static_cast<uint32_t>(task.data_in.Take(skip).size());
    }
  }
  if (collapse) {
    Formatted(task, pdu);
  } else {
    connection_->AppendNoStatus(pdu, false);
  }
}

void TaskSet::FormatResponse(ScsiTask& task) {
  const Residual residual = ResidualOf(task);
  Bhs bhs(Opcode::kScsiResponse, static_cast<uint8_t>(kFinalFlag | residual.flag));
  bhs.SetU8(field::kStatus, static_cast<uint8_t>(task.command.status));
  bhs.SetU32(field::kItt, task.itt);
  bhs.SetU32(field::kExpDataSn, task.data_sn + task.r2t_sn);
  bhs.SetU32(field::kResidualCount, residual.bytes);
  OutPdu* const pdu = connection_->New(bhs);
  if (!task.command.sense.empty()) {  // 11.4.7: its length, then the sense data
    const size_t sense_bytes = task.command.sense.size();
    CHECK(sense_bytes + sizeof(uint16_t) <= kInlineDataBytesMax);
    StoreBigEndian(pdu->inline_data.data(), static_cast<uint16_t>(sense_bytes));
    std::copy(task.command.sense.begin(), task.command.sense.end(),
              pdu->inline_data.begin() + sizeof(uint16_t));
    pdu->inline_data_bytes = static_cast<uint32_t>(sense_bytes + sizeof(uint16_t));
  }
  Formatted(task, pdu);
}

// `last` carries the task's status.
void TaskSet::Formatted(ScsiTask& task, OutPdu* last) {
  CHECK(first_answer_ == &task);
  first_answer_ = task.next_answer;
  if (first_answer_ == nullptr) last_answer_ = nullptr;
  CloseTask(task);  // before MaxCmdSN is stamped
  task.MoveTo(State::kSending);
  last->sent = &TaskSet::OnAnswerSent;
  last->owner = &task;
  connection_->AppendStatus(last);
  Settle(task);
}

void TaskSet::OnAnswerSent(void* owner) {
  auto& task = *static_cast<ScsiTask*>(owner);
  task.set->Free(task);
}

// -- Ends

// Its tag and its place are free for another one.
void TaskSet::CloseTask(ScsiTask& task) {
  ScsiTask** link = BucketOf(task.itt);
  while (*link != &task) link = &(*link)->next;
  *link = task.next;
  --(task.immediate ? open_immediate_ : open_in_window_);
}

// Those who wait for it wait no longer.
void TaskSet::Settle(ScsiTask& task) {
  const auto waits = std::exchange(task.waits, {});
  for (const auto& wait : waits) wait->Leave();
}

void TaskSet::Free(ScsiTask& task) {
  if (IsOpen(task)) CloseTask(task);
  if (task.state == State::kWaiting) std::erase(waiting_, &task);
  if (task.was_submitted) task.unit->Release(&task.command);
  task.unsolicited.Reset();
  task.solicited.Reset();
  reserved_bytes_ -= task.reserved_bytes;
  task.reserved_bytes = 0;
  task.MoveTo(State::kFree);
  const auto waits = std::exchange(task.waits, {});
  task.next = free_;
  free_ = &task;
  for (const auto& wait : waits) wait->Leave();
  if (!waiting_.empty()) AdvanceWaiting();
}

void TaskSet::AdvanceWaiting() {
  if (advancing_waiting_) return;  // A unit that completes at once frees tasks in here.
  advancing_waiting_ = true;
  while (!waiting_.empty() && connection_ != nullptr) {
    ScsiTask& task = *waiting_.front();
    if (!Reserve(task)) break;
    waiting_.erase(waiting_.begin());
    Advance(task);
  }
  advancing_waiting_ = false;
}

void TaskSet::Abort(ScsiTask& task, const std::shared_ptr<AbortWait>& wait, bool reported) {
  switch (task.state) {
    case State::kSubmitted:
      task.aborted = true;
      task.abort_reported = reported;
      [[fallthrough]];
    case State::kAnswering:  // Its answer comes first.
      wait->Enter();
      task.waits.push_back(wait);
      return;
    case State::kArriving:
    case State::kParked:
      // It can change nothing any more; the rest happens when its PDU, or its turn, has come.
      task.aborted = true;
      task.abort_reported = reported;
      return;
    case State::kCollecting:
    case State::kWaiting:
      task.aborted = true;
      task.abort_reported = reported;
      if (!task.receiving) AnswerAborted(task);
      return;
    case State::kSending:
    case State::kFree: return;
  }
  Unreachable("TaskSet::Abort");
}

void TaskSet::Drop() {
  connection_ = nullptr;
  waiting_.clear();
  first_answer_ = nullptr;
  last_answer_ = nullptr;
  for (ScsiTask& task : tasks_) {
    if (task.state == State::kSubmitted) {
      task.aborted = true;
    } else if (task.state != State::kFree) {
      Free(task);
    }
  }
}

}  // namespace aurochs::iscsi
