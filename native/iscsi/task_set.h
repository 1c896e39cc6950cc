// The SCSI tasks of one session: collects their data, gives them to the unit, formats the answers.
//
// A task counts as open from its command PDU until its status has been formatted; after that the
// initiator may use its tag again, while the data may still be on its way out.
//
// Memory: at most kTasksPerSessionMax tasks are open. Each may hold kFirstBurstBytesMax of
// unsolicited data; what goes beyond, and data to be read, is reserved from kTransferBytesMax
// first, and tasks wait in line for it.
//
// Thread: of the session.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "iscsi/connection.h"
#include "iscsi/parameters.h"
#include "iscsi/scsi_task.h"

namespace aurochs::iscsi {

class TaskSet {
 public:
  class Observer {
   public:
    // A task that the unit had is gone, after the session was dropped.
    virtual void OnTaskGone() = 0;

   protected:
    ~Observer() = default;
  };

  TaskSet(const Parameters& parameters, Observer& observer);
  ~TaskSet();  // REQUIRES: submitted() == 0.
  TaskSet(const TaskSet&) = delete;
  TaskSet& operator=(const TaskSet&) = delete;

  void SetConnection(Connection* connection) { connection_ = connection; }

  // -- A command, in three steps.
  // 1. The header: opens a task. Its immediate data goes to immediate_target().
  ScsiTask* Begin(const Bhs& bhs, scsi::LogicalUnit& unit, uint64_t nexus);
  // 2. The PDU is complete, but earlier commands are missing.
  void Park(ScsiTask& task);
  // 3. The PDU is complete and it is the command's turn.
  void Start(ScsiTask& task);
  // Instead of 2 and 3: the PDU is not to be executed.
  void Forget(ScsiTask& task);

  ScsiTask* Find(uint32_t itt) const;

  // -- Data-Out, in two steps: the header tells where the data goes, then the PDU is complete.
  // Finds the task that the PDU belongs to; nullptr if there is none that would take data.
  ScsiTask* FindForDataOut(const Bhs& bhs) const;
  ScsiTask::DataOutPlace OnDataOutHeader(ScsiTask& task, const Bhs& bhs);
  void OnDataOut(ScsiTask& task, const Bhs& bhs);

  // Formats answers while the connection has room.
  void FillOutput();

  // -- Ends
  // Aborts the task; `wait` hears when it is gone. With `reported` it is answered with TASK
  // ABORTED.
  void Abort(ScsiTask& task, const std::shared_ptr<AbortWait>& wait, bool reported);
  template <typename Predicate>
  void AbortIf(Predicate matches, const std::shared_ptr<AbortWait>& wait, bool reported) {
    for (ScsiTask& task : tasks_) {
      if (IsOpen(task) && matches(task)) Abort(task, wait, reported);
    }
  }
  // The connection is gone: forgets all tasks but those that the unit has.
  void Drop();

  uint32_t open_in_window() const { return open_in_window_; }
  uint32_t open_immediate() const { return open_immediate_; }
  uint32_t submitted() const { return submitted_; }

 private:
  static constexpr size_t kBuckets = 256;

  static bool IsOpen(const ScsiTask& task) {
    return task.state != ScsiTask::State::kFree && task.state != ScsiTask::State::kSending;
  }
  static void OnUnitComplete(scsi::Command* command);
  static void OnAnswerSent(void* task);

  ScsiTask* Allocate();
  void Advance(ScsiTask& task);
  bool Reserve(ScsiTask& task);
  void AskForData(ScsiTask& task);
  void Submit(ScsiTask& task);
  void Completed(ScsiTask& task);
  void AnswerFault(ScsiTask& task);
  void AnswerAborted(ScsiTask& task);
  void Answer(ScsiTask& task);
  void FormatDataIn(ScsiTask& task);
  void FormatResponse(ScsiTask& task);
  void Formatted(ScsiTask& task, OutPdu* last);
  void CloseTask(ScsiTask& task);
  void Free(ScsiTask& task);
  void Settle(ScsiTask& task);
  void AdvanceWaiting();
  ScsiTask** BucketOf(uint32_t itt) { return &by_itt_[(itt ^ itt >> 8) % kBuckets]; }

  const Parameters& parameters_;
  Observer& observer_;
  Connection* connection_ = nullptr;
  std::deque<ScsiTask> tasks_;  // all there are; grows and keeps its addresses
  ScsiTask* free_ = nullptr;
  std::array<ScsiTask*, kBuckets> by_itt_{};
  ScsiTask* first_answer_ = nullptr;
  ScsiTask* last_answer_ = nullptr;
  std::vector<ScsiTask*> waiting_;  // for memory, in order of arrival
  uint64_t reserved_bytes_ = 0;
  uint32_t open_in_window_ = 0;
  uint32_t open_immediate_ = 0;
  uint32_t submitted_ = 0;
  uint32_t next_ttt_ = 0;
  bool advancing_waiting_ = false;
};

}  // namespace aurochs::iscsi
