// An open replica with a loop of its own, called synchronously from a test's thread.
#pragma once

#include <cstdint>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "io/event_loop.h"
#include "replica/replica_device.h"

namespace aurochs::test {

inline constexpr char kVolumeId[] = "6e0f1d6c-5b5f-4b89-9a44-0d5e5a9f5d10";
inline constexpr char kReplicaId[] = "b6f4ad0a-1f6e-4c4a-8f6e-53a4c8f4a001";

// A snapshot id made from a short word.
std::string SnapshotId(const std::string& word);

class ReplicaRig {
 public:
  // Simulated disks want blocking work on the loop's thread, so that steps come in one order.
  explicit ReplicaRig(bool blocking_inline = true,
                      std::optional<EventLoop::Backend> backend = std::nullopt);
  ~ReplicaRig();

  EventLoop& loop() { return thread_->loop(); }
  ReplicaDevice& device() { return *device_; }
  bool is_open() const { return device_ != nullptr; }

  Status Open(std::unique_ptr<Directory> directory, uint64_t epoch = 1);
  Status Close();
  // Destroys a device that was closed by other means.
  void Forget();

  ErrorCode Io(IoOp op, uint64_t offset_bytes, uint64_t length_bytes, bool fua = false,
               bool keep_allocated = false);
  ErrorCode Write(uint64_t offset_bytes, const std::vector<std::byte>& data, bool fua = false);
  ErrorCode Fill(uint64_t offset_bytes, uint64_t length_bytes, uint8_t value);
  ErrorCode Unmap(uint64_t offset_bytes, uint64_t length_bytes);
  ErrorCode Flush();
  // CHECKs that it succeeds.
  std::vector<std::byte> Read(uint64_t offset_bytes, size_t count);
  ErrorCode TryRead(uint64_t offset_bytes, std::vector<std::byte>* into);

  Status Snapshot(const std::string& word);
  Status Revert(const std::string& word);
  // Waits for the record only, or for the merge too.
  Status DeleteRecorded(const std::string& word);
  Status Delete(const std::string& word);
  Status Expand(uint64_t size_bytes);
  // Copies snapshot `word` to `name`, as another volume of `size_bytes`.
  using OpenDisk = std::function<Result<std::unique_ptr<Directory>>()>;
  std::future<Status> StartCopy(const std::string& word, OpenDisk open_disk,
                                const std::string& name, uint64_t size_bytes,
                                std::function<void(double)> progress = {});
  std::future<void> StartCancel(const std::string& name);
  Result<uint64_t> Hold(uint32_t deadline_ms);
  bool Release(uint64_t hold);
  // Submitted before any later call; the bytes are kept until it is answered.
  std::future<ErrorCode> StartFill(uint64_t offset_bytes, uint64_t length_bytes, uint8_t value);
  Result<ReplicaInfo> Describe();
  // All pages, as "d4096@0 h8192@16384".
  std::string Diff(const std::string& older, const std::string& newer, uint32_t runs_max = 64);
  // One answer, as "=4096 d4096 h8192": as it was, changed, changed to zeros; or the error.
  std::string Changes(const std::string& since, const Extent& extent, uint32_t runs_max = 64);
  // The whole volume, as "d4096 h8192".
  std::string Allocation();

  // Runs `start` on the loop and waits until it calls what it is given.
  template <typename T>
  T Await(std::function<void(std::function<void(T)> done)> start);

 private:
  std::unique_ptr<LoopThread> thread_;
  std::unique_ptr<ReplicaDevice> device_;
};

}  // namespace aurochs::test
