// What the unit knows about each command, one row each: how to read its CDB, which way data goes
// and how much, who may send it, and who carries it out. New commands are new rows.
//
// Thread: any; the table never changes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "scsi/logical_unit.h"

namespace aurochs::scsi {

class Unit;
struct Task;

// Where the length of a command's transfer comes from.
enum class Transfer : uint8_t {
  kNone,
  kAllocation,     // data-in up to the ALLOCATION LENGTH (or what the command always returns)
  kParameterList,  // data-out of PARAMETER LIST LENGTH
  kReadBlocks,     // data-in of TRANSFER LENGTH blocks
  kWriteBlocks,    // data-out of TRANSFER LENGTH blocks
  kCompareWrite,   // data-out of twice as many blocks: what to compare, what to write
  kByteCheck,      // VERIFY: data-out of no block, of all, or of one, as BYTCHK says
  kPatternBlock,   // WRITE SAME: data-out of one block, or of none with NDOB
};

// How a command fares against reservations (SPC-4, 5.13.2; SBC-3, 4.17).
enum class Access : uint8_t {
  kAlways,       // even under RESERVE(6)
  kUnreserved,   // whatever persistent reservation there is
  kReads,        // needs the right to read
  kWrites,       // needs the right to write
  kReservation,  // manages reservations itself
};

struct CommandSpec {
  using Handler = void (Unit::*)(Task& task);
  enum Flags : uint8_t {
    kNoFlags = 0,
    kModifies = 1,              // refused on a read-only unit
    kNeedsUnmap = 2,            // exists only where the device can unmap
    kKeepsUnitAttention = 4,    // runs although a unit attention waits (SAM-5, 5.14), or SANITIZE
    kNeedsMedium = 8,           // refused while the medium is unloaded
    kWhileSanitizeFailed = 16,  // leads out of the state that a failed SANITIZE leaves
  };
  // The field of the CDB that holds an allocation or parameter list length.
  struct LengthField {
    uint8_t offset = 0;
    uint8_t bytes = 0;
    uint32_t fixed = 0;  // the length itself where there is no field
  };

  uint8_t opcode;
  int service_action;
  std::string_view name;
  Transfer transfer;
  LengthField length;
  Access access;
  uint8_t flags;
  // CDB USAGE DATA from byte 1 on: the bits that the unit looks at or ignores knowingly. A CDB with
  // any other bit set is refused.
  std::array<uint8_t, 15> usage;
  Handler handler;

  bool has_service_action() const { return service_action >= 0; }
  size_t cdb_bytes() const;
  bool Has(Flags flag) const { return (flags & flag) != 0; }
  // The first byte of the CDB that has such a bit.
  std::optional<uint8_t> RefusedByteOf(std::span<const std::byte, 16> cdb) const;
  // The bits as REPORT SUPPORTED OPERATION CODES gives them, cdb_bytes() of them.
  std::array<uint8_t, 16> UsageData() const;
};

// Sorted by operation code and service action.
std::span<const CommandSpec> AllCommands();

struct CommandLookup {
  const CommandSpec* spec = nullptr;
  bool opcode_known = false;  // A known operation code may lack the service action asked for.
};
CommandLookup FindCommand(std::span<const std::byte, 16> cdb);

// LOGICAL BLOCK ADDRESS and TRANSFER LENGTH as each group of operation codes places them.
struct BlockRange {
  uint64_t lba = 0;
  uint64_t blocks = 0;
};
BlockRange BlockRangeOf(std::span<const std::byte, 16> cdb);
// Where TRANSFER LENGTH begins.
uint8_t TransferLengthByteOf(std::span<const std::byte, 16> cdb);
uint32_t AllocationLengthOf(const CommandSpec& spec, std::span<const std::byte, 16> cdb);

Plan PlanOf(const CommandSpec& spec, std::span<const std::byte, 16> cdb, uint32_t block_bytes);

// Bits of byte 1 that several commands share.
inline constexpr uint8_t kCdbDpo = 0x10;
inline constexpr uint8_t kCdbFua = 0x08;
inline constexpr uint8_t kCdbFuaNv = 0x02;  // obsolete; every cache of ours is volatile
inline constexpr uint8_t kCdbUnmap = 0x08;
inline constexpr uint8_t kCdbNdob = 0x01;

inline uint8_t CdbByte(std::span<const std::byte, 16> cdb, size_t index) {
  return std::to_integer<uint8_t>(cdb[index]);
}
// BYTCHK of VERIFY and WRITE AND VERIFY (SBC-3, 5.35).
inline uint8_t ByteCheckOf(std::span<const std::byte, 16> cdb) {
  return CdbByte(cdb, 1) >> 1 & 3;
}

}  // namespace aurochs::scsi
