#include "io/file_op.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

#include "base/limits.h"
#include "base/units.h"
#include "io/file.h"

namespace aurochs {
namespace {

std::span<std::byte> BytesOf(const iovec& entry) {
  return {static_cast<std::byte*>(entry.iov_base), entry.iov_len};
}

// What the next call writes: up to the next multiple of kWriteCallBytesMax in the file, so that no
// block of 4 KiB is cut. Returns the count of entries.
int NextWritePiece(const FileOp& op, std::span<iovec> piece) {
  const uint64_t at_bytes = op.offset_bytes + op.done_bytes;
  uint64_t left_bytes =
      std::min(op.length_bytes - op.done_bytes, kWriteCallBytesMax - at_bytes % kWriteCallBytesMax);
  uint64_t skip_bytes = op.done_bytes;
  size_t count = 0;
  for (const iovec& entry : op.iov) {
    if (skip_bytes >= entry.iov_len) {
      skip_bytes -= entry.iov_len;
      continue;
    }
    const uint64_t take_bytes = std::min<uint64_t>(entry.iov_len - skip_bytes, left_bytes);
    piece[count++] = {static_cast<std::byte*>(entry.iov_base) + skip_bytes, take_bytes};
    skip_bytes = 0;
    left_bytes -= take_bytes;
    if (left_bytes == 0 || count == piece.size()) break;
  }
  return static_cast<int>(count);
}

ErrorCode Transfer(FileOp& op) {
  const int fd = op.file->fd();
  const bool is_read = op.kind == FileOp::Kind::kRead;
  while (op.done_bytes < op.length_bytes) {
    const auto at = static_cast<off_t>(op.offset_bytes + op.done_bytes);
    ssize_t moved;
    if (is_read) {
      iovec first;
      const RemainingIov left = RemainingOf(op, first);
      moved = ::preadv(fd, left.entries, left.count, at);
    } else {
      std::array<iovec, kIovecsMax> piece;
      moved = ::pwritev(fd, piece.data(), NextWritePiece(op, piece), at);
    }
    if (moved < 0) {
      if (errno == EINTR) continue;
      return ErrorCodeFromErrno(errno);
    }
    if (moved == 0) {
      if (!is_read) return ErrorCode::kIo;
      ZeroRemaining(op);
      op.done_bytes = op.length_bytes;
    }
    op.done_bytes += static_cast<uint64_t>(moved);
  }
  return ErrorCode::kOk;
}

// By the file's own calls. One write, however many buffers: a simulated power cut must not see more
// pieces than the kernel would.
ErrorCode TransferByCalls(FileOp& op) {
  if (op.iov.size() == 1) {
    return op.kind == FileOp::Kind::kRead
               ? op.file->ReadAt(BytesOf(op.iov[0]), op.offset_bytes).code()
               : op.file->WriteAt(BytesOf(op.iov[0]), op.offset_bytes).code();
  }
  std::vector<std::byte> whole(op.length_bytes);
  if (op.kind == FileOp::Kind::kRead) {
    const Status status = op.file->ReadAt(whole, op.offset_bytes);
    if (!status.ok()) return status.code();
  }
  std::byte* position = whole.data();
  for (const iovec& entry : op.iov) {
    if (op.kind == FileOp::Kind::kRead) {
      std::memcpy(entry.iov_base, position, entry.iov_len);
    } else {
      std::memcpy(position, entry.iov_base, entry.iov_len);
    }
    position += entry.iov_len;
  }
  if (op.kind == FileOp::Kind::kRead) return ErrorCode::kOk;
  return op.file->WriteAt(whole, op.offset_bytes).code();
}

// Writes `first` and what follows it both in the chain and in the file by one call, as far as one
// call goes. Returns the operation behind them.
FileOp* WriteAdjacent(FileOp* first) {
  const uint64_t begin_bytes = first->offset_bytes;
  const uint64_t limit_bytes = AlignDown(begin_bytes, kWriteCallBytesMax) + kWriteCallBytesMax;
  std::array<iovec, kIovecsMax> pieces;
  size_t count = 0;
  uint64_t end_bytes = begin_bytes;
  FileOp* behind = first;
  while (behind != nullptr && behind->kind == FileOp::Kind::kWrite && behind->file == first->file &&
         behind->offset_bytes == end_bytes && behind->length_bytes <= limit_bytes - end_bytes &&
         behind->iov.size() <= pieces.size() - count) {
    std::copy(behind->iov.begin(), behind->iov.end(), pieces.begin() + static_cast<long>(count));
    count += behind->iov.size();
    end_bytes += behind->length_bytes;
    behind = behind->next;
  }
  if (behind == first || behind == first->next) {
    RunFileOp(*first);
    return first->next;
  }
  const ssize_t written = ::pwritev(first->file->fd(), pieces.data(), static_cast<int>(count),
                                    static_cast<off_t>(begin_bytes));
  const bool all = written >= 0 && static_cast<uint64_t>(written) == end_bytes - begin_bytes;
  for (FileOp* op = first; op != behind; op = op->next) {
    if (all) {
      op->done_bytes = op->length_bytes;
      op->result = ErrorCode::kOk;
    } else {
      RunFileOp(*op);  // Once more and by itself, so that each has the answer that it is due.
    }
  }
  return behind;
}

}  // namespace

void RunFileOps(FileOp* first) {
  for (FileOp* op = first; op != nullptr;) {
    if (op->kind == FileOp::Kind::kWrite && op->file->fd() >= 0) {
      op = WriteAdjacent(op);
    } else {
      RunFileOp(*op);
      op = op->next;
    }
  }
}

void RunFileOp(FileOp& op) {
  switch (op.kind) {
    case FileOp::Kind::kRead:
    case FileOp::Kind::kWrite:
      op.result = op.file->fd() >= 0 ? Transfer(op) : TransferByCalls(op);
      return;
    case FileOp::Kind::kSyncData: op.result = op.file->SyncData().code(); return;
    case FileOp::Kind::kPunchHole:
      op.result = op.file->PunchHole(op.offset_bytes, op.length_bytes).code();
      return;
  }
  Unreachable("RunFileOp");
}

RemainingIov RemainingOf(const FileOp& op, iovec& first) {
  uint64_t skip_bytes = op.done_bytes;
  size_t index = 0;
  while (skip_bytes >= op.iov[index].iov_len) {
    skip_bytes -= op.iov[index].iov_len;
    ++index;
  }
  if (skip_bytes == 0) return {&op.iov[index], static_cast<int>(op.iov.size() - index)};
  first = {static_cast<std::byte*>(op.iov[index].iov_base) + skip_bytes,
           op.iov[index].iov_len - skip_bytes};
  return {&first, 1};
}

void ZeroRemaining(const FileOp& op) {
  uint64_t skip_bytes = op.done_bytes;
  for (const iovec& entry : op.iov) {
    if (skip_bytes < entry.iov_len) {
      std::memset(static_cast<std::byte*>(entry.iov_base) + skip_bytes, 0,
                  entry.iov_len - skip_bytes);
      skip_bytes = 0;
    } else {
      skip_bytes -= entry.iov_len;
    }
  }
}

}  // namespace aurochs
