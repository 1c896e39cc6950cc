// A random-access file of the store. Real files are posix_file.cc; the tests' simulated disk is a
// second implementation that drops, tears and reorders what was not synced.
//
// Thread: any, also several at once; each call blocks. On a loop use EventLoop::SubmitFileOp,
//         which runs the same calls elsewhere, or TryReadV.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/status.h"

namespace aurochs {

// A half-open range of a file that holds data.
struct FileRange {
  uint64_t offset_bytes;
  uint64_t length_bytes;
};

class File {
 public:
  virtual ~File() = default;

  // Fill or store the whole buffer; bytes past the end of the file read as zeros.
  virtual Status ReadAt(std::span<std::byte> into, uint64_t offset_bytes) = 0;
  virtual Status WriteAt(std::span<const std::byte> from, uint64_t offset_bytes) = 0;

  // Reads what is in memory without waiting for the disk. False: some of it is not; nothing can be
  // said about the buffers then. (preadv2 with RWF_NOWAIT.)
  virtual bool TryReadV(std::span<const iovec> into, uint64_t offset_bytes) = 0;

  // Gives the blocks back; the range reads as zeros and is a hole. Offsets are multiples of 4 KiB.
  virtual Status PunchHole(uint64_t offset_bytes, uint64_t length_bytes) = 0;
  // fdatasync: data, allocation and size. See D4 before you retry it.
  virtual Status SyncData() = 0;

  // Forgets what is in memory and not waiting to be written, so that reads and NextData say what
  // the disk holds. After a failed SyncData these may differ. (posix_fadvise, POSIX_FADV_DONTNEED.)
  virtual Status DropCached() = 0;

  virtual Result<uint64_t> SizeBytes() = 0;
  virtual Status Truncate(uint64_t size_bytes) = 0;
  // Space taken on disk.
  virtual Result<uint64_t> AllocatedBytes() = 0;

  // The first range that holds data at or after `offset_bytes`, cut at `end_bytes`; nothing if
  // there is only hole. Freshly written data counts before it is synced.
  virtual Result<std::optional<FileRange>> NextData(uint64_t offset_bytes, uint64_t end_bytes) = 0;

  // Makes `length_bytes` at `offset_bytes` share the extents of `source` (FICLONERANGE).
  // kUnsupported where the file system cannot.
  virtual Status CloneRangeFrom(File& source, uint64_t offset_bytes, uint64_t length_bytes) = 0;

  // For the kernel's interfaces; -1 if there is no real file behind it.
  virtual int fd() const = 0;
};

}  // namespace aurochs
