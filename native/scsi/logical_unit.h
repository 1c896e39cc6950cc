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

// Where a target offers its volume. LUN 0 is absent (CreateAbsentUnit), as is every other.
inline constexpr uint8_t kVolumeLun = 1;

// What INQUIRY and its VPD pages say.
struct UnitIdentity {
  std::string vendor = "AUROCHS";  // at most 8 characters
  std::string product = "VOLUME";  // at most 16
  std::string revision = "0001";   // at most 4
  std::string serial;              // page 80h; at most 36
  uint64_t naa = 0;         // page 83h, NAA 3 (locally assigned) or 6h form, stable for the volume
  std::string target_name;  // page 83h, SCSI name string of the port; left out when empty
};

enum class Provisioning : uint8_t {
  kThin,  // where the device can unmap
  kFull,  // Blocks are never deallocated, and told of as mapped (SBC-3, 4.7.2).
};

// How a unit is offered to initiators. The device below may narrow it: a read-only one is never
// written to, one that cannot unmap is fully provisioned.
struct UnitOptions {
  bool read_only = false;
  bool removable =
      false;  // The medium can be unloaded, loaded again, and locked (START STOP UNIT).
  Provisioning provisioning = Provisioning::kThin;
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
  uint64_t nexus = 0;               // handle from LogicalUnit::AttachNexus
  std::span<const iovec> data_out;  // all of the data-out, already received: min(EDTL, Plan)
  uint64_t data_in_bytes_max = 0;   // EDTL of a read
  // EDTL of a write; 0 if it is what the Plan says. WRITE SAME and COMPARE AND WRITE refuse more.
  uint64_t data_out_bytes_expected = 0;
  void (*complete)(Command* command) = nullptr;
  void* owner = nullptr;

  // -- Set by the unit when it completes.
  Status status = Status::kGood;
  std::span<const std::byte> sense;  // fixed format, 18 bytes, points into sense_storage
  std::span<const iovec> data_in;    // points to memory that stays valid until Release
  uint64_t data_in_bytes = 0;        // sum of data_in; the transport computes residuals from it
  // What the command would have returned had data_in_bytes_max been larger; what is above that is a
  // residual overflow (RFC 7143, 11.4.5.2).
  uint64_t data_in_bytes_untruncated = 0;
  std::array<std::byte, 18> sense_storage{};

  // -- For the unit while it has the command.
  void* unit_state = nullptr;
};

class UnitStateStore;

class LogicalUnit {
 public:
  // Without a `store` reservations do not persist through power loss. Else it outlives the unit.
  static std::unique_ptr<LogicalUnit> Create(BlockDevice& device, UnitIdentity identity,
                                             UnitOptions options = {},
                                             UnitStateStore* store = nullptr);
  virtual ~LogicalUnit() = default;  // No command in flight; not from inside `complete`.

  // A nexus sees its own unit attentions. Returns a handle for Command::nexus.
  virtual uint64_t AttachNexus(NexusId id) = 0;
  virtual void DetachNexus(uint64_t nexus) = 0;

  // Direction and length that the CDB asks for, so that the transport can collect data-out before
  // Submit. Does not judge the command: Submit does.
  virtual Plan PlanFor(std::span<const std::byte, 16> cdb) const = 0;

  // `complete` may run before Submit returns. Every submitted command completes, and the transport
  // calls Release once it has sent (or dropped) data_in; without data_in it may leave that out.
  virtual void Submit(Command* command) = 0;
  virtual void Release(Command* command) = 0;

  // LOGICAL UNIT RESET and its like: unit attention for every nexus. Commands in flight run to
  // their end; the transport holds back the answer until they have (W6).
  virtual void Reset() = 0;
};

// A LUN that is not there answers INQUIRY, REPORT LUNS and REQUEST SENSE as SPC-4 says, and
// everything else with LOGICAL UNIT NOT SUPPORTED.
std::unique_ptr<LogicalUnit> CreateAbsentUnit();

}  // namespace aurochs::scsi
