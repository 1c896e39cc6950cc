// The logical unit of a volume: what logical_unit.h promises, from the inside. Handlers of commands
// are grouped by file: block_commands.cc, provisioning_commands.cc, copy_commands.cc,
// sanitize_commands.cc, medium_commands.cc, report_commands.cc, inquiry.cc, mode_commands.cc,
// reservation_commands.cc.
//
// How a command goes: Submit checks what holds for all of them (unit attention, reservation, bits
// of the CDB, write protection) and calls the handler of its CommandSpec. A handler either ends the
// task at once (Good, Fail, Answer) or fills in task.io and task.after_io and calls Start; after_io
// then ends the task, or fills in the next request and returns true.
//
// Thread: the device's loop.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "block/block_device.h"
#include "block/buffer_pool.h"
#include "scsi/byte_list.h"
#include "scsi/command_spec.h"
#include "scsi/logical_unit.h"
#include "scsi/persistent_reservations.h"
#include "scsi/range_gate.h"
#include "scsi/sense.h"
#include "scsi/unit_state.h"

namespace aurochs::scsi {

class Unit;

// EXTENDED COPY in progress: what is left of it.
struct Copy {
  struct Segment {
    uint64_t source_bytes = 0;  // where it begins
    uint64_t destination_bytes = 0;
    uint64_t length_bytes = 0;
  };
  std::vector<Segment> segments;
  size_t index = 0;
  uint64_t done_bytes = 0;         // of the segment under way
  Extent destination;              // of the step under way
  std::optional<uint8_t> list_id;  // under which its status is kept
};

// PERSISTENT RESERVE OUT in progress.
struct ReservationChange {
  PersistentReservations::Request request;
  bool persist = false;  // APTPL
  PersistentReservations::Outcome outcome;
};

// One command in progress, and its data-in until Release. Recycled.
struct Task {
  enum class Phase : uint8_t { kIdle, kSubmitting, kCompletedInline, kWaiting };

  Unit* unit = nullptr;
  Command* command = nullptr;
  const CommandSpec* spec = nullptr;
  Task* next = nullptr;      // in the list of idle tasks, or of commands in flight (older ones)
  Task* previous = nullptr;  // in the list of commands in flight

  // The one request under way. `after_io` hears its result and returns true to submit it again.
  IoRequest io;
  bool (Unit::*after_io)(Task& task, ErrorCode result) = nullptr;
  Phase phase = Phase::kIdle;
  ErrorCode io_result = ErrorCode::kOk;
  bool gated = false;
  RangeGate::Entry gate_entry;

  PooledBuffer buffer;
  iovec piece{};                // over `buffer`
  Extent rest;                  // what a command that goes in steps has still to do
  std::vector<iovec> pieces;    // a part of the data-out
  std::vector<Extent> extents;  // UNMAP
  size_t extent_index = 0;
  std::vector<NexusId> awaited;  // PREEMPT AND ABORT: whose commands must end first
  std::unique_ptr<AllocationQuery> query;
  std::unique_ptr<Copy> copy;
  std::unique_ptr<ReservationChange> reservation;

  // How it changes what the unit remembers.
  void (Unit::*propose)(Task& task, UnitState& next) = nullptr;
  void (Unit::*changed)(Task& task, ErrorCode result) = nullptr;

  std::span<const std::byte, 16> cdb() const { return command->cdb; }
};

// What INQUIRY says beside the names.
struct UnitTraits {
  bool present = true;
  bool removable = false;
  bool thin = false;
};

class Unit final : public LogicalUnit {
 public:
  Unit(BlockDevice& device, UnitIdentity identity, UnitOptions options, UnitStateStore* store);
  ~Unit() override;

  uint64_t AttachNexus(NexusId id) override;
  void DetachNexus(uint64_t nexus) override;
  Plan PlanFor(std::span<const std::byte, 16> cdb) const override;
  void Submit(Command* command) override;
  void Release(Command* command) override;
  void Reset() override;

  // Handlers, named as the commands are.
  void TestUnitReady(Task& task);
  void RequestSense(Task& task);
  void Inquiry(Task& task);
  void ModeSense(Task& task);
  void ModeSelect(Task& task);
  void StartStopUnit(Task& task);
  void PreventAllowMediumRemoval(Task& task);
  void ReadCapacity10(Task& task);
  void ReadCapacity16(Task& task);
  void ReportLuns(Task& task);
  void ReportTargetPortGroups(Task& task);
  void ReportSupportedOperationCodes(Task& task);
  void ReportSupportedTaskManagementFunctions(Task& task);
  void Read(Task& task);
  void Write(Task& task);
  void WriteAndVerify(Task& task);
  void Verify(Task& task);
  void CompareAndWrite(Task& task);
  void OrWrite(Task& task);
  void PreFetch(Task& task);
  void SynchronizeCache(Task& task);
  void Unmap(Task& task);
  void WriteSame(Task& task);
  void GetLbaStatus(Task& task);
  void ReadDefectData(Task& task);
  void SanitizeBlockErase(Task& task);
  void SanitizeExitFailureMode(Task& task);
  void ExtendedCopy(Task& task);
  void ReceiveCopyStatus(Task& task);
  void ReceiveCopyOperatingParameters(Task& task);
  void Reserve6(Task& task);
  void Release6(Task& task);
  void PersistentReserveIn(Task& task);
  void PersistentReserveOut(Task& task);

 private:
  // What RECEIVE COPY STATUS tells of a copy.
  struct CopyStatus {
    enum class Progress : uint8_t { kUnderWay = 0, kDone = 1, kFailed = 2 };
    uint8_t list_id = 0;
    Progress progress = Progress::kUnderWay;
    uint16_t segments_done = 0;
    uint64_t bytes_done = 0;
  };
  struct Nexus {
    NexusId id;
    UnitAttentionQueue attentions;
    bool prevents_removal = false;
    std::vector<CopyStatus> copies;  // oldest first, at most kCopyStatusesMax
  };

  // unit.cc: checks that hold for all commands, and the life of a task.
  bool Supports(const CommandSpec& spec) const;
  bool ReservationConflicts(const CommandSpec& spec, const Command& command) const;
  void Dispatch(Task& task);
  Task* TakeTask();
  void RecycleTask(Task* task);
  void Link(Task* task);
  void Unlink(Task* task);
  void OnInfoChanged(const DeviceInfo& now);
  void AddAttention(Asc asc, uint64_t except_nexus = 0);
  void AddAttentionFor(const NexusId& id, Asc asc);
  Nexus& NexusOf(const Task& task);
  // Whether a command that came before `task`, from a nexus that it awaits, is in flight.
  bool MustWait(const Task& task) const;

  // How handlers end a task. None may touch the task afterwards.
  void Good(Task& task) { Finish(task); }
  void Fail(Task& task, const Sense& sense);
  void FailIllegal(Task& task, Asc asc) { Fail(task, IllegalRequest(asc)); }
  void FailCdbField(Task& task, uint8_t byte) { Fail(task, InvalidFieldInCdb(byte)); }
  void FailWith(Task& task, ErrorCode code);
  void FailWithStatus(Task& task, Status status);
  // Ends with `bytes` as data-in, cut at the allocation length and at what the transport takes.
  void Answer(Task& task, std::span<const std::byte> bytes);
  void Finish(Task& task);
  void AfterFinish();

  // How handlers run requests of the device.
  void Start(Task& task);  // task.io and task.after_io are set
  void StartGated(Task& task, const Extent& extent, bool exclusive);
  void Run(Task& task);
  static void OnIoComplete(IoRequest* request, ErrorCode result);
  bool FinishIo(Task& task, ErrorCode result);  // an after_io: the end of a simple command
  void StartFlush(Task& task, bool (Unit::*after_io)(Task&, ErrorCode));
  // Lets go of the blocks that the task keeps and takes others; an after_io returns the result.
  bool MoveGate(Task& task, const Extent& extent);
  // Prepares task.io for data in task.buffer.
  void PrepareBuffered(Task& task, IoOp op, const Extent& extent);

  // data_out.cc
  std::vector<std::byte> CopyDataOut(const Task& task) const;
  // The data-out of a command that needs all of it; ends the task and returns nothing if it is
  // short.
  std::optional<std::vector<std::byte>> ParameterListOrFail(Task& task);
  // Whether the data-out has, and was meant to have, exactly `bytes`; ends the task if not.
  bool DataOutIs(Task& task, uint64_t bytes);
  // Prepares task.io to write `extent` from the data-out after its first `skip_bytes`. Ends the
  // task and returns false if there is no memory.
  bool PrepareWriteFromDataOut(Task& task, uint64_t skip_bytes, const Extent& extent);
  bool TakeBuffer(Task& task, uint64_t size_bytes);  // false: the task has ended

  // block_commands.cc
  Extent ExtentOf(const BlockRange& range) const;
  // The extent that the CDB names; ends the task and returns nothing if it leaves the unit or is
  // longer than `bytes_max`.
  std::optional<Extent> ExtentOrFail(Task& task, uint64_t bytes_max);
  std::optional<Extent> WriteExtentOrFail(Task& task);
  bool AfterRead(Task& task, ErrorCode result);
  bool AfterWriteToVerify(Task& task, ErrorCode result);
  bool PrepareVerifyStep(Task& task);
  bool AfterReadToVerify(Task& task, ErrorCode result);
  bool AfterReadToCompare(Task& task, ErrorCode result);
  bool AfterReadToOr(Task& task, ErrorCode result);

  // provisioning_commands.cc
  bool AfterUnmapStep(Task& task, ErrorCode result);
  void PrepareUnmapStep(Task& task);
  bool PreparePatternStep(Task& task);
  bool AfterPatternStep(Task& task, ErrorCode result);
  static void OnQueryComplete(AllocationQuery* query, ErrorCode result);
  void AnswerLbaStatus(Task& task);

  // sanitize_commands.cc
  // Why commands end with NOT READY now, if they do.
  std::optional<Sense> NotReady(bool needs_medium) const;
  void ProposeSanitize(Task& task, UnitState& next);
  void ProposeNoSanitize(Task& task, UnitState& next);
  void StartErasing(Task& task, ErrorCode result);
  void PrepareErase(Task& task);
  bool AfterErase(Task& task, ErrorCode result);
  bool AfterEraseFlush(Task& task, ErrorCode result);
  void AfterSanitize(Task& task, ErrorCode result);
  void AfterExit(Task& task, ErrorCode result);
  void FailSanitize(Task& task);

  // medium_commands.cc
  bool AfterFlushToUnload(Task& task, ErrorCode result);
  void LoadMedium(Task& task);

  // copy_commands.cc
  std::optional<Sense> ParseCopy(std::span<const std::byte> list, Copy& copy) const;
  std::optional<Sense> ParseSegments(std::span<const std::byte> list,
                                     const std::vector<bool>& reachable, Copy& copy) const;
  bool NamesThisUnit(std::span<const std::byte> target_descriptor) const;
  CopyStatus* StatusOf(Nexus& nexus, uint8_t list_id);
  void PrepareCopyStep(Task& task);
  bool AfterCopyRead(Task& task, ErrorCode result);
  bool AfterCopyWrite(Task& task, ErrorCode result);
  void EndCopy(Task& task, bool failed);

  // state_changes.cc
  // Lets `propose` change a copy of the state, makes that durable if it differs, takes it over, and
  // calls `changed`.
  void ChangeState(Task& task, void (Unit::*propose)(Task&, UnitState&),
                   void (Unit::*changed)(Task&, ErrorCode));
  void RunChanges();
  void FinishChange(UnitState next, ErrorCode result);

  // reservation_commands.cc
  void ProposeReservation(Task& task, UnitState& next);
  void AfterReservation(Task& task, ErrorCode result);

  bool read_only() const {
    return software_write_protect_ || options_.read_only || device_.info().read_only;
  }
  UnitTraits traits() const { return {true, options_.removable, thin()}; }
  bool thin() const {
    return options_.provisioning == Provisioning::kThin && device_.info().can_unmap;
  }

  BlockDevice& device_;
  const UnitIdentity identity_;
  const UnitOptions options_;
  UnitStateStore* const store_;
  UnitState state_;
  std::vector<std::byte> saved_;  // what is durable of it
  DeviceInfo info_seen_;
  uint64_t observer_id_;
  std::unordered_map<uint64_t, Nexus> nexuses_;
  uint64_t next_nexus_ = 1;
  bool software_write_protect_ = false;  // SWP of the control mode page
  bool medium_loaded_ = true;
  bool sanitizing_ = false;
  uint16_t sanitize_progress_ = 0;
  uint32_t copies_under_way_ = 0;

  std::deque<Task*> changing_;  // in turn; the first one is under way
  bool change_under_way_ = false;
  uint64_t reserve6_holder_ = 0;  // nexus; 0: nobody

  RangeGate gate_;
  Task* in_flight_ = nullptr;      // newest first
  std::vector<Task*> preempting_;  // that wait for the commands of those they preempted
  bool in_after_finish_ = false;
  Task* idle_ = nullptr;
  uint32_t idle_count_ = 0;
  uint64_t tasks_alive_ = 0;  // in flight, or holding data-in
};

// copy_commands.cc: the descriptors of page 8Fh.
void AddThirdPartyCopy(ByteList& page, const DeviceInfo& info);

// inquiry.cc: the identifier of page 83h, which EXTENDED COPY knows the unit by.
uint64_t NaaOf(const UnitIdentity& identity);

// inquiry.cc, for units that are there and that are not.
std::vector<std::byte> StandardInquiryData(const UnitIdentity& identity, const UnitTraits& traits);
// Nothing if there is no such page.
std::optional<std::vector<std::byte>> VpdPage(uint8_t page, const UnitIdentity& identity,
                                              const DeviceInfo& info, const UnitTraits& traits);

// report_commands.cc: the list that every LUN of a target returns.
std::vector<std::byte> ReportLunsData();

}  // namespace aurochs::scsi
