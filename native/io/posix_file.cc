#include "io/posix_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/limits.h"
#include "base/units.h"

namespace aurochs {
namespace {

constexpr uint64_t kStatBlockBytes = 512;  // of st_blocks, whatever the file system's block is

class PosixFile : public File {
 public:
  PosixFile(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Status ReadAt(std::span<std::byte> into, uint64_t offset_bytes) override {
    while (!into.empty()) {
      const ssize_t got =
          ::pread(fd_.get(), into.data(), into.size(), static_cast<off_t>(offset_bytes));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return Error(errno, "read");
      if (got == 0) {
        std::fill(into.begin(), into.end(), std::byte{0});
        return Status::Ok();
      }
      into = into.subspan(static_cast<size_t>(got));
      offset_bytes += static_cast<uint64_t>(got);
    }
    return Status::Ok();
  }

  Status WriteAt(std::span<const std::byte> from, uint64_t offset_bytes) override {
    while (!from.empty()) {
      const ssize_t put =
          ::pwrite(fd_.get(), from.data(), from.size(), static_cast<off_t>(offset_bytes));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return Error(errno, "write");
      if (put == 0) return {ErrorCode::kIo, "write " + path_ + ": the disk took nothing"};
      from = from.subspan(static_cast<size_t>(put));
      offset_bytes += static_cast<uint64_t>(put);
    }
    return Status::Ok();
  }

  bool TryReadV(std::span<const iovec> into, uint64_t offset_bytes) override {
    CHECK(into.size() <= kIovecsMax);
    uint64_t wanted_bytes = 0;
    for (const iovec& entry : into) wanted_bytes += entry.iov_len;
    const ssize_t got = ::preadv2(fd_.get(), into.data(), static_cast<int>(into.size()),
                                  static_cast<off_t>(offset_bytes), RWF_NOWAIT);
    // Less may mean "not in memory" or "past the end"; the blocking read tells them apart.
    return got >= 0 && static_cast<uint64_t>(got) == wanted_bytes;
  }

  Status PunchHole(uint64_t offset_bytes, uint64_t length_bytes) override {
    CHECK(IsAligned(offset_bytes, kBlockBytes) && IsAligned(length_bytes, kBlockBytes));
    while (::fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                       static_cast<off_t>(offset_bytes), static_cast<off_t>(length_bytes)) != 0) {
      if (errno != EINTR) return Error(errno, "punch a hole into");
    }
    return Status::Ok();
  }

  Status SyncData() override {
    if (::fdatasync(fd_.get()) != 0) return Error(errno, "fdatasync");
    return Status::Ok();
  }

  Status DropCached() override {
    const int error_number = ::posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_DONTNEED);
    if (error_number != 0) return Error(error_number, "drop the cached pages of");
    return Status::Ok();
  }

  Result<uint64_t> SizeBytes() override {
    struct stat info;
    if (::fstat(fd_.get(), &info) != 0) return Error(errno, "fstat");
    return static_cast<uint64_t>(info.st_size);
  }

  Status Truncate(uint64_t size_bytes) override {
    while (::ftruncate(fd_.get(), static_cast<off_t>(size_bytes)) != 0) {
      if (errno != EINTR) return Error(errno, "truncate");
    }
    return Status::Ok();
  }

  Result<uint64_t> AllocatedBytes() override {
    struct stat info;
    if (::fstat(fd_.get(), &info) != 0) return Error(errno, "fstat");
    return static_cast<uint64_t>(info.st_blocks) * kStatBlockBytes;
  }

  Result<std::optional<FileRange>> NextData(uint64_t offset_bytes, uint64_t end_bytes) override {
    const std::optional<FileRange> none;
    if (offset_bytes >= end_bytes) return none;
    const off_t begin = ::lseek(fd_.get(), static_cast<off_t>(offset_bytes), SEEK_DATA);
    if (begin < 0) {
      if (errno == ENXIO) return none;  // only hole up to the end of the file
      return Error(errno, "look for data in");
    }
    if (static_cast<uint64_t>(begin) >= end_bytes) return none;
    const off_t end = ::lseek(fd_.get(), begin, SEEK_HOLE);
    if (end < 0) {
      if (errno == ENXIO) return none;  // truncated in between
      return Error(errno, "look for a hole in");
    }
    const uint64_t cut_end_bytes = std::min(static_cast<uint64_t>(end), end_bytes);
    const auto begin_bytes = static_cast<uint64_t>(begin);
    // A hole may have been punched there in between; nothing at all then, so look again behind it.
    if (cut_end_bytes <= begin_bytes) return NextData(begin_bytes + kBlockBytes, end_bytes);
    return std::optional<FileRange>({begin_bytes, cut_end_bytes - begin_bytes});
  }

  Status CloneRangeFrom(File& source, uint64_t offset_bytes, uint64_t length_bytes) override {
    if (source.fd() < 0) return {ErrorCode::kUnsupported, "share extents with " + path_};
    file_clone_range range{source.fd(), offset_bytes, length_bytes, offset_bytes};
    if (::ioctl(fd_.get(), FICLONERANGE, &range) == 0) return Status::Ok();
    // What the file systems without it answer.
    if (errno == ENOTTY || errno == EXDEV || errno == EOPNOTSUPP || errno == EINVAL) {
      return {ErrorCode::kUnsupported, "share extents with " + path_ + ": the file system cannot"};
    }
    return Error(errno, "share extents with");
  }

  int fd() const override { return fd_.get(); }

 private:
  Status Error(int error_number, const char* action) const {
    return Status::FromErrno(error_number, std::string(action) + " " + path_);
  }

  const UniqueFd fd_;
  const std::string path_;
};

}  // namespace

std::unique_ptr<File> MakePosixFile(UniqueFd fd, std::string path) {
  return std::make_unique<PosixFile>(std::move(fd), std::move(path));
}

}  // namespace aurochs
