// A SCSI logical unit over a block device: decodes CDBs (SPC-4, SBC-3), moves data, answers with
// status and sense. Knows nothing of the transport.
//
// Thread: belongs to the device's loop.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "block/block_device.h"

namespace aurochs::scsi {

// What INQUIRY and its VPD pages say.
struct UnitIdentity {
  std::string vendor = "AUROCHS";   // at most 8 characters
  std::string product = "VOLUME";   // at most 16
  std::string revision = "0001";    // at most 4
  std::string serial;               // page 80h; at most 36
  uint64_t naa = 0;                 // page 83h, NAA 3 (locally assigned) or 6h form, stable for the volume
  bool read_only = false;
};

enum class Status : uint8_t {  // SAM-5, 5.3.1
  kGood = 0x00,
  kCheckCondition = 0x02,
  kBusy = 0x08,
  kReservationConflict = 0x18,
  kTaskSetFull = 0x28,
  kTaskAborted = 0x40,
};

// I_T nexus: one initiator port (iSCSI name + ISID) through one target portal group.
struct NexusId {
  std::string initiator;  // "iqn...,i,0x<isid>"
  uint16_t portal_group = 1;
  friend bool operator==(const NexusId&, const NexusId&) = default;
};

enum class DataDirection : uint8_t { kNone, kIn, kOut };

// What the transport must know before data moves.
struct Plan {
  DataDirection direction = DataDirection::kNone;
  uint64_t length_bytes = 0;  // what the command itself transfers; the transport cuts at its EDTL
};

// One SCSI command. The transport fills the first part and submits; the unit fills the second.
struct Command {
  // -- Set by the transport, valid until `complete`.
  std::array<std::byte, 16> cdb{};
  uint64_t nexus = 0;                // handle from LogicalUnit::AttachNexus
  std::span<const iovec> data_out;   // all of the data-out, already received: min(EDTL, Plan)
  uint64_t data_in_bytes_max = 0;    // EDTL of a read
  void (*complete)(Command* command) = nullptr;
  void* owner = nullptr;

  // -- Set by the unit when it completes.
  Status status = Status::kGood;
  std::span<const std::byte> sense;   // fixed format, 18 bytes, points into sense_storage
  std::span<const iovec> data_in;     // points to memory that stays valid until Release
  uint64_t data_in_bytes = 0;         // sum of data_in; the transport computes residuals from it
  std::array<std::byte, 18> sense_storage{};

  // -- For the unit while it has the command.
  void* unit_state = nullptr;
};

class LogicalUnit {
 public:
  static std::unique_ptr<LogicalUnit> Create(BlockDevice& device, UnitIdentity identity);
  virtual ~LogicalUnit() = default;  // No command may be in flight.

  // A nexus sees its own unit attentions. Returns a handle for Command::nexus.
  virtual uint64_t AttachNexus(NexusId id) = 0;
  virtual void DetachNexus(uint64_t nexus) = 0;

  // Direction and length that the CDB asks for, so that the transport can collect data-out before
  // Submit. Does not judge the command: Submit does.
  virtual Plan PlanFor(std::span<const std::byte, 16> cdb) const = 0;

  // `complete` may run before Submit returns. Every submitted command completes, and the transport
  // calls Release once it has sent (or dropped) data_in.
  virtual void Submit(Command* command) = 0;
  virtual void Release(Command* command) = 0;

  // LOGICAL UNIT RESET and its like: unit attention for every other nexus. Commands in flight run to
  // their end; the transport holds back the answer until they have (W6).
  virtual void Reset(uint64_t by_nexus) = 0;
};

// A LUN that is not there answers INQUIRY, REPORT LUNS and REQUEST SENSE as SPC-4 says, and
// everything else with LOGICAL UNIT NOT SUPPORTED.
std::unique_ptr<LogicalUnit> CreateAbsentUnit();

}  // namespace aurochs::scsi
