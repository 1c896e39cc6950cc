// A directory and files that pass every call on to others, for tests that change a few of them.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "io/directory.h"

namespace aurochs::test {

class ForwardingFile : public File {
 public:
  explicit ForwardingFile(std::unique_ptr<File> file) : file_(std::move(file)) {}

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
  Status DropCached() override { return file_->DropCached(); }
  Result<uint64_t> SizeBytes() override { return file_->SizeBytes(); }
  Status Truncate(uint64_t size_bytes) override { return file_->Truncate(size_bytes); }
  Result<uint64_t> AllocatedBytes() override { return file_->AllocatedBytes(); }
  Result<std::optional<FileRange>> NextData(uint64_t offset_bytes, uint64_t end_bytes) override {
    return file_->NextData(offset_bytes, end_bytes);
  }
  // Such a file shows itself to others, not what is behind it.
  Status CloneRangeFrom(File&, uint64_t, uint64_t) override {
    return {ErrorCode::kUnsupported, "not through a test's file"};
  }
  int fd() const override { return file_->fd(); }

 private:
  std::unique_ptr<File> file_;
};

class ForwardingDirectory : public Directory {
 public:
  explicit ForwardingDirectory(std::unique_ptr<Directory> directory)
      : directory_(std::move(directory)) {}

  Result<std::unique_ptr<File>> OpenFile(std::string_view name, OpenMode mode) override {
    auto file = directory_->OpenFile(name, mode);
    if (!file.ok()) return file.status();
    return Wrap(std::move(*file));
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
  Result<FileSystemSpace> Space() override { return directory_->Space(); }
  Result<uint64_t> DeviceNumber() override { return directory_->DeviceNumber(); }
  const std::string& path() const override { return directory_->path(); }

 protected:
  // What OpenFile gives out.
  virtual std::unique_ptr<File> Wrap(std::unique_ptr<File> file) = 0;

 private:
  std::unique_ptr<Directory> directory_;
};

}  // namespace aurochs::test
