#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/unique_fd.h"
#include "io/directory.h"
#include "io/posix_file.h"

namespace aurochs {
namespace {

constexpr mode_t kFileMode = 0600;
constexpr mode_t kDirectoryMode = 0700;

class PosixDirectoryLock : public DirectoryLock {
 public:
  explicit PosixDirectoryLock(UniqueFd fd) : fd_(std::move(fd)) {}

 private:
  const UniqueFd fd_;
};

struct DirCloser {
  void operator()(DIR* dir) const { ::closedir(dir); }
};

class PosixDirectory : public Directory {
 public:
  PosixDirectory(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<std::unique_ptr<File>> OpenFile(std::string_view name, OpenMode mode) override {
    const std::string checked = Checked(name);
    int flags = O_CLOEXEC | O_NOFOLLOW;
    switch (mode) {
      case OpenMode::kReadOnly: flags |= O_RDONLY; break;
      case OpenMode::kReadWrite: flags |= O_RDWR; break;
      case OpenMode::kCreate: flags |= O_RDWR | O_CREAT | O_EXCL; break;
    }
    UniqueFd fd(::openat(fd_.get(), checked.c_str(), flags, kFileMode));
    if (!fd.valid()) return Error(errno, mode == OpenMode::kCreate ? "create" : "open", checked);
    return MakePosixFile(std::move(fd), path_ + "/" + checked);
  }

  Status Rename(std::string_view from, std::string_view to) override {
    const std::string checked = Checked(from);
    if (::renameat(fd_.get(), checked.c_str(), fd_.get(), Checked(to).c_str()) != 0) {
      return Error(errno, "rename", checked);
    }
    return Status::Ok();
  }

  Status Remove(std::string_view name) override {
    const std::string checked = Checked(name);
    if (::unlinkat(fd_.get(), checked.c_str(), 0) != 0) return Error(errno, "remove", checked);
    return Status::Ok();
  }

  Status Sync() override {
    if (::fsync(fd_.get()) != 0) return Status::FromErrno(errno, "fsync " + path_);
    return Status::Ok();
  }

  Result<std::vector<std::string>> List() override {
    // A descriptor of its own: the position in a directory belongs to the open file.
    UniqueFd fd(::openat(fd_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid()) return Status::FromErrno(errno, "open " + path_);
    const std::unique_ptr<DIR, DirCloser> dir(::fdopendir(fd.get()));
    if (dir == nullptr) return Status::FromErrno(errno, "open " + path_);
    fd.Release();
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(dir.get())) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") names.emplace_back(name);
      errno = 0;
    }
    if (errno != 0) return Status::FromErrno(errno, "read " + path_);
    std::sort(names.begin(), names.end());
    return names;
  }

  Result<std::unique_ptr<Directory>> OpenDirectory(std::string_view name) override {
    const std::string checked = Checked(name);
    UniqueFd fd(
        ::openat(fd_.get(), checked.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
    if (!fd.valid()) return Error(errno, "open directory", checked);
    return std::unique_ptr<Directory>(new PosixDirectory(std::move(fd), path_ + "/" + checked));
  }

  Status CreateDirectory(std::string_view name) override {
    const std::string checked = Checked(name);
    if (::mkdirat(fd_.get(), checked.c_str(), kDirectoryMode) != 0) {
      return Error(errno, "create directory", checked);
    }
    return Status::Ok();
  }

  Status RemoveDirectory(std::string_view name) override {
    const std::string checked = Checked(name);
    if (::unlinkat(fd_.get(), checked.c_str(), AT_REMOVEDIR) != 0) {
      return Error(errno, "remove directory", checked);
    }
    return Status::Ok();
  }

  // flock belongs to the open file, so two locks of one process exclude each other too.
  Result<std::unique_ptr<DirectoryLock>> Lock(std::string_view name) override {
    const std::string checked = Checked(name);
    UniqueFd fd(
        ::openat(fd_.get(), checked.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, kFileMode));
    if (!fd.valid()) return Error(errno, "open", checked);
    if (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return Error(errno, "lock", checked);
      return Status(ErrorCode::kBusy, "lock " + path_ + "/" + checked + ": somebody else has it");
    }
    return std::unique_ptr<DirectoryLock>(new PosixDirectoryLock(std::move(fd)));
  }

  Result<FileSystemSpace> Space() override {
    struct statvfs info;
    if (::fstatvfs(fd_.get(), &info) != 0) return Status::FromErrno(errno, "statvfs " + path_);
    const uint64_t unit_bytes = info.f_frsize;
    return FileSystemSpace{info.f_blocks * unit_bytes, info.f_bavail * unit_bytes};
  }

  Result<uint64_t> DeviceNumber() override {
    struct stat info;
    if (::fstat(fd_.get(), &info) != 0) return Status::FromErrno(errno, "stat " + path_);
    return uint64_t{info.st_dev};
  }

  const std::string& path() const override { return path_; }

 private:
  // Names come from our own code; one with a slash would leave the directory.
  static std::string Checked(std::string_view name) {
    CHECK(!name.empty() && name != "." && name != "..");
    CHECK(name.find('/') == std::string_view::npos && name.find('\0') == std::string_view::npos);
    return std::string(name);
  }

  Status Error(int error_number, const char* action, const std::string& name) const {
    return Status::FromErrno(error_number, std::string(action) + " " + path_ + "/" + name);
  }

  const UniqueFd fd_;
  const std::string path_;
};

}  // namespace

Result<std::unique_ptr<Directory>> OpenPosixDirectory(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd.valid()) return Status::FromErrno(errno, "open directory " + path);
  return std::unique_ptr<Directory>(new PosixDirectory(std::move(fd), path));
}

}  // namespace aurochs
