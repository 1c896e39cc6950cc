// A directory whose files count how often they are asked.
#pragma once

#include <atomic>
#include <memory>
#include <utility>

#include "support/forwarding_directory.h"

namespace aurochs::test {

struct FileCalls {
  std::atomic<uint64_t> reads = 0;  // of either kind
  std::atomic<uint64_t> looks = 0;  // for data
};

class CountingFile final : public ForwardingFile {
 public:
  CountingFile(std::unique_ptr<File> file, FileCalls& calls)
      : ForwardingFile(std::move(file)), calls_(calls) {}

  Status ReadAt(std::span<std::byte> into, uint64_t offset_bytes) override {
    ++calls_.reads;
    return ForwardingFile::ReadAt(into, offset_bytes);
  }
  bool TryReadV(std::span<const iovec> into, uint64_t offset_bytes) override {
    ++calls_.reads;
    return ForwardingFile::TryReadV(into, offset_bytes);
  }
  Result<std::optional<FileRange>> NextData(uint64_t offset_bytes, uint64_t end_bytes) override {
    ++calls_.looks;
    return ForwardingFile::NextData(offset_bytes, end_bytes);
  }

 private:
  FileCalls& calls_;
};

class CountingDirectory final : public ForwardingDirectory {
 public:
  CountingDirectory(std::unique_ptr<Directory> directory, FileCalls& calls)
      : ForwardingDirectory(std::move(directory)), calls_(calls) {}

 private:
  std::unique_ptr<File> Wrap(std::unique_ptr<File> file) override {
    return std::make_unique<CountingFile>(std::move(file), calls_);
  }

  FileCalls& calls_;
};

}  // namespace aurochs::test
