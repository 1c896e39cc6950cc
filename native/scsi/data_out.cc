#include <algorithm>
#include <cstring>

#include "base/limits.h"
#include "scsi/iovecs.h"
#include "scsi/unit.h"

namespace aurochs::scsi {

std::vector<std::byte> Unit::CopyDataOut(const Task& task) const {
  std::vector<std::byte> bytes(TotalBytes(task.command->data_out));
  CopyFrom(task.command->data_out, 0, bytes);
  return bytes;
}

std::optional<std::vector<std::byte>> Unit::ParameterListOrFail(Task& task) {
  auto bytes = CopyDataOut(task);
  const uint32_t wanted = AllocationLengthOf(*task.spec, task.cdb());
  if (bytes.size() < wanted) {
    FailIllegal(task, Asc::kParameterListLengthError);
    return std::nullopt;
  }
  bytes.resize(wanted);
  return bytes;
}

bool Unit::DataOutIs(Task& task, uint64_t bytes) {
  const Command& command = *task.command;
  if (TotalBytes(command.data_out) == bytes && command.data_out_bytes_expected <= bytes)
    return true;
  FailCdbField(task, TransferLengthByteOf(task.cdb()));
  return false;
}

bool Unit::PrepareWriteFromDataOut(Task& task, uint64_t skip_bytes, const Extent& extent) {
  task.io.op = IoOp::kWrite;
  task.io.extent = extent;
  task.io.iov = task.command->data_out;
  if (skip_bytes > 0) {
    SliceInto(task.pieces, task.command->data_out, skip_bytes, extent.length_bytes);
    task.io.iov = task.pieces;
  }
  if (task.io.iov.size() <= kIovecsMax) return true;
  // Data that came in crumbs.
  if (!TakeBuffer(task, extent.length_bytes)) return false;
  CopyFrom(task.command->data_out, skip_bytes, task.buffer.bytes());
  PrepareBuffered(task, IoOp::kWrite, extent);
  return true;
}

bool Unit::TakeBuffer(Task& task, uint64_t size_bytes) {
  task.buffer = BufferPool::OfThisThread().Allocate(size_bytes);
  if (task.buffer) return true;
  FailWithStatus(task, Status::kBusy);
  return false;
}

}  // namespace aurochs::scsi
