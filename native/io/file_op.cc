#include "io/file_op.h"

#include <fcntl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "io/file.h"

namespace aurochs {
namespace {

std::span<std::byte> BytesOf(const iovec& entry) {
  return {static_cast<std::byte*>(entry.iov_base), entry.iov_len};
}

ErrorCode Transfer(FileOp& op) {
  const int fd = op.file->fd();
  const bool is_read = op.kind == FileOp::Kind::kRead;
  while (op.done_bytes < op.length_bytes) {
    iovec first;
    const RemainingIov left = RemainingOf(op, first);
    const auto at = static_cast<off_t>(op.offset_bytes + op.done_bytes);
    const ssize_t moved = is_read ? ::preadv(fd, left.entries, left.count, at)
                                  : ::pwritev(fd, left.entries, left.count, at);
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

}  // namespace

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
