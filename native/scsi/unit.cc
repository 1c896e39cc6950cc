#include "scsi/unit.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/limits.h"

namespace aurochs::scsi {

std::unique_ptr<LogicalUnit> LogicalUnit::Create(BlockDevice& device, UnitIdentity identity,
                                                 UnitOptions options, UnitStateStore* store) {
  return std::make_unique<Unit>(device, std::move(identity), options, store);
}

namespace {

UnitState StateIn(const UnitStateStore* store) {
  if (store == nullptr) return {};
  auto state = DecodeUnitState(store->saved());
  CHECK(state.ok());
  return std::move(state).value();
}

}  // namespace

Unit::Unit(BlockDevice& device, UnitIdentity identity, UnitOptions options, UnitStateStore* store)
    : device_(device),
      identity_(std::move(identity)),
      options_(options),
      store_(store),
      state_(StateIn(store)),
      saved_(EncodeUnitState(state_)),
      info_seen_(device.info()),
      observer_id_(
          device.AddInfoObserver([this](const DeviceInfo& info) { OnInfoChanged(info); })) {}

Unit::~Unit() {
  CHECK(tasks_alive_ == 0);
  device_.RemoveInfoObserver(observer_id_);
  while (idle_ != nullptr) delete std::exchange(idle_, idle_->next);
}

// -- Nexuses and unit attentions

uint64_t Unit::AttachNexus(NexusId id) {
  const uint64_t handle = next_nexus_++;
  Nexus& nexus = nexuses_[handle];
  nexus.id = std::move(id);
  nexus.attentions.Add(Asc::kPowerOnOrReset);
  return handle;
}

void Unit::DetachNexus(uint64_t nexus) {
  if (reserve6_holder_ == nexus) reserve6_holder_ = 0;  // SPC-2, 5.5.1
  CHECK(nexuses_.erase(nexus) == 1);
}

// SAM-5, 6.3.3: every nexus is told, the one that asked for it too. Mode parameters are those of
// power on again, and nobody keeps the medium in.
void Unit::Reset() {
  reserve6_holder_ = 0;
  software_write_protect_ = false;
  for (auto& [handle, nexus] : nexuses_) nexus.prevents_removal = false;
  AddAttention(Asc::kBusDeviceResetFunctionOccurred);
}

void Unit::OnInfoChanged(const DeviceInfo& now) {
  const DeviceInfo before = std::exchange(info_seen_, now);
  if (before.size_bytes != now.size_bytes) AddAttention(Asc::kCapacityDataHasChanged);
  if (before.read_only != now.read_only || before.write_cache != now.write_cache) {
    AddAttention(Asc::kModeParametersChanged);
  }
  if (before.can_unmap != now.can_unmap || before.optimal_io_bytes != now.optimal_io_bytes) {
    AddAttention(Asc::kInquiryDataHasChanged);
  }
}

void Unit::AddAttention(Asc asc, uint64_t except_nexus) {
  for (auto& [handle, nexus] : nexuses_) {
    if (handle != except_nexus) nexus.attentions.Add(asc);
  }
}

void Unit::AddAttentionFor(const NexusId& id, Asc asc) {
  for (auto& [handle, nexus] : nexuses_) {
    if (nexus.id == id) nexus.attentions.Add(asc);
  }
}

Unit::Nexus& Unit::NexusOf(const Task& task) {
  const auto found = nexuses_.find(task.command->nexus);
  CHECK(found != nexuses_.end());
  return found->second;
}

// -- The way in

Plan Unit::PlanFor(std::span<const std::byte, 16> cdb) const {
  const CommandLookup found = FindCommand(cdb);
  if (found.spec == nullptr || !Supports(*found.spec)) return {};
  return PlanOf(*found.spec, cdb, device_.info().logical_block_bytes);
}

bool Unit::Supports(const CommandSpec& spec) const {
  return !spec.Has(CommandSpec::kNeedsUnmap) || thin();
}

void Unit::Submit(Command* command) {
  Task* task = TakeTask();
  task->command = command;
  command->unit_state = task;
  command->status = Status::kGood;
  command->sense = {};
  command->data_in = {};
  command->data_in_bytes = 0;
  command->data_in_bytes_untruncated = 0;
  Link(task);
  Dispatch(*task);
}

void Unit::Dispatch(Task& task) {
  Nexus& nexus = NexusOf(task);
  const CommandLookup found = FindCommand(task.cdb());
  task.spec = found.spec;
  const bool supported = found.spec != nullptr && Supports(*found.spec);

  const bool keeps_attention = supported && task.spec->Has(CommandSpec::kKeepsUnitAttention);
  if (!nexus.attentions.empty() && !keeps_attention) {
    return Fail(task, UnitAttention(nexus.attentions.Take()));
  }
  if (!supported) {
    if (found.opcode_known && found.spec == nullptr) return FailCdbField(task, 1);
    return FailIllegal(task, Asc::kInvalidCommandOperationCode);
  }
  if (ReservationConflicts(*task.spec, *task.command)) {
    return FailWithStatus(task, Status::kReservationConflict);
  }
  if (!keeps_attention) {
    if (const auto sense = NotReady(task.spec->Has(CommandSpec::kNeedsMedium))) {
      return Fail(task, *sense);
    }
    if (state_.sanitize != SanitizeState::kNone &&
        !task.spec->Has(CommandSpec::kWhileSanitizeFailed)) {
      return Fail(task, {SenseKey::kMediumError, Asc::kSanitizeCommandFailed});
    }
  }
  if (const auto byte = task.spec->RefusedByteOf(task.cdb())) return FailCdbField(task, *byte);
  if (task.spec->Has(CommandSpec::kModifies) && read_only()) {
    return Fail(task,
                {SenseKey::kDataProtect,
                 software_write_protect_ ? Asc::kSoftwareWriteProtected : Asc::kWriteProtected});
  }
  (this->*task.spec->handler)(task);
}

bool Unit::ReservationConflicts(const CommandSpec& spec, const Command& command) const {
  if (spec.access == Access::kAlways) return false;
  if (reserve6_holder_ != 0 && reserve6_holder_ != command.nexus) {
    return spec.opcode != opcode::kRelease6;  // which does nothing then (SPC-2, 7.16)
  }
  if (!state_.reservations.reservation()) return false;
  if (spec.access == Access::kUnreserved || spec.access == Access::kReservation) return false;
  // Starting the unit, unlike stopping it, harms nobody (SBC-3, 4.17).
  const bool starts = spec.opcode == opcode::kStartStopUnit && (CdbByte(command.cdb, 4) & 1) != 0;
  if (starts) return false;
  const auto found = nexuses_.find(command.nexus);
  CHECK(found != nexuses_.end());
  return state_.reservations.Conflicts(found->second.id, spec.access == Access::kWrites);
}

// -- The way out

void Unit::Fail(Task& task, const Sense& sense) {
  Command& command = *task.command;
  command.status = Status::kCheckCondition;
  command.sense_storage = EncodeFixedSense(sense);
  command.sense = command.sense_storage;
  command.data_in_bytes_untruncated = 0;
  task.buffer.Reset();
  Finish(task);
}

void Unit::FailWith(Task& task, ErrorCode code) {
  Fail(task, SenseFor(code, task.io.op != IoOp::kRead));
}

void Unit::FailWithStatus(Task& task, Status status) {
  task.command->status = status;
  task.command->data_in_bytes_untruncated = 0;
  task.buffer.Reset();
  Finish(task);
}

void Unit::Answer(Task& task, std::span<const std::byte> bytes) {
  const uint64_t allowed = AllocationLengthOf(*task.spec, task.cdb());
  const uint64_t untruncated = std::min<uint64_t>(bytes.size(), allowed);
  const uint64_t length = std::min(untruncated, task.command->data_in_bytes_max);
  task.command->data_in_bytes_untruncated = untruncated;
  if (length > 0) {
    if (!TakeBuffer(task, length)) return;
    std::copy_n(bytes.begin(), length, task.buffer.data());
    task.piece = {task.buffer.data(), length};
    task.command->data_in = {&task.piece, 1};
    task.command->data_in_bytes = length;
  }
  Finish(task);
}

void Unit::Finish(Task& task) {
  Command* command = task.command;
  if (task.gated) {
    gate_.Leave(&task.gate_entry);
    task.gated = false;
  }
  Unlink(&task);
  if (command->data_in.empty()) {
    command->unit_state = nullptr;
    RecycleTask(&task);
  }
  command->complete(command);
  if (gate_.has_waiting() || !preempting_.empty()) AfterFinish();
}

// Starts what the end of a command may have let go. Not recursive: what it starts may end at once.
void Unit::AfterFinish() {
  if (in_after_finish_) return;
  in_after_finish_ = true;
  while (RangeGate::Entry* entry = gate_.TakeStartable()) {
    Run(*static_cast<Task*>(entry->owner));
  }
  for (size_t i = 0; i < preempting_.size();) {
    Task* task = preempting_[i];
    if (MustWait(*task)) {
      ++i;
      continue;
    }
    preempting_.erase(preempting_.begin() + static_cast<ptrdiff_t>(i));
    Good(*task);
    i = 0;
  }
  in_after_finish_ = false;
}

void Unit::Release(Command* command) {
  auto* task = static_cast<Task*>(std::exchange(command->unit_state, nullptr));
  if (task == nullptr) return;
  CHECK(task->command == command);
  command->data_in = {};
  RecycleTask(task);
}

// -- Requests of the device

void Unit::Start(Task& task) {
  Run(task);
}

void Unit::StartGated(Task& task, const Extent& extent, bool exclusive) {
  task.gated = true;
  task.gate_entry.extent = extent;
  task.gate_entry.exclusive = exclusive;
  if (gate_.Enter(&task.gate_entry)) Run(task);
}

// A loop rather than a chain of calls, because a device may complete inside Submit.
void Unit::Run(Task& task) {
  for (;;) {
    task.phase = Task::Phase::kSubmitting;
    device_.Submit(&task.io);
    if (task.phase == Task::Phase::kSubmitting) {
      task.phase = Task::Phase::kWaiting;
      return;
    }
    if (!(this->*task.after_io)(task, task.io_result)) return;
  }
}

void Unit::OnIoComplete(IoRequest* request, ErrorCode result) {
  Task& task = *static_cast<Task*>(request->owner);
  if (task.phase == Task::Phase::kSubmitting) {
    task.phase = Task::Phase::kCompletedInline;
    task.io_result = result;
    return;
  }
  CHECK(task.phase == Task::Phase::kWaiting);
  Unit& unit = *task.unit;
  if ((unit.*task.after_io)(task, result)) unit.Run(task);
}

// What comes in between may run here, this task too if it has to wait; then it may be over.
bool Unit::MoveGate(Task& task, const Extent& extent) {
  gate_.Leave(&task.gate_entry);
  task.gate_entry.extent = extent;
  const bool may_go = gate_.Enter(&task.gate_entry);
  if (gate_.has_waiting()) AfterFinish();
  return may_go;
}

bool Unit::FinishIo(Task& task, ErrorCode result) {
  if (result != ErrorCode::kOk) {
    FailWith(task, result);
  } else {
    task.buffer.Reset();
    Good(task);
  }
  return false;
}

void Unit::StartFlush(Task& task, bool (Unit::*after_io)(Task&, ErrorCode)) {
  task.io.op = IoOp::kFlush;
  task.io.extent = {};
  task.io.iov = {};
  task.after_io = after_io;
  Start(task);
}

void Unit::PrepareBuffered(Task& task, IoOp op, const Extent& extent) {
  CHECK(extent.length_bytes <= task.buffer.size());
  task.piece = {task.buffer.data(), extent.length_bytes};
  task.io.op = op;
  task.io.extent = extent;
  task.io.iov = {&task.piece, 1};
}

// -- Tasks

Task* Unit::TakeTask() {
  ++tasks_alive_;
  if (idle_ == nullptr) {
    auto* task = new Task;
    task->unit = this;
    task->io.complete = &OnIoComplete;
    task->io.owner = task;
    task->gate_entry.owner = task;
    return task;
  }
  --idle_count_;
  return std::exchange(idle_, idle_->next);
}

void Unit::RecycleTask(Task* task) {
  CHECK(tasks_alive_ > 0);
  --tasks_alive_;
  if (idle_count_ == kScsiTasksCachedMax) {
    delete task;
    return;
  }
  task->buffer.Reset();
  task->pieces.clear();
  task->extents.clear();
  task->awaited.clear();
  task->query.reset();
  task->copy.reset();
  task->reservation.reset();
  task->command = nullptr;
  task->io.op = IoOp::kRead;
  task->io.iov = {};
  task->io.fua = false;
  task->io.keep_allocated = false;
  task->next = std::exchange(idle_, task);
  ++idle_count_;
}

void Unit::Link(Task* task) {
  task->previous = nullptr;
  task->next = in_flight_;
  if (in_flight_ != nullptr) in_flight_->previous = task;
  in_flight_ = task;
}

void Unit::Unlink(Task* task) {
  (task->previous == nullptr ? in_flight_ : task->previous->next) = task->next;
  if (task->next != nullptr) task->next->previous = task->previous;
}

bool Unit::MustWait(const Task& task) const {
  for (const Task* older = task.next; older != nullptr; older = older->next) {
    const auto nexus = nexuses_.find(older->command->nexus);
    if (nexus == nexuses_.end()) continue;
    const auto named = std::find(task.awaited.begin(), task.awaited.end(), nexus->second.id);
    if (named != task.awaited.end()) return true;
  }
  return false;
}

}  // namespace aurochs::scsi
