// A directory of the store. Names are single path components.
//
// Thread: any, also several at once; each call blocks.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "io/file.h"

namespace aurochs {

enum class OpenMode : uint8_t {
  kReadOnly,
  kReadWrite,
  kCreate,  // Fails with kAlreadyExists if the name is taken.
};

// Held while in scope; the kernel drops it when the process dies.
class DirectoryLock {
 public:
  virtual ~DirectoryLock() = default;
};

struct FileSystemSpace {
  uint64_t size_bytes = 0;
  uint64_t free_bytes = 0;  // that ordinary users may still write
};

class Directory {
 public:
  virtual ~Directory() = default;

  virtual Result<std::unique_ptr<File>> OpenFile(std::string_view name, OpenMode mode) = 0;
  // Replaces `to`. Durable only after Sync.
  virtual Status Rename(std::string_view from, std::string_view to) = 0;
  virtual Status Remove(std::string_view name) = 0;
  // Makes created, renamed and removed names durable.
  virtual Status Sync() = 0;
  // Names of files and directories, sorted, without "." and "..".
  virtual Result<std::vector<std::string>> List() = 0;

  virtual Result<std::unique_ptr<Directory>> OpenDirectory(std::string_view name) = 0;
  virtual Status CreateDirectory(std::string_view name) = 0;
  // Removes an empty directory.
  virtual Status RemoveDirectory(std::string_view name) = 0;

  // Takes the exclusive lock `name`; kBusy if another process, or another lock of this one, has it.
  virtual Result<std::unique_ptr<DirectoryLock>> Lock(std::string_view name) = 0;

  virtual Result<FileSystemSpace> Space() = 0;
  // The number of this file system's device: the same for all of its directories.
  virtual Result<uint64_t> DeviceNumber() = 0;
  // For messages.
  virtual const std::string& path() const = 0;
};

// Opens a directory of the real file system; `path` must exist.
Result<std::unique_ptr<Directory>> OpenPosixDirectory(const std::string& path);

}  // namespace aurochs
