// EXTENDED COPY(LID1) and RECEIVE COPY RESULTS (SPC-4, 5.16, 6.4 and 6.18): the unit is the copy
// manager for copies within itself. A copy goes step by step through one buffer and keeps only the
// blocks of its step, so that other commands pass.
#include <algorithm>
#include <bit>

#include "base/byte_reader.h"
#include "base/limits.h"
#include "scsi/byte_list.h"
#include "scsi/spec.h"
#include "scsi/unit.h"

namespace aurochs::scsi {
namespace {

constexpr size_t kListHeaderBytes = 16;
constexpr uint8_t kIdentificationDescriptor = 0xe4;
constexpr size_t kTargetDescriptorBytes = 32;
constexpr uint8_t kBlockToBlock = 0x02;
constexpr size_t kSegmentDescriptorBytes = 28;
constexpr size_t kSegmentHeaderBytes = 4;  // before what its DESCRIPTOR LENGTH counts
constexpr size_t kDescriptorListBytesMax =
    kCopyTargetsMax * kTargetDescriptorBytes + kCopySegmentsMax * kSegmentDescriptorBytes;
constexpr uint8_t kNoListIdentifier = 3;  // LIST ID USAGE: status is not kept

constexpr Sense CopyAborted(Asc asc) {
  return {SenseKey::kCopyAborted, asc, {}, {}, {}};
}

bool IsZeros(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [](std::byte byte) { return byte == std::byte{0}; });
}

}  // namespace

void Unit::ExtendedCopy(Task& task) {
  const auto list = ParameterListOrFail(task);
  if (!list) return;
  if (list->empty()) return Good(task);
  auto copy = std::make_unique<Copy>();
  if (const auto sense = ParseCopy(*list, *copy)) return Fail(task, *sense);
  if (copies_under_way_ == kCopiesMax) return FailWithStatus(task, Status::kBusy);

  Nexus& nexus = NexusOf(task);
  if (copy->list_id) {
    const CopyStatus* known = StatusOf(nexus, *copy->list_id);
    if (known != nullptr && known->progress == CopyStatus::Progress::kUnderWay) {
      return FailIllegal(task, Asc::kOperationInProgress);
    }
  }
  // Before the copy is counted and can be asked about: without memory there is none.
  if (!copy->segments.empty() && !TakeBuffer(task, kScsiChunkBytes)) return;
  if (copy->list_id) {
    std::erase_if(nexus.copies, [&](const CopyStatus& s) { return s.list_id == *copy->list_id; });
    if (nexus.copies.size() == kCopyStatusesMax) nexus.copies.erase(nexus.copies.begin());
    nexus.copies.push_back({.list_id = *copy->list_id});
  }
  ++copies_under_way_;
  task.copy = std::move(copy);
  if (task.copy->segments.empty()) return EndCopy(task, false);
  PrepareCopyStep(task);
  StartGated(task, task.io.extent, false);
}

// Nothing is copied before the whole list has been found good.
std::optional<Sense> Unit::ParseCopy(std::span<const std::byte> list, Copy& copy) const {
  if (list.size() < kListHeaderBytes) return IllegalRequest(Asc::kParameterListLengthError);
  ByteReader reader(list);
  const uint8_t list_id = reader.U8();
  if ((reader.U8() >> 3 & 3) != kNoListIdentifier) copy.list_id = list_id;
  const size_t target_bytes = reader.U16();
  reader.Skip(4);
  const size_t segment_bytes = reader.U32();
  const size_t inline_bytes = reader.U32();
  if (target_bytes + segment_bytes > kDescriptorListBytesMax ||
      target_bytes + segment_bytes > reader.remaining()) {
    return IllegalRequest(Asc::kParameterListLengthError);
  }
  if (inline_bytes != 0) return IllegalRequest(Asc::kInlineDataLengthExceeded);

  const auto targets = reader.Bytes(target_bytes);
  if (target_bytes > kCopyTargetsMax * kTargetDescriptorBytes) {
    return IllegalRequest(Asc::kTooManyTargetDescriptors);
  }
  std::vector<bool> reachable;
  for (size_t at = 0; at < targets.size(); at += kTargetDescriptorBytes) {
    if (targets[at] != std::byte{kIdentificationDescriptor}) {
      return IllegalRequest(Asc::kUnsupportedTargetDescriptorTypeCode);
    }
    if (targets.size() - at < kTargetDescriptorBytes) {
      return IllegalRequest(Asc::kParameterListLengthError);
    }
    reachable.push_back(NamesThisUnit(targets.subspan(at, kTargetDescriptorBytes)));
  }
  return ParseSegments(reader.Bytes(segment_bytes), reachable, copy);
}

// A designator of ours with the block length of ours (SPC-4, 6.4.5.2): the NAA one, which alone
// fits.
bool Unit::NamesThisUnit(std::span<const std::byte> target) const {
  constexpr uint8_t kNaaType = 3;
  constexpr size_t kNaaBytes = 8;
  ByteReader reader(target);
  reader.Skip(5);
  const bool of_unit_and_naa = (reader.U8() & 0x3f) == kNaaType;
  reader.Skip(1);
  const size_t length = reader.U8();
  const uint64_t naa = reader.U64();
  reader.Skip(12 + 1);
  const uint32_t block_bytes = uint32_t{reader.U8()} << 16 | reader.U16();
  return of_unit_and_naa && length == kNaaBytes && naa == NaaOf(identity_) &&
         block_bytes == device_.info().logical_block_bytes;
}

std::optional<Sense> Unit::ParseSegments(std::span<const std::byte> list,
                                         const std::vector<bool>& reachable, Copy& copy) const {
  const uint64_t capacity_blocks = device_.info().size_bytes / device_.info().logical_block_bytes;
  if (list.size() > kCopySegmentsMax * kSegmentDescriptorBytes) {
    return IllegalRequest(Asc::kTooManySegmentDescriptors);
  }
  for (ByteReader reader(list); !reader.AtEnd();) {
    if (reader.U8() != kBlockToBlock) {
      return IllegalRequest(Asc::kUnsupportedSegmentDescriptorTypeCode);
    }
    if (reader.remaining() + 1 < kSegmentDescriptorBytes) {
      return IllegalRequest(Asc::kParameterListLengthError);
    }
    reader.Skip(1);
    if (reader.U16() != kSegmentDescriptorBytes - kSegmentHeaderBytes) {
      return IllegalRequest(Asc::kInvalidFieldInParameterList);
    }
    const size_t source = reader.U16();
    const size_t destination = reader.U16();
    reader.Skip(2);
    const uint64_t blocks = reader.U16();
    const BlockRange from{reader.U64(), blocks};
    const BlockRange to{reader.U64(), blocks};
    if (source >= reachable.size() || destination >= reachable.size() || !reachable[source] ||
        !reachable[destination]) {
      return CopyAborted(Asc::kCopyTargetDeviceNotReachable);
    }
    for (const BlockRange& range : {from, to}) {
      if (range.lba > capacity_blocks || range.blocks > capacity_blocks - range.lba) {
        return CopyAborted(Asc::kNone);
      }
    }
    if (blocks == 0) continue;
    const Extent source_extent = ExtentOf(from);
    copy.segments.push_back(
        {source_extent.offset_bytes, ExtentOf(to).offset_bytes, source_extent.length_bytes});
  }
  return std::nullopt;
}

// The next step reads. What is copied onto its own end goes backwards.
void Unit::PrepareCopyStep(Task& task) {
  Copy& copy = *task.copy;
  const Copy::Segment& segment = copy.segments[copy.index];
  const uint64_t length_bytes =
      std::min<uint64_t>(segment.length_bytes - copy.done_bytes, kScsiChunkBytes);
  const bool backwards = segment.destination_bytes > segment.source_bytes &&
                         segment.destination_bytes < segment.source_bytes + segment.length_bytes;
  const uint64_t at =
      backwards ? segment.length_bytes - copy.done_bytes - length_bytes : copy.done_bytes;
  copy.destination = {segment.destination_bytes + at, length_bytes};
  PrepareBuffered(task, IoOp::kRead, {segment.source_bytes + at, length_bytes});
  task.after_io = &Unit::AfterCopyRead;
}

bool Unit::AfterCopyRead(Task& task, ErrorCode result) {
  // A SANITIZE that has begun must not see older data come back.
  if (result != ErrorCode::kOk || sanitizing_) {
    EndCopy(task, true);
    return false;
  }
  const Extent to = task.copy->destination;
  const bool zeros = thin() && IsZeros(task.buffer.bytes().first(to.length_bytes));
  PrepareBuffered(task, zeros ? IoOp::kWriteZeroes : IoOp::kWrite, to);
  if (zeros) task.io.iov = {};
  task.after_io = &Unit::AfterCopyWrite;
  return MoveGate(task, to);
}

bool Unit::AfterCopyWrite(Task& task, ErrorCode result) {
  Copy& copy = *task.copy;
  if (result != ErrorCode::kOk) {
    EndCopy(task, true);
    return false;
  }
  CopyStatus* status = copy.list_id ? StatusOf(NexusOf(task), *copy.list_id) : nullptr;
  copy.done_bytes += copy.destination.length_bytes;
  if (status != nullptr) status->bytes_done += copy.destination.length_bytes;
  if (copy.done_bytes == copy.segments[copy.index].length_bytes) {
    copy.done_bytes = 0;
    ++copy.index;
    if (status != nullptr) ++status->segments_done;
  }
  if (copy.index == copy.segments.size()) {
    EndCopy(task, false);
    return false;
  }
  PrepareCopyStep(task);
  return MoveGate(task, task.io.extent);
}

void Unit::EndCopy(Task& task, bool failed) {
  --copies_under_way_;
  if (task.copy->list_id) {
    CopyStatus* status = StatusOf(NexusOf(task), *task.copy->list_id);
    using Progress = CopyStatus::Progress;
    if (status != nullptr) status->progress = failed ? Progress::kFailed : Progress::kDone;
  }
  if (failed) return Fail(task, CopyAborted(Asc::kThirdPartyDeviceFailure));
  task.buffer.Reset();
  Good(task);
}

Unit::CopyStatus* Unit::StatusOf(Nexus& nexus, uint8_t list_id) {
  const auto found = std::find_if(nexus.copies.begin(), nexus.copies.end(),
                                  [list_id](const CopyStatus& s) { return s.list_id == list_id; });
  return found == nexus.copies.end() ? nullptr : &*found;
}

// The status of a copy that has ended is told once (SPC-4, 6.18.2).
void Unit::ReceiveCopyStatus(Task& task) {
  Nexus& nexus = NexusOf(task);
  const CopyStatus* found = StatusOf(nexus, CdbByte(task.cdb(), 2));
  if (found == nullptr) return FailCdbField(task, 2);
  const CopyStatus status = *found;
  constexpr uint8_t kKibibytes = 1;
  ByteList data;
  data.U32(8);  // AVAILABLE DATA
  data.U8(static_cast<uint8_t>(status.progress));
  data.U16(status.segments_done);
  data.U8(kKibibytes);
  data.U32(static_cast<uint32_t>(status.bytes_done / kKiB));
  if (status.progress != CopyStatus::Progress::kUnderWay) {
    std::erase_if(nexus.copies, [&](const CopyStatus& s) { return s.list_id == status.list_id; });
  }
  Answer(task, data.bytes());
}

void Unit::ReceiveCopyOperatingParameters(Task& task) {
  const uint32_t block_bytes = device_.info().logical_block_bytes;
  ByteList data;
  data.U32(0);  // AVAILABLE DATA, below
  data.U32(0);  // SNLID: list identifiers are kept apart by nexus
  data.U16(kCopyTargetsMax);
  data.U16(kCopySegmentsMax);
  data.U32(kDescriptorListBytesMax);
  data.U32(0xffff * block_bytes);  // MAXIMUM SEGMENT LENGTH
  data.U32(0);                     // no inline data, no held data, no streams
  data.U32(0);
  data.U32(0);
  data.U16(0);
  data.U16(kCopiesMax);                                            // TOTAL CONCURRENT COPIES
  data.U8(kCopiesMax);                                             // MAXIMUM CONCURRENT COPIES
  data.U8(static_cast<uint8_t>(std::bit_width(block_bytes) - 1));  // DATA SEGMENT GRANULARITY
  data.Zeros(5);
  data.U8(2);  // IMPLEMENTED DESCRIPTOR LIST LENGTH
  data.U8(kBlockToBlock);
  data.U8(kIdentificationDescriptor);
  data.SetLength32(0);
  Answer(task, data.bytes());
}

namespace {

// DESCRIPTOR TYPE of the page (SPC-4, 7.8.17); these are the mandatory ones.
enum class CopyDescriptor : uint16_t {
  kSupportedCommands = 0x0001,
  kParameterData = 0x0004,
  kSupportedDescriptors = 0x0008,
  kSupportedCscdIds = 0x000c,
  kGeneralOperations = 0x8001,
};

// Adds `content` with its type and length, in fours.
void AddCopyDescriptor(ByteList& page, CopyDescriptor type, const ByteList& content) {
  const size_t padding = (4 - content.size() % 4) % 4;
  page.U16(static_cast<uint16_t>(type));
  page.U16(static_cast<uint16_t>(content.size() + padding));
  page.Bytes(content.bytes());
  page.Zeros(padding);
}

}  // namespace

void AddThirdPartyCopy(ByteList& page, const DeviceInfo& info) {
  namespace sa = service_action;
  ByteList commands;
  commands.U8(7);
  commands.U8(opcode::kExtendedCopy);
  commands.U8(1);
  commands.U8(sa::kExtendedCopyLid1);
  commands.U8(opcode::kReceiveCopyResults);
  commands.U8(2);
  commands.U8(sa::kCopyStatusLid1);
  commands.U8(sa::kCopyOperatingParameters);
  AddCopyDescriptor(page, CopyDescriptor::kSupportedCommands, commands);

  ByteList parameters;
  parameters.U32(0);
  parameters.U16(kCopyTargetsMax);
  parameters.U16(kCopySegmentsMax);
  parameters.U32(kDescriptorListBytesMax);
  parameters.Zeros(16);  // no inline data
  AddCopyDescriptor(page, CopyDescriptor::kParameterData, parameters);

  ByteList descriptors;
  descriptors.U8(2);
  descriptors.U8(kBlockToBlock);
  descriptors.U8(kIdentificationDescriptor);
  AddCopyDescriptor(page, CopyDescriptor::kSupportedDescriptors, descriptors);

  ByteList ids;  // none beyond the descriptors of the list
  ids.U16(0);
  AddCopyDescriptor(page, CopyDescriptor::kSupportedCscdIds, ids);

  ByteList general;
  general.U32(kCopiesMax);
  general.U32(kCopiesMax);
  general.U32(0xffff * info.logical_block_bytes);
  general.U8(static_cast<uint8_t>(std::bit_width(info.logical_block_bytes) - 1));
  general.Zeros(19);
  AddCopyDescriptor(page, CopyDescriptor::kGeneralOperations, general);
}

}  // namespace aurochs::scsi
