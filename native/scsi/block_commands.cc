// Commands that read, write and compare blocks (SBC-3, clause 5).
#include <algorithm>
#include <cstring>
#include <limits>

#include "base/limits.h"
#include "scsi/iovecs.h"
#include "scsi/unit.h"

namespace aurochs::scsi {
namespace {

// READ(6) and WRITE(6) keep address bits where the longer CDBs have their flags.
bool ForcesUnitAccess(const Task& task) {
  return task.spec->cdb_bytes() > 6 && (CdbByte(task.cdb(), 1) & kCdbFua) != 0;
}

Sense MiscompareAt(uint64_t offset_bytes) {
  Sense sense = SenseFor(ErrorCode::kMiscompare, false);
  sense.information = static_cast<uint32_t>(offset_bytes);
  return sense;
}

}  // namespace

Extent Unit::ExtentOf(const BlockRange& range) const {
  const uint64_t block_bytes = device_.info().logical_block_bytes;
  return {range.lba * block_bytes, range.blocks * block_bytes};
}

std::optional<Extent> Unit::ExtentOrFail(Task& task, uint64_t bytes_max) {
  const BlockRange range = BlockRangeOf(task.cdb());
  const uint64_t capacity_blocks = device_.info().size_bytes / device_.info().logical_block_bytes;
  if (range.lba > capacity_blocks || range.blocks > capacity_blocks - range.lba) {
    FailIllegal(task, Asc::kLbaOutOfRange);
    return std::nullopt;
  }
  const Extent extent = ExtentOf(range);
  if (extent.length_bytes > bytes_max) {
    FailCdbField(task, TransferLengthByteOf(task.cdb()));
    return std::nullopt;
  }
  return extent;
}

// FUA asks for what is on the medium (SBC-3, 5.10); the device has no second opinion to offer.
void Unit::Read(Task& task) {
  const auto extent = ExtentOrFail(task, kRequestBytesMax);
  if (!extent) return;
  Command& command = *task.command;
  command.data_in_bytes_untruncated = extent->length_bytes;
  // An initiator that expects less gets less (RFC 7143, 11.4.5.2), but blocks are read whole.
  const uint64_t length_bytes = std::min(
      extent->length_bytes, AlignUp(std::min<uint64_t>(command.data_in_bytes_max, kRequestBytesMax),
                                    device_.info().logical_block_bytes));
  if (length_bytes == 0) return Good(task);
  if (!TakeBuffer(task, length_bytes)) return;
  PrepareBuffered(task, IoOp::kRead, {extent->offset_bytes, length_bytes});
  task.after_io = &Unit::AfterRead;
  StartGated(task, task.io.extent, false);
}

bool Unit::AfterRead(Task& task, ErrorCode result) {
  Command& command = *task.command;
  if (result != ErrorCode::kOk) {
    FailWith(task, result);
    return false;
  }
  task.piece.iov_len = std::min<uint64_t>(task.piece.iov_len, command.data_in_bytes_max);
  command.data_in = {&task.piece, 1};
  command.data_in_bytes = task.piece.iov_len;
  Good(task);
  return false;
}

// The extent to write: as many whole blocks as the initiator sent, when it announced fewer than the
// CDB names. The transport reports the rest as a residual overflow. Ends the task and returns
// nothing when there is nothing to write.
std::optional<Extent> Unit::WriteExtentOrFail(Task& task) {
  auto extent = ExtentOrFail(task, kRequestBytesMax);
  if (!extent) return std::nullopt;
  const uint64_t sent_bytes = TotalBytes(task.command->data_out);
  CHECK(sent_bytes <= extent->length_bytes);
  if (!IsAligned(sent_bytes, device_.info().logical_block_bytes)) {
    FailIllegal(task, Asc::kInvalidFieldInCommandInformationUnit);
    return std::nullopt;
  }
  if (sent_bytes == 0) {
    Good(task);
    return std::nullopt;
  }
  extent->length_bytes = sent_bytes;
  return extent;
}

void Unit::Write(Task& task) {
  const auto extent = WriteExtentOrFail(task);
  if (!extent || !PrepareWriteFromDataOut(task, 0, *extent)) return;
  task.io.fua = ForcesUnitAccess(task);
  task.after_io = &Unit::FinishIo;
  StartGated(task, *extent, false);
}

// What is verified has to be on the medium, so the write is one with FUA.
void Unit::WriteAndVerify(Task& task) {
  const uint8_t byte_check = ByteCheckOf(task.cdb());
  if (byte_check > 1) return FailCdbField(task, 1);
  const auto extent = WriteExtentOrFail(task);
  if (!extent || !PrepareWriteFromDataOut(task, 0, *extent)) return;
  task.io.fua = true;
  task.rest = *extent;
  task.after_io = byte_check == 0 ? &Unit::FinishIo : &Unit::AfterWriteToVerify;
  StartGated(task, *extent, byte_check != 0);
}

bool Unit::AfterWriteToVerify(Task& task, ErrorCode result) {
  if (result != ErrorCode::kOk) {
    FailWith(task, result);
    return false;
  }
  task.io.fua = false;
  return PrepareVerifyStep(task);
}

void Unit::Verify(Task& task) {
  const uint8_t byte_check = ByteCheckOf(task.cdb());
  if (byte_check == 2) return FailCdbField(task, 1);
  const auto extent = ExtentOrFail(task, kRequestBytesMax);
  if (!extent) return;
  if (extent->length_bytes == 0) return Good(task);
  if (byte_check == 1 && !DataOutIs(task, extent->length_bytes)) return;
  if (byte_check == 3 && !DataOutIs(task, device_.info().logical_block_bytes)) return;
  task.rest = *extent;
  if (!PrepareVerifyStep(task)) return;
  StartGated(task, *extent, false);
}

bool Unit::PrepareVerifyStep(Task& task) {
  const uint64_t length_bytes = std::min<uint64_t>(task.rest.length_bytes, kScsiChunkBytes);
  if (task.buffer.size() < length_bytes && !TakeBuffer(task, length_bytes)) return false;
  PrepareBuffered(task, IoOp::kRead, {task.rest.offset_bytes, length_bytes});
  task.after_io = &Unit::AfterReadToVerify;
  return true;
}

bool Unit::AfterReadToVerify(Task& task, ErrorCode result) {
  if (result != ErrorCode::kOk) {
    FailWith(task, result);
    return false;
  }
  const auto read = task.buffer.bytes().first(task.io.extent.length_bytes);
  const uint64_t done_bytes = task.rest.offset_bytes - task.gate_entry.extent.offset_bytes;
  std::optional<size_t> difference;
  if (ByteCheckOf(task.cdb()) == 1) {
    difference = FirstDifference(task.command->data_out, done_bytes, read);
  } else if (ByteCheckOf(task.cdb()) == 3) {
    const size_t block_bytes = device_.info().logical_block_bytes;
    for (size_t at = 0; at < read.size() && !difference; at += block_bytes) {
      difference = FirstDifference(task.command->data_out, 0, read.subspan(at, block_bytes));
      if (difference) *difference += at;
    }
  }
  if (difference) {
    Fail(task, MiscompareAt(done_bytes + *difference));
    return false;
  }
  task.rest.offset_bytes += read.size();
  task.rest.length_bytes -= read.size();
  if (task.rest.length_bytes > 0) return PrepareVerifyStep(task);
  Good(task);
  return false;
}

void Unit::CompareAndWrite(Task& task) {
  const auto extent = ExtentOrFail(task, kRequestBytesMax);
  if (!extent) return;
  if (!DataOutIs(task, 2 * extent->length_bytes)) return;
  if (extent->length_bytes == 0) return Good(task);
  if (!TakeBuffer(task, extent->length_bytes)) return;
  PrepareBuffered(task, IoOp::kRead, *extent);
  task.after_io = &Unit::AfterReadToCompare;
  StartGated(task, *extent, true);
}

bool Unit::AfterReadToCompare(Task& task, ErrorCode result) {
  if (result != ErrorCode::kOk) {
    FailWith(task, result);
    return false;
  }
  const Extent extent = task.io.extent;
  if (const auto at = FirstDifference(task.command->data_out, 0, task.buffer.bytes())) {
    Fail(task, MiscompareAt(*at));
    return false;
  }
  if (!PrepareWriteFromDataOut(task, extent.length_bytes, extent)) return false;
  task.io.fua = ForcesUnitAccess(task);
  task.after_io = &Unit::FinishIo;
  return true;
}

void Unit::OrWrite(Task& task) {
  const auto extent = ExtentOrFail(task, kRequestBytesMax);
  if (!extent) return;
  if (!DataOutIs(task, extent->length_bytes)) return;
  if (extent->length_bytes == 0) return Good(task);
  if (!TakeBuffer(task, extent->length_bytes)) return;
  PrepareBuffered(task, IoOp::kRead, *extent);
  task.after_io = &Unit::AfterReadToOr;
  StartGated(task, *extent, true);
}

bool Unit::AfterReadToOr(Task& task, ErrorCode result) {
  if (result != ErrorCode::kOk) {
    FailWith(task, result);
    return false;
  }
  OrInto(task.command->data_out, task.buffer.bytes());
  task.io.op = IoOp::kWrite;
  task.io.fua = ForcesUnitAccess(task);
  task.after_io = &Unit::FinishIo;
  return true;
}

// There is no cache of ours to fill: the page cache below reads ahead by itself.
void Unit::PreFetch(Task& task) {
  if (ExtentOrFail(task, std::numeric_limits<uint64_t>::max())) Good(task);
}

// Everything is flushed, whatever the range, and IMMED does not make us answer before it is.
void Unit::SynchronizeCache(Task& task) {
  if (ExtentOrFail(task, std::numeric_limits<uint64_t>::max())) StartFlush(task, &Unit::FinishIo);
}

}  // namespace aurochs::scsi
