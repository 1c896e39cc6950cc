// One SCSI command of a session on its way from the command PDU to the response, with the rules of
// collecting its data (RFC 7143, 4.2.5, 11.7 and 11.8).
//
// Thread: of the session.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "block/buffer_pool.h"
#include "iscsi/abort_wait.h"
#include "iscsi/parameters.h"
#include "iscsi/pdu.h"
#include "iscsi/pdu_writer.h"
#include "scsi/logical_unit.h"

namespace aurochs::iscsi {

class TaskSet;

// Why the transport itself ends a task with CHECK CONDITION (11.4.7.2).
enum class TaskFault : uint8_t {
  kNone,
  kUnexpectedUnsolicitedData,  // ABORTED COMMAND, 0Ch/0Ch
  kIncorrectAmountOfData,      // ABORTED COMMAND, 0Ch/0Dh
  kLostData,                   // ABORTED COMMAND, 47h/05h: a Data-Out is missing (7.9)
  kInvalidFieldInCdb,          // ILLEGAL REQUEST, 24h/00h: more than we transfer at once
  kNoMemory,                   // BUSY, without sense
};

// One R2T that has not been answered in full.
struct Burst {
  uint32_t ttt = 0;
  uint32_t next_offset = 0;  // of the next Data-Out
  uint32_t end_offset = 0;
  uint32_t next_data_sn = 0;
};

struct ScsiTask {
  enum class State : uint8_t {
    kFree,
    kArriving,    // its immediate data is being received
    kParked,      // earlier commands are missing
    kCollecting,  // Data-Out is expected
    kWaiting,     // for memory
    kSubmitted,   // the unit has it
    kAnswering,   // Data-In and response are to be sent
    kSending,     // all has been formatted; the socket has not taken all of it
  };
  void MoveTo(State to);

  scsi::Command command;
  TaskSet* set = nullptr;
  ScsiTask* next = nullptr;  // free, or open with the same hash of its tag
  ScsiTask* next_answer = nullptr;
  State state = State::kFree;
  scsi::LogicalUnit* unit = nullptr;
  uint64_t lun = 0;
  uint32_t itt = 0;
  uint32_t cmd_sn = 0;
  bool immediate = false;
  bool receiving = false;      // a Data-Out is known by its header only
  bool was_submitted = false;  // then the unit wants it released
  uint32_t read_bytes = 0;     // expected data transfer length, by direction
  uint32_t write_bytes = 0;
  scsi::Plan plan;
  TaskFault fault = TaskFault::kNone;
  uint64_t reserved_bytes = 0;  // of kTransferBytesMax

  // -- Data-out
  uint32_t immediate_bytes = 0;   // in the command PDU
  bool unsolicited_open = false;  // Data-Out without R2T may follow
  uint32_t unsolicited_data_sn = 0;
  uint32_t received_bytes = 0;  // contiguous from 0
  uint32_t solicited_from = 0;  // first byte that R2Ts ask for
  uint32_t r2t_end = 0;         // R2Ts have asked for what is before this
  uint32_t r2t_sn = 0;
  std::array<Burst, kOurOutstandingR2tMax> bursts;  // oldest first
  uint32_t burst_count = 0;
  PooledBuffer unsolicited;  // [0, ...)
  PooledBuffer solicited;    // [solicited_from, ...)
  std::array<iovec, 2> data_out;

  // -- Answer
  IovCursor data_in;
  uint32_t data_in_bytes = 0;  // to be sent: data of the unit, cut at read_bytes
  uint32_t data_in_sent = 0;   // formatted so far
  uint32_t data_sn = 0;
  bool aborted = false;         // gets no answer
  bool abort_reported = false;  // is answered with TASK ABORTED
  std::vector<std::shared_ptr<AbortWait>> waits;

  // How much data-out the unit shall get.
  uint32_t wanted_bytes() const;
  // Whether the initiator may still send Data-Out for it.
  bool expects_data_out() const { return unsolicited_open || burst_count > 0; }

  // The command PDU: prepares for its immediate data and for unsolicited Data-Out.
  void BeginUnsolicited(const Bhs& command_pdu, const Parameters& parameters);
  std::byte* immediate_target() {
    return immediate_bytes > 0 && fault == TaskFault::kNone ? unsolicited.data() : nullptr;
  }

  // A Data-Out PDU's header. Returns where its data goes; nullptr if it is not wanted, in which
  // case `fault` says why, or `wrong_tag` is set and the task is untouched.
  struct DataOutPlace {
    std::byte* into = nullptr;
    bool wrong_tag = false;
  };
  DataOutPlace OnDataOutHeader(const Bhs& pdu, const Parameters& parameters);
  // The same PDU with its data in place.
  void OnDataOut(const Bhs& pdu);

  // The next range to ask for, up to MaxBurstLength; nothing if all has been asked for.
  std::optional<Burst> NextBurst(uint32_t max_burst_bytes) const;

 private:
  DataOutPlace PlaceUnsolicited(const Bhs& pdu, const Parameters& parameters);
  DataOutPlace PlaceSolicited(const Bhs& pdu);
  Burst* FindBurst(uint32_t ttt);
  void EndBurst(Burst* burst);
};

}  // namespace aurochs::iscsi
