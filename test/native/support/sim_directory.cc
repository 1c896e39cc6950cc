#include "support/sim_directory.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace aurochs {
namespace {

constexpr uint64_t kExt4FileBytesMax = 16 * kTiB - kBlockBytes;  // with blocks of 4 KiB
constexpr uint64_t kDiskBytes = 1 * kTiB;

uint64_t LengthOf(std::span<const iovec> iov) {
  uint64_t length_bytes = 0;
  for (const iovec& entry : iov) length_bytes += entry.iov_len;
  return length_bytes;
}

}  // namespace

class SimFile : public File {
 public:
  SimFile(SimDisk& disk, std::shared_ptr<SimNode> node, std::string path, bool writable)
      : disk_(disk),
        boot_(disk.boot_),
        node_(std::move(node)),
        path_(std::move(path)),
        writable_(writable) {}

  Status ReadAt(std::span<std::byte> into, uint64_t offset_bytes) override {
    std::lock_guard lock(disk_.mutex_);
    RETURN_IF_ERROR(disk_.CheckAliveLocked(boot_));
    if (disk_.fail_at_read_ == disk_.reads_++) {
      return {ErrorCode::kIo, "read " + path_ + ": injected error"};
    }
    file().Read(into, offset_bytes);
    return Status::Ok();
  }

  bool TryReadV(std::span<const iovec> into, uint64_t offset_bytes) override {
    std::lock_guard lock(disk_.mutex_);
    if (disk_.cache_cold_ || !disk_.CheckAliveLocked(boot_).ok()) return false;
    if (offset_bytes + LengthOf(into) > file().size_bytes()) return false;
    for (const iovec& entry : into) {
      file().Read({static_cast<std::byte*>(entry.iov_base), entry.iov_len}, offset_bytes);
      offset_bytes += entry.iov_len;
    }
    return true;
  }

  Status WriteAt(std::span<const std::byte> from, uint64_t offset_bytes) override {
    std::lock_guard lock(disk_.mutex_);
    RETURN_IF_ERROR(CheckWritableLocked());
    if (offset_bytes + from.size() > disk_.file_bytes_max_) return TooLarge();
    const SimDisk::Verdict verdict = disk_.BeginStepLocked(path_);
    if (verdict.apply)
      RETURN_IF_ERROR(file().Write(from, offset_bytes).WithContext("write " + path_));
    return verdict.status;
  }

  Status PunchHole(uint64_t offset_bytes, uint64_t length_bytes) override {
    CHECK(IsAligned(offset_bytes, kBlockBytes) && IsAligned(length_bytes, kBlockBytes));
    std::lock_guard lock(disk_.mutex_);
    RETURN_IF_ERROR(CheckWritableLocked());
    const SimDisk::Verdict verdict = disk_.BeginStepLocked(path_);
    if (verdict.apply) file().Punch(offset_bytes, length_bytes);
    return verdict.status;
  }

  Status SyncData() override {
    std::lock_guard lock(disk_.mutex_);
    RETURN_IF_ERROR(disk_.CheckAliveLocked(boot_));
    const SimDisk::Verdict verdict = disk_.BeginStepLocked(path_);
    const bool fails = std::exchange(disk_.fail_next_sync_data_, false);
    if (verdict.status.ok() && !fails) {
      file().Sync();
      return Status::Ok();
    }
    // In a crash what was on its way still may arrive.
    if (!disk_.crashed_) file().LoseUnsynced();
    return fails ? Status(ErrorCode::kIo, "fdatasync " + path_ + ": injected error")
                 : verdict.status;
  }

  Status DropCached() override {
    std::lock_guard lock(disk_.mutex_);
    RETURN_IF_ERROR(disk_.CheckAliveLocked(boot_));
    file().DropCached();
    return Status::Ok();
  }

  Result<uint64_t> SizeBytes() override {
    std::lock_guard lock(disk_.mutex_);
    RETURN_IF_ERROR(disk_.CheckAliveLocked(boot_));
    return file().size_bytes();
  }

  Status Truncate(uint64_t size_bytes) override {
    std::lock_guard lock(disk_.mutex_);
    RETURN_IF_ERROR(CheckWritableLocked());
    if (size_bytes > disk_.file_bytes_max_) return TooLarge();
    const SimDisk::Verdict verdict = disk_.BeginStepLocked(path_);
    if (verdict.apply) file().Truncate(size_bytes);
    return verdict.status;
  }

  Result<uint64_t> AllocatedBytes() override {
    std::lock_guard lock(disk_.mutex_);
    RETURN_IF_ERROR(disk_.CheckAliveLocked(boot_));
    return file().allocated_bytes();
  }

  Result<std::optional<FileRange>> NextData(uint64_t offset_bytes, uint64_t end_bytes) override {
    std::lock_guard lock(disk_.mutex_);
    RETURN_IF_ERROR(disk_.CheckAliveLocked(boot_));
    return file().NextData(offset_bytes, end_bytes);
  }

  Status CloneRangeFrom(File& source, uint64_t offset_bytes, uint64_t length_bytes) override {
    std::lock_guard lock(disk_.mutex_);
    RETURN_IF_ERROR(CheckWritableLocked());
    if (!disk_.can_clone_) return {ErrorCode::kUnsupported, "share extents with " + path_};
    const SimDisk::Verdict verdict = disk_.BeginStepLocked(path_);
    if (verdict.apply) {
      file().CloneFrom(static_cast<SimFile&>(source).file(), offset_bytes, length_bytes);
    }
    return verdict.status;
  }

  int fd() const override { return -1; }

 private:
  SimFileNode& file() { return *node_->file; }

  Status CheckWritableLocked() const {
    RETURN_IF_ERROR(disk_.CheckAliveLocked(boot_));
    if (!writable_) return {ErrorCode::kIo, "write " + path_ + ": Bad file descriptor"};
    return Status::Ok();
  }
  Status TooLarge() const { return {ErrorCode::kOutOfRange, path_ + ": File too large"}; }

  SimDisk& disk_;
  const uint64_t boot_;
  const std::shared_ptr<SimNode> node_;
  const std::string path_;
  const bool writable_;
};

class SimLock : public DirectoryLock {
 public:
  SimLock(SimDisk& disk, std::shared_ptr<SimNode> directory, std::string name)
      : disk_(disk), boot_(disk.boot_), directory_(std::move(directory)), name_(std::move(name)) {}
  ~SimLock() override {
    std::lock_guard lock(disk_.mutex_);
    if (boot_ == disk_.boot_) directory_->locks.erase(name_);
  }

 private:
  SimDisk& disk_;
  const uint64_t boot_;
  const std::shared_ptr<SimNode> directory_;
  const std::string name_;
};

class SimDirectory : public Directory {
 public:
  SimDirectory(SimDisk& disk, std::shared_ptr<SimNode> node, std::string path)
      : disk_(disk), boot_(disk.boot_), node_(std::move(node)), path_(std::move(path)) {}

  Result<std::unique_ptr<File>> OpenFile(std::string_view name, OpenMode mode) override {
    std::lock_guard lock(disk_.mutex_);
    RETURN_IF_ERROR(disk_.CheckAliveLocked(boot_));
    std::shared_ptr<SimNode> node = FindLocked(name);
    if (mode == OpenMode::kCreate) {
      if (node != nullptr) return Error(ErrorCode::kAlreadyExists, "create", name, "File exists");
      const SimDisk::Verdict verdict = disk_.BeginStepLocked(PathOf(name));
      if (verdict.apply) node = AddLocked(name, /*is_directory=*/false);
      RETURN_IF_ERROR(verdict.status);
    }
    if (node == nullptr) return NotFound("open", name);
    if (node->is_directory())
      return Error(ErrorCode::kInvalidArgument, "open", name, "Is a directory");
    if (mode == OpenMode::kReadWrite && disk_.read_only_) {
      return Error(ErrorCode::kReadOnly, "open", name, "Read-only file system");
    }
    return std::unique_ptr<File>(
        new SimFile(disk_, std::move(node), PathOf(name), mode != OpenMode::kReadOnly));
  }

  Status Rename(std::string_view from, std::string_view to) override {
    std::lock_guard lock(disk_.mutex_);
    RETURN_IF_ERROR(disk_.CheckAliveLocked(boot_));
    const std::shared_ptr<SimNode> node = FindLocked(from);
    const std::shared_ptr<SimNode> replaced = FindLocked(to);
    if (node == nullptr) return NotFound("rename", from);
    if (node == replaced) return Status::Ok();
    if (replaced != nullptr && replaced->is_directory() != node->is_directory()) {
      return Error(ErrorCode::kInvalidArgument, "rename", from, "Is a directory, or is not");
    }
    if (replaced != nullptr && !replaced->entries.empty()) {
      return Error(ErrorCode::kFailedPrecondition, "rename", from, "Directory not empty");
    }
    const SimDisk::Verdict verdict = disk_.BeginStepLocked(PathOf(from));
    if (verdict.apply) node_->Rename(std::string(from), std::string(to));
    return verdict.status;
  }

  Status Remove(std::string_view name) override { return RemoveNode(name, /*directory=*/false); }
  Status RemoveDirectory(std::string_view name) override { return RemoveNode(name, true); }

  Status Sync() override {
    std::lock_guard lock(disk_.mutex_);
    RETURN_IF_ERROR(disk_.CheckAliveLocked(boot_));
    const SimDisk::Verdict verdict = disk_.BeginStepLocked(path_);
    if (verdict.status.ok()) node_->SyncNames();
    return verdict.status;
  }

  Result<std::vector<std::string>> List() override {
    std::lock_guard lock(disk_.mutex_);
    RETURN_IF_ERROR(disk_.CheckAliveLocked(boot_));
    std::vector<std::string> names;
    for (const auto& [name, node] : node_->entries) names.push_back(name);
    return names;
  }

  Result<std::unique_ptr<Directory>> OpenDirectory(std::string_view name) override {
    std::lock_guard lock(disk_.mutex_);
    RETURN_IF_ERROR(disk_.CheckAliveLocked(boot_));
    std::shared_ptr<SimNode> node = FindLocked(name);
    if (node == nullptr) return NotFound("open directory", name);
    if (!node->is_directory()) {
      return Error(ErrorCode::kInvalidArgument, "open directory", name, "Not a directory");
    }
    return std::unique_ptr<Directory>(new SimDirectory(disk_, std::move(node), PathOf(name)));
  }

  Status CreateDirectory(std::string_view name) override {
    std::lock_guard lock(disk_.mutex_);
    RETURN_IF_ERROR(disk_.CheckAliveLocked(boot_));
    if (FindLocked(name) != nullptr) {
      return Error(ErrorCode::kAlreadyExists, "create directory", name, "File exists");
    }
    const SimDisk::Verdict verdict = disk_.BeginStepLocked(PathOf(name));
    if (verdict.apply) AddLocked(name, /*is_directory=*/true);
    return verdict.status;
  }

  Result<std::unique_ptr<DirectoryLock>> Lock(std::string_view name) override {
    std::lock_guard lock(disk_.mutex_);
    RETURN_IF_ERROR(disk_.CheckAliveLocked(boot_));
    if (FindLocked(name) == nullptr) {
      const SimDisk::Verdict verdict = disk_.BeginStepLocked(PathOf(name));
      if (verdict.apply) AddLocked(name, /*is_directory=*/false);
      RETURN_IF_ERROR(verdict.status);
    }
    if (!node_->locks.emplace(name).second) {
      return Error(ErrorCode::kBusy, "lock", name, "somebody else has it");
    }
    return std::unique_ptr<DirectoryLock>(new SimLock(disk_, node_, std::string(name)));
  }

  Result<FileSystemSpace> Space() override {
    std::lock_guard lock(disk_.mutex_);
    RETURN_IF_ERROR(disk_.CheckAliveLocked(boot_));
    const uint64_t capacity_bytes = disk_.space_.capacity_bytes;
    const uint64_t used_bytes = std::min<uint64_t>(capacity_bytes, disk_.space_.used_bytes);
    return FileSystemSpace{capacity_bytes, capacity_bytes - used_bytes};
  }

  Result<uint64_t> DeviceNumber() override { return reinterpret_cast<uintptr_t>(&disk_); }

  const std::string& path() const override { return path_; }

 private:
  std::string PathOf(std::string_view name) const { return path_ + "/" + std::string(name); }

  std::shared_ptr<SimNode> FindLocked(std::string_view name) const {
    CHECK(!name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos);
    const auto it = node_->entries.find(name);
    return it == node_->entries.end() ? nullptr : it->second;
  }

  std::shared_ptr<SimNode> AddLocked(std::string_view name, bool is_directory) {
    auto node = std::make_shared<SimNode>(disk_.space_, is_directory);
    node_->Add(std::string(name), node);
    return node;
  }

  Status RemoveNode(std::string_view name, bool directory) {
    std::lock_guard lock(disk_.mutex_);
    RETURN_IF_ERROR(disk_.CheckAliveLocked(boot_));
    const std::shared_ptr<SimNode> node = FindLocked(name);
    if (node == nullptr) return NotFound("remove", name);
    if (node->is_directory() != directory) {
      return Error(ErrorCode::kInvalidArgument, "remove", name, "Is a directory, or is not");
    }
    if (!node->entries.empty()) {
      return Error(ErrorCode::kFailedPrecondition, "remove", name, "Directory not empty");
    }
    const SimDisk::Verdict verdict = disk_.BeginStepLocked(PathOf(name));
    if (verdict.apply) node_->Remove(std::string(name));
    return verdict.status;
  }

  Status Error(ErrorCode code, const char* action, std::string_view name, const char* why) const {
    return {code, std::string(action) + " " + PathOf(name) + ": " + why};
  }
  Status NotFound(const char* action, std::string_view name) const {
    return Error(ErrorCode::kNotFound, action, name, "No such file or directory");
  }

  SimDisk& disk_;
  const uint64_t boot_;
  const std::shared_ptr<SimNode> node_;
  const std::string path_;
};

SimDisk::SimDisk() : file_bytes_max_(kExt4FileBytesMax) {
  space_.capacity_bytes = kDiskBytes;
  root_ = std::make_shared<SimNode>(space_, /*is_directory=*/true);
}

SimDisk::~SimDisk() = default;

std::unique_ptr<Directory> SimDisk::Root() {
  std::lock_guard lock(mutex_);
  return std::make_unique<SimDirectory>(*this, root_, "/sim");
}

void SimDisk::CrashAt(uint64_t steps) {
  std::lock_guard lock(mutex_);
  crash_at_step_ = steps_ + steps;
}

bool SimDisk::crashed() const {
  std::lock_guard lock(mutex_);
  return crashed_;
}

void SimDisk::PowerCut(uint64_t seed) {
  std::lock_guard lock(mutex_);
  SimRandom random(seed);
  constexpr SimLuck kLucks[] = {SimLuck::kAnything, SimLuck::kNothing, SimLuck::kEverything,
                                SimLuck::kAnything};
  root_->PowerCut(random, kLucks[random.Below(std::size(kLucks))]);
  RestartLocked();
}

void SimDisk::KillProcess() {
  std::lock_guard lock(mutex_);
  RestartLocked();
}

void SimDisk::RestartLocked() {
  ++boot_;
  crashed_ = false;
  crash_at_step_.reset();
  fail_at_step_.reset();
  fail_at_read_.reset();
  fail_next_sync_data_ = false;
  root_->ClearLocks();
}

uint64_t SimDisk::steps() const {
  std::lock_guard lock(mutex_);
  return steps_;
}

void SimDisk::FailAt(uint64_t steps, ErrorCode code) {
  std::lock_guard lock(mutex_);
  fail_at_step_ = steps_ + steps;
  fail_code_ = code;
}

void SimDisk::FailNextSyncData() {
  std::lock_guard lock(mutex_);
  fail_next_sync_data_ = true;
}

void SimDisk::FailReadAt(uint64_t reads) {
  std::lock_guard lock(mutex_);
  fail_at_read_ = reads_ + reads;
}

void SimDisk::SetReadOnly(bool read_only) {
  std::lock_guard lock(mutex_);
  read_only_ = read_only;
}

void SimDisk::SetCapacityBytes(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  space_.capacity_bytes = bytes;
}

void SimDisk::SetFileBytesMax(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  file_bytes_max_ = bytes;
}

void SimDisk::SetCanClone(bool can_clone) {
  std::lock_guard lock(mutex_);
  can_clone_ = can_clone;
}

void SimDisk::SetCacheCold(bool cold) {
  std::lock_guard lock(mutex_);
  cache_cold_ = cold;
}

Status SimDisk::CheckAliveLocked(uint64_t boot) const {
  if (crashed_) return {ErrorCode::kIo, "the simulated machine is down"};
  if (boot != boot_) return {ErrorCode::kIo, "a handle from before the simulated restart"};
  return Status::Ok();
}

SimDisk::Verdict SimDisk::BeginStepLocked(const std::string& path) {
  const uint64_t step = steps_++;
  if (step == crash_at_step_) {
    crashed_ = true;
    return {true, {ErrorCode::kIo, path + ": the simulated machine went down"}};
  }
  if (read_only_) return {false, {ErrorCode::kReadOnly, path + ": Read-only file system"}};
  if (step == fail_at_step_) return {false, {fail_code_, path + ": injected error"}};
  return {true, Status::Ok()};
}

}  // namespace aurochs
