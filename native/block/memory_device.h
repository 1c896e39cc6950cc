// A thin volume in memory, for tests and for measuring a frontend without a disk. Takes memory for
// what was written only, in blocks of 4 KiB, and tells truthfully which blocks those are.
//
// Thread: the device's loop. Every request completes inside Submit.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "block/block_device.h"

namespace aurochs {

class MemoryDevice : public BlockDevice {
 public:
  // `info` says what the device reports; a read-only one refuses writes with kReadOnly, one that
  // cannot unmap refuses kUnmap with kUnsupported.
  explicit MemoryDevice(const DeviceInfo& info) : info_(info) {}

  const DeviceInfo& info() const override { return info_; }
  void Submit(IoRequest* request) override;
  void Submit(AllocationQuery* query) override;

  // Grows the device and tells the observers.
  void Expand(uint64_t size_bytes);
  uint64_t allocated_bytes() const { return allocated_blocks_ * kBlockBytes; }

 private:
  static constexpr uint64_t kPageBytes = 64 * kKiB;
  static constexpr uint64_t kBlocksPerPage = kPageBytes / kBlockBytes;

  struct Page {
    uint32_t allocated = 0;  // one bit per block; the other blocks are zeros
    std::array<std::byte, kPageBytes> bytes{};
  };

  ErrorCode Execute(const IoRequest& request);
  void Read(Extent extent, std::span<const iovec> iov) const;
  void Write(Extent extent, std::span<const iovec> iov);
  void WriteZeroes(Extent extent);
  void Unmap(Extent extent);
  void UnmapInPage(uint64_t offset_bytes, uint64_t length_bytes);
  Page& PageFor(uint64_t offset_bytes);
  // Marks the blocks that the range touches; it lies in one page.
  void Allocate(Page& page, uint64_t offset_bytes, uint64_t length_bytes);
  // The first run at `offset_bytes`, at most `length_bytes` long.
  AllocationRun RunAt(uint64_t offset_bytes, uint64_t length_bytes) const;

  DeviceInfo info_;
  std::map<uint64_t, std::unique_ptr<Page>> pages_;  // by offset / kPageBytes
  uint64_t allocated_blocks_ = 0;
};

}  // namespace aurochs
