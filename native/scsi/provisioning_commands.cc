// Thin provisioning: UNMAP, WRITE SAME, GET LBA STATUS (SBC-3, 4.7).
#include <algorithm>
#include <cstring>

#include "base/byte_reader.h"
#include "base/limits.h"
#include "scsi/byte_list.h"
#include "scsi/spec.h"
#include "scsi/unit.h"

namespace aurochs::scsi {
namespace {

constexpr size_t kUnmapHeaderBytes = 8;
constexpr size_t kUnmapDescriptorBytes = 16;
constexpr size_t kLbaStatusHeaderBytes = 8;
constexpr size_t kLbaStatusDescriptorBytes = 16;

// The smallest extent that covers all of them.
Extent Bounds(const std::vector<Extent>& extents) {
  uint64_t begin = extents.front().offset_bytes;
  uint64_t end = extents.front().end_bytes();
  for (const Extent& extent : extents) {
    begin = std::min(begin, extent.offset_bytes);
    end = std::max(end, extent.end_bytes());
  }
  return {begin, end - begin};
}

}  // namespace

// SBC-3, 5.28. Nothing is unmapped before the whole list has been found good.
void Unit::Unmap(Task& task) {
  const auto list = ParameterListOrFail(task);
  if (!list) return;
  if (list->empty()) return Good(task);
  if (list->size() < kUnmapHeaderBytes) return FailIllegal(task, Asc::kParameterListLengthError);
  ByteReader reader(*list);
  reader.Skip(2);  // UNMAP DATA LENGTH, which follows from the next field
  const size_t descriptor_bytes = reader.U16();
  reader.Skip(4);
  if (descriptor_bytes > reader.remaining()) {
    return FailIllegal(task, Asc::kParameterListLengthError);
  }
  const size_t count = descriptor_bytes / kUnmapDescriptorBytes;
  if (count > kUnmapDescriptorsMax) return FailIllegal(task, Asc::kInvalidFieldInParameterList);

  const uint64_t capacity_blocks = device_.info().size_bytes / device_.info().logical_block_bytes;
  uint64_t total_bytes = 0;
  for (size_t i = 0; i < count; ++i) {
    BlockRange range;
    range.lba = reader.U64();
    range.blocks = reader.U32();
    reader.Skip(4);
    if (range.lba > capacity_blocks || range.blocks > capacity_blocks - range.lba) {
      return FailIllegal(task, Asc::kLbaOutOfRange);
    }
    const Extent extent = ExtentOf(range);
    total_bytes += extent.length_bytes;
    if (extent.length_bytes > 0) task.extents.push_back(extent);
  }
  if (total_bytes > kUnmapBytesMax) return FailIllegal(task, Asc::kInvalidFieldInParameterList);
  if (task.extents.empty()) return Good(task);
  task.extent_index = 0;
  PrepareUnmapStep(task);
  StartGated(task, Bounds(task.extents), false);
}

void Unit::PrepareUnmapStep(Task& task) {
  task.io.op = IoOp::kUnmap;
  task.io.iov = {};
  task.io.extent = task.extents[task.extent_index];
  task.after_io = &Unit::AfterUnmapStep;
}

bool Unit::AfterUnmapStep(Task& task, ErrorCode result) {
  if (result != ErrorCode::kOk) {
    FailWith(task, result);
    return false;
  }
  if (++task.extent_index < task.extents.size()) {
    PrepareUnmapStep(task);
    return true;
  }
  Good(task);
  return false;
}

// SBC-3, 5.44. Zeros become holes with UNMAP and stay allocated without; any other block is written
// as often as asked for.
void Unit::WriteSame(Task& task) {
  const uint64_t block_bytes = device_.info().logical_block_bytes;
  const bool unmap = (CdbByte(task.cdb(), 1) & kCdbUnmap) != 0;
  const bool no_data = PlanFor(task.cdb()).length_bytes == 0;
  if (unmap && !thin()) return FailCdbField(task, 1);
  const auto extent = ExtentOrFail(task, kWriteSameBytesMax);
  if (!extent) return;
  // A length of 0 would mean "to the end", however far that is (WSNZ).
  if (extent->length_bytes == 0) return FailCdbField(task, TransferLengthByteOf(task.cdb()));
  if (!DataOutIs(task, no_data ? 0 : block_bytes)) return;

  const auto block = CopyDataOut(task);
  const bool zeros =
      std::all_of(block.begin(), block.end(), [](std::byte byte) { return byte == std::byte{0}; });
  if (zeros) {
    task.io.op = IoOp::kWriteZeroes;
    task.io.extent = *extent;
    task.io.iov = {};
    task.io.keep_allocated = !unmap;
    task.after_io = &Unit::FinishIo;
    return StartGated(task, *extent, false);
  }
  if (!TakeBuffer(task, std::min<uint64_t>(extent->length_bytes, kScsiChunkBytes))) return;
  for (size_t at = 0; at < task.buffer.size(); at += block_bytes) {
    std::memcpy(task.buffer.data() + at, block.data(), block_bytes);
  }
  task.rest = *extent;
  PreparePatternStep(task);
  StartGated(task, *extent, false);
}

bool Unit::PreparePatternStep(Task& task) {
  if (task.rest.length_bytes == 0) return false;
  const uint64_t length_bytes = std::min<uint64_t>(task.rest.length_bytes, task.buffer.size());
  PrepareBuffered(task, IoOp::kWrite, {task.rest.offset_bytes, length_bytes});
  task.rest.offset_bytes += length_bytes;
  task.rest.length_bytes -= length_bytes;
  task.after_io = &Unit::AfterPatternStep;
  return true;
}

bool Unit::AfterPatternStep(Task& task, ErrorCode result) {
  if (result != ErrorCode::kOk) {
    FailWith(task, result);
    return false;
  }
  if (PreparePatternStep(task)) return true;
  Good(task);
  return false;
}

// SBC-3, 5.5. The answer may end before the unit does; the initiator asks on from there.
void Unit::GetLbaStatus(Task& task) {
  const DeviceInfo& info = device_.info();
  const uint64_t lba = BlockRangeOf(task.cdb()).lba;  // the length field is ALLOCATION LENGTH here
  if (lba >= info.size_bytes / info.logical_block_bytes) {
    return FailIllegal(task, Asc::kLbaOutOfRange);
  }
  const uint64_t allowed_bytes = AllocationLengthOf(*task.spec, task.cdb());
  const uint64_t room = allowed_bytes < kLbaStatusHeaderBytes + kLbaStatusDescriptorBytes
                            ? 1
                            : (allowed_bytes - kLbaStatusHeaderBytes) / kLbaStatusDescriptorBytes;
  task.query = std::make_unique<AllocationQuery>();
  const uint64_t offset_bytes = lba * info.logical_block_bytes;
  task.query->extent = {offset_bytes,
                        AlignDown(info.size_bytes, info.logical_block_bytes) - offset_bytes};
  task.query->runs_max = static_cast<uint32_t>(std::min<uint64_t>(room, kLbaStatusDescriptorsMax));
  task.query->owner = &task;
  task.query->complete = &OnQueryComplete;
  device_.Submit(task.query.get());
}

void Unit::OnQueryComplete(AllocationQuery* query, ErrorCode result) {
  Task& task = *static_cast<Task*>(query->owner);
  if (result != ErrorCode::kOk) return task.unit->FailWith(task, result);
  task.unit->AnswerLbaStatus(task);
}

void Unit::AnswerLbaStatus(Task& task) {
  constexpr uint64_t kBlocksMax = 0xffffffff;
  const uint64_t block_bytes = device_.info().logical_block_bytes;
  uint64_t lba = task.query->extent.offset_bytes / block_bytes;
  ByteList data;
  data.U32(0);  // PARAMETER DATA LENGTH, below
  data.U32(0);
  for (const AllocationRun& run : task.query->runs) {
    const uint64_t run_blocks = run.length_bytes / block_bytes;
    const uint64_t blocks = std::min(run_blocks, kBlocksMax);
    data.U64(lba);
    data.U32(static_cast<uint32_t>(blocks));
    data.U8(thin() && run.state == AllocationState::kHole ? 1 : 0);  // deallocated, mapped
    data.Zeros(3);
    lba += blocks;
    if (blocks < run_blocks) break;  // The next descriptor would not be adjacent.
  }
  data.SetLength32(0);
  Answer(task, data.bytes());
}

}  // namespace aurochs::scsi
