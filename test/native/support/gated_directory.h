// A directory whose files can be made to stop after they have looked for data, so that a test can
// change what they have just seen.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "io/directory.h"

namespace aurochs::test {

class ScanGate {
 public:
  // From now on NextData waits before it returns what it found.
  void Close() {
    std::lock_guard lock(mutex_);
    closed_ = true;
  }
  void Open() {
    std::lock_guard lock(mutex_);
    closed_ = false;
    changed_.notify_all();
  }
  void AwaitWaiting() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waiting_ > 0; });
  }
  void Pass() {
    std::unique_lock lock(mutex_);
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return !closed_; });
    --waiting_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  bool closed_ = false;  // Guarded by mutex_.
  int waiting_ = 0;      // Guarded by mutex_.
};

class GatedFile final : public File {
 public:
  GatedFile(std::unique_ptr<File> file, ScanGate& gate) : file_(std::move(file)), gate_(gate) {}

  Status ReadAt(std::span<std::byte> into, uint64_t offset_bytes) override {
    return file_->ReadAt(into, offset_bytes);
  }
  Status WriteAt(std::span<const std::byte> from, uint64_t offset_bytes) override {
    return file_->WriteAt(from, offset_bytes);
  }
  bool TryReadV(std::span<const iovec> into, uint64_t offset_bytes) override {
    return file_->TryReadV(into, offset_bytes);
  }
  Status PunchHole(uint64_t offset_bytes, uint64_t length_bytes) override {
    return file_->PunchHole(offset_bytes, length_bytes);
  }
  Status SyncData() override { return file_->SyncData(); }
  Result<uint64_t> SizeBytes() override { return file_->SizeBytes(); }
  Status Truncate(uint64_t size_bytes) override { return file_->Truncate(size_bytes); }
  Result<uint64_t> AllocatedBytes() override { return file_->AllocatedBytes(); }
  Result<std::optional<FileRange>> NextData(uint64_t offset_bytes, uint64_t end_bytes) override {
    auto found = file_->NextData(offset_bytes, end_bytes);
    gate_.Pass();
    return found;
  }
  Status CloneRangeFrom(File&, uint64_t, uint64_t) override {
    return {ErrorCode::kUnsupported, "not through a gate"};
  }
  int fd() const override { return file_->fd(); }

 private:
  std::unique_ptr<File> file_;
  ScanGate& gate_;
};

class GatedDirectory final : public Directory {
 public:
  GatedDirectory(std::unique_ptr<Directory> directory, ScanGate& gate)
      : directory_(std::move(directory)), gate_(gate) {}

  Result<std::unique_ptr<File>> OpenFile(std::string_view name, OpenMode mode) override {
    auto file = directory_->OpenFile(name, mode);
    if (!file.ok()) return file.status();
    return std::unique_ptr<File>(std::make_unique<GatedFile>(std::move(*file), gate_));
  }
  Status Rename(std::string_view from, std::string_view to) override {
    return directory_->Rename(from, to);
  }
  Status Remove(std::string_view name) override { return directory_->Remove(name); }
  Status Sync() override { return directory_->Sync(); }
  Result<std::vector<std::string>> List() override { return directory_->List(); }
  Result<std::unique_ptr<Directory>> OpenDirectory(std::string_view name) override {
    return directory_->OpenDirectory(name);
  }
  Status CreateDirectory(std::string_view name) override {
    return directory_->CreateDirectory(name);
  }
  Status RemoveDirectory(std::string_view name) override {
    return directory_->RemoveDirectory(name);
  }
  Result<std::unique_ptr<DirectoryLock>> Lock(std::string_view name) override {
    return directory_->Lock(name);
  }
  Result<uint64_t> FreeBytes() override { return directory_->FreeBytes(); }
  const std::string& path() const override { return directory_->path(); }

 private:
  std::unique_ptr<Directory> directory_;
  ScanGate& gate_;
};

}  // namespace aurochs::test
