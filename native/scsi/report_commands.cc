// Commands that say what the unit is and can do, and those that need nothing else.
#include <algorithm>
#include <bit>
#include <limits>

#include "base/byte_reader.h"
#include "base/byte_writer.h"
#include "scsi/byte_list.h"
#include "scsi/spec.h"
#include "scsi/unit.h"

namespace aurochs::scsi {

void Unit::TestUnitReady(Task& task) {
  Good(task);
}

// Reports a waiting unit attention as data, and so takes it off (SPC-4, 6.39).
void Unit::RequestSense(Task& task) {
  constexpr uint8_t kDescriptorFormat = 0x01;
  UnitAttentionQueue& attentions = NexusOf(task).attentions;
  const Sense sense =
      !attentions.empty() ? UnitAttention(attentions.Take()) : NotReady(true).value_or(Sense{});
  if ((CdbByte(task.cdb(), 1) & kDescriptorFormat) == 0) {
    return Answer(task, EncodeFixedSense(sense));
  }
  ByteList data;
  data.U8(0x72);
  data.U8(static_cast<uint8_t>(sense.key));
  data.U16(static_cast<uint16_t>(sense.asc));
  data.U32(0);
  Answer(task, data.bytes());
}

void Unit::ReadCapacity10(Task& task) {
  const DeviceInfo& info = device_.info();
  const uint64_t last_lba = info.size_bytes / info.logical_block_bytes - 1;
  ByteList data;
  // A unit too large for 32 bits points to READ CAPACITY(16) this way (SBC-3, 5.15.2).
  data.U32(
      static_cast<uint32_t>(std::min<uint64_t>(last_lba, std::numeric_limits<uint32_t>::max())));
  data.U32(info.logical_block_bytes);
  Answer(task, data.bytes());
}

void Unit::ReadCapacity16(Task& task) {
  constexpr uint16_t kProvisioned = 0xc000;  // LBPME, LBPRZ
  const DeviceInfo& info = device_.info();
  const uint32_t per_physical = info.physical_block_bytes / info.logical_block_bytes;
  ByteList data;
  data.U64(info.size_bytes / info.logical_block_bytes - 1);
  data.U32(info.logical_block_bytes);
  data.U8(0);  // no protection information
  data.U8(static_cast<uint8_t>(std::bit_width(per_physical) - 1));
  data.U16(thin() ? kProvisioned : 0);  // and LOWEST ALIGNED LBA 0
  data.Zeros(16);
  Answer(task, data.bytes());
}

// SBC-3, 5.18 and 5.19: there are no defects to tell of, whatever the list and its format.
void Unit::ReadDefectData(Task& task) {
  const bool twelve = task.spec->cdb_bytes() == 12;
  ByteList data;
  data.U8(0);
  data.U8(CdbByte(task.cdb(), twelve ? 1 : 2) & 0x1f);  // the lists asked for, and their format
  data.U16(0);                                          // length, or GENERATION CODE
  if (twelve) data.U32(0);
  Answer(task, data.bytes());
}

std::vector<std::byte> ReportLunsData() {
  ByteList data;
  data.U32(0);  // LUN LIST LENGTH, below
  data.U32(0);
  data.U16(kVolumeLun);  // peripheral device addressing (SAM-5, 4.7.7.2)
  data.Zeros(6);
  data.SetU32(0, static_cast<uint32_t>(data.size() - 8));
  return std::move(data).Take();
}

void Unit::ReportLuns(Task& task) {
  if (CdbByte(task.cdb(), 2) > 2) return FailCdbField(task, 2);
  // SELECT REPORT 1 asks for well known logical units only: there are none.
  if (CdbByte(task.cdb(), 2) == 1) return Answer(task, std::vector<std::byte>(8));
  Answer(task, ReportLunsData());
}

void Unit::ReportTargetPortGroups(Task& task) {
  const int format = CdbByte(task.cdb(), 1) >> 5;
  if (format > 1) return FailCdbField(task, 1);
  ByteList data;
  data.U32(0);                            // RETURN DATA LENGTH, below
  if (format == 1) data.U32(0x10000000);  // extended header; IMPLICIT TRANSITION TIME not said
  data.U8(0);                             // active/optimized
  data.U8(0x01);                          // AO_SUP: no other state is ever entered
  data.U16(kTargetPortGroup);
  data.U8(0);
  data.U8(0);  // STATUS CODE
  data.U8(0);
  data.U8(1);  // TARGET PORT COUNT
  data.U16(0);
  data.U16(kRelativeTargetPort);
  data.SetLength32(0);
  Answer(task, data.bytes());
}

namespace {

constexpr uint32_t kTimeoutSeconds = 30;       // what initiators give a command by themselves
constexpr uint32_t kLongTimeoutSeconds = 120;  // for those whose work isn't bounded by their data

// RECOMMENDED COMMAND TIMEOUT; 0: not said.
uint32_t TimeoutSeconds(const CommandSpec& spec) {
  switch (spec.opcode) {
    case opcode::kSanitize: return 0;
    case opcode::kUnmap:
    case opcode::kWriteSame10:
    case opcode::kWriteSame16:
    case opcode::kExtendedCopy:
    case opcode::kSynchronizeCache10:
    case opcode::kSynchronizeCache16:
    case opcode::kStartStopUnit: return kLongTimeoutSeconds;
    default: return kTimeoutSeconds;
  }
}

// SPC-4, 6.35.4.
void AddTimeouts(ByteList& data, const CommandSpec& spec) {
  data.U16(0x000a);
  data.U16(0);
  data.U32(0);  // NOMINAL COMMAND PROCESSING TIMEOUT
  data.U32(TimeoutSeconds(spec));
}

constexpr uint8_t kReturnTimeouts = 0x80;  // RCTD

}  // namespace

// SPC-4, 6.35.
void Unit::ReportSupportedOperationCodes(Task& task) {
  const bool timeouts = (CdbByte(task.cdb(), 2) & kReturnTimeouts) != 0;
  const int options = CdbByte(task.cdb(), 2) & 0x07;
  const uint8_t wanted_opcode = CdbByte(task.cdb(), 3);
  const int wanted_action = LoadBigEndian<uint16_t>(task.cdb().data() + 4);
  ByteList data;
  if (options == 0) {
    data.U32(0);  // COMMAND DATA LENGTH, below
    for (const CommandSpec& spec : AllCommands()) {
      if (!Supports(spec)) continue;
      data.U8(spec.opcode);
      data.U8(0);
      data.U16(spec.has_service_action() ? static_cast<uint16_t>(spec.service_action) : 0);
      data.U8(0);
      data.U8(static_cast<uint8_t>((timeouts ? 0x02 : 0) | (spec.has_service_action() ? 0x01 : 0)));
      data.U16(static_cast<uint16_t>(spec.cdb_bytes()));
      if (timeouts) AddTimeouts(data, spec);
    }
    data.SetLength32(0);
    return Answer(task, data.bytes());
  }
  if (options > 3) return FailCdbField(task, 2);

  const CommandSpec* found = nullptr;
  for (const CommandSpec& spec : AllCommands()) {
    if (spec.opcode != wanted_opcode || !Supports(spec)) continue;
    // Option 1 is for commands without service actions, 2 for those with, 3 for both.
    if (options == (spec.has_service_action() ? 1 : 2)) {
      return FailCdbField(task, 2);
    }
    if ((spec.has_service_action() ? spec.service_action : 0) == wanted_action || options == 1) {
      found = &spec;
    }
  }
  constexpr uint8_t kNotSupported = 1;
  constexpr uint8_t kAsStandard = 3;
  data.U8(0);
  if (found == nullptr) {
    data.U8(kNotSupported);
    data.U16(0);
    return Answer(task, data.bytes());
  }
  data.U8(static_cast<uint8_t>(kAsStandard | (timeouts ? 0x80 : 0)));
  data.U16(static_cast<uint16_t>(found->cdb_bytes()));
  const auto usage = found->UsageData();
  data.Bytes(std::as_bytes(std::span(usage)).first(found->cdb_bytes()));
  if (timeouts) AddTimeouts(data, *found);
  Answer(task, data.bytes());
}

void Unit::ReportSupportedTaskManagementFunctions(Task& task) {
  constexpr uint8_t kExtended = 0x80;  // REPD
  constexpr uint8_t kFunctions =
      0xda;  // ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LUN and TARGET RESET
  const bool extended = (CdbByte(task.cdb(), 2) & kExtended) != 0;
  ByteList data;
  data.U8(kFunctions);
  data.U8(0);
  data.U8(0);
  data.U8(extended ? 12 : 0);
  if (extended) data.Zeros(12);
  Answer(task, data.bytes());
}

}  // namespace aurochs::scsi
