// A directory whose files can be made to stop after they have looked for data, so that a test can
// change what they have just seen.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <utility>

#include "support/forwarding_directory.h"

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

class GatedFile final : public ForwardingFile {
 public:
  GatedFile(std::unique_ptr<File> file, ScanGate& gate)
      : ForwardingFile(std::move(file)), gate_(gate) {}

  Result<std::optional<FileRange>> NextData(uint64_t offset_bytes, uint64_t end_bytes) override {
    auto found = ForwardingFile::NextData(offset_bytes, end_bytes);
    gate_.Pass();
    return found;
  }

 private:
  ScanGate& gate_;
};

class GatedDirectory final : public ForwardingDirectory {
 public:
  GatedDirectory(std::unique_ptr<Directory> directory, ScanGate& gate)
      : ForwardingDirectory(std::move(directory)), gate_(gate) {}

 private:
  std::unique_ptr<File> Wrap(std::unique_ptr<File> file) override {
    return std::make_unique<GatedFile>(std::move(file), gate_);
  }

  ScanGate& gate_;
};

}  // namespace aurochs::test
