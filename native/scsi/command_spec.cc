#include "scsi/command_spec.h"

#include <algorithm>

#include "base/byte_reader.h"
#include "scsi/spec.h"

namespace aurochs::scsi {
namespace {

constexpr uint8_t kServiceActionBits = 0x1f;

uint32_t LoadField(std::span<const std::byte, 16> cdb, uint8_t offset, uint8_t bytes) {
  uint32_t value = 0;
  for (uint8_t i = 0; i < bytes; ++i) value = value << 8 | CdbByte(cdb, offset + i);
  return value;
}

// The length of a CDB follows from the group code of its operation code (SPC-4, 4.2.5.1).
size_t CdbBytesOf(uint8_t opcode) {
  switch (opcode >> 5) {
    case 0: return 6;
    case 1:
    case 2: return 10;
    case 5: return 12;
    default: return 16;
  }
}

// Where each operation code's rows begin and end in the table.
struct OpcodeIndex {
  struct Rows {
    uint8_t begin = 0;
    uint8_t end = 0;
  };
  std::array<Rows, 256> rows;

  OpcodeIndex() {
    const auto commands = AllCommands();
    for (size_t i = 0; i < commands.size(); ++i) {
      Rows& of = rows[commands[i].opcode];
      if (of.end == 0) of.begin = static_cast<uint8_t>(i);
      of.end = static_cast<uint8_t>(i + 1);
    }
  }
};

}  // namespace

size_t CommandSpec::cdb_bytes() const {
  return CdbBytesOf(opcode);
}

std::optional<uint8_t> CommandSpec::RefusedByteOf(std::span<const std::byte, 16> cdb) const {
  const auto end = static_cast<uint8_t>(cdb_bytes());
  for (uint8_t i = 1; i < end; ++i) {
    uint8_t allowed = usage[i - 1];
    if (i == 1 && has_service_action()) allowed |= kServiceActionBits;
    if ((CdbByte(cdb, i) & ~allowed) != 0) return i;
  }
  return std::nullopt;
}

std::array<uint8_t, 16> CommandSpec::UsageData() const {
  std::array<uint8_t, 16> data{};
  data[0] = opcode;
  std::copy(usage.begin(), usage.end(), data.begin() + 1);
  if (has_service_action()) data[1] |= static_cast<uint8_t>(service_action);
  return data;
}

CommandLookup FindCommand(std::span<const std::byte, 16> cdb) {
  static const OpcodeIndex index;
  const OpcodeIndex::Rows rows = index.rows[CdbByte(cdb, 0)];
  if (rows.end == 0) return {};
  const int wanted = CdbByte(cdb, 1) & kServiceActionBits;
  for (const CommandSpec& spec : AllCommands().subspan(rows.begin, rows.end - rows.begin)) {
    if (!spec.has_service_action() || spec.service_action == wanted) return {&spec, true};
  }
  return {nullptr, true};
}

BlockRange BlockRangeOf(std::span<const std::byte, 16> cdb) {
  switch (CdbBytesOf(CdbByte(cdb, 0))) {
    case 6: {  // READ(6), WRITE(6): 21 bits of address; a length of 0 means 256.
      const uint32_t blocks = CdbByte(cdb, 4);
      return {LoadField(cdb, 1, 3) & 0x1fffff, blocks == 0 ? 256 : blocks};
    }
    case 10: return {LoadField(cdb, 2, 4), LoadField(cdb, 7, 2)};
    case 12: return {LoadField(cdb, 2, 4), LoadField(cdb, 6, 4)};
    default: return {LoadBigEndian<uint64_t>(cdb.data() + 2), LoadField(cdb, 10, 4)};
  }
}

uint8_t TransferLengthByteOf(std::span<const std::byte, 16> cdb) {
  switch (CdbBytesOf(CdbByte(cdb, 0))) {
    case 6: return 4;
    case 10: return 7;
    case 12: return 6;
    default: return 10;
  }
}

uint32_t AllocationLengthOf(const CommandSpec& spec, std::span<const std::byte, 16> cdb) {
  if (spec.length.bytes == 0) return spec.length.fixed;
  return LoadField(cdb, spec.length.offset, spec.length.bytes);
}

Plan PlanOf(const CommandSpec& spec, std::span<const std::byte, 16> cdb, uint32_t block_bytes) {
  const uint64_t blocks_bytes = BlockRangeOf(cdb).blocks * block_bytes;
  switch (spec.transfer) {
    case Transfer::kNone: return {};
    case Transfer::kAllocation: return {DataDirection::kIn, AllocationLengthOf(spec, cdb)};
    case Transfer::kParameterList: return {DataDirection::kOut, AllocationLengthOf(spec, cdb)};
    case Transfer::kReadBlocks: return {DataDirection::kIn, blocks_bytes};
    case Transfer::kWriteBlocks: return {DataDirection::kOut, blocks_bytes};
    case Transfer::kCompareWrite: return {DataDirection::kOut, 2 * blocks_bytes};
    case Transfer::kByteCheck:
      switch (ByteCheckOf(cdb)) {
        case 1: return {DataDirection::kOut, blocks_bytes};
        case 3: return {DataDirection::kOut, blocks_bytes == 0 ? 0 : block_bytes};
        default: return {};
      }
    case Transfer::kPatternBlock:
      // WRITE SAME(10) has no NDOB; its bit is obsolete and refused later.
      if (spec.cdb_bytes() == 16 && (CdbByte(cdb, 1) & kCdbNdob) != 0) return {};
      return {DataDirection::kOut, block_bytes};
  }
  Unreachable("PlanOf");
}

}  // namespace aurochs::scsi
