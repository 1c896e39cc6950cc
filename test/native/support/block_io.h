// Synchronous calls to a BlockDevice that completes inline, for tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "block/block_device.h"

namespace aurochs::test {

std::vector<std::byte> Bytes(size_t count, uint8_t value);
// Different bytes for different seeds, in every 512-byte sector.
std::vector<std::byte> Pattern(size_t count, uint8_t seed);

// What a request ended with; nothing while it is under way.
struct PendingIo {
  PendingIo(BlockDevice& device, IoOp op, Extent extent, std::vector<std::byte> data = {});
  PendingIo(const PendingIo&) = delete;
  PendingIo& operator=(const PendingIo&) = delete;
  void Submit() { device.Submit(&request); }

  BlockDevice& device;
  IoRequest request;
  std::vector<std::byte> bytes;
  iovec piece{};
  std::optional<ErrorCode> result;
  int completions = 0;
};

// REQUIRE: the device completes inside Submit.
ErrorCode WriteTo(BlockDevice& device, uint64_t offset_bytes, const std::vector<std::byte>& data);
std::vector<std::byte> ReadFrom(BlockDevice& device, uint64_t offset_bytes, size_t count);
ErrorCode RunIo(BlockDevice& device, IoOp op, Extent extent);
// "d8192 h4096": runs of data and hole with their lengths.
std::string RunsOf(BlockDevice& device, Extent extent, uint32_t runs_max = 64);

}  // namespace aurochs::test
