// Writes integers to bytes, field by field. The only place that encodes integers for wires and
// disks.
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/check.h"

namespace aurochs {

template <std::unsigned_integral T>
void StoreBigEndian(std::byte* to, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) {
    to[i] = static_cast<std::byte>(static_cast<uint64_t>(value) >> (8 * (sizeof(T) - 1 - i)));
  }
}

// In the byte order of this machine, which is what the kernel speaks over netlink.
template <std::unsigned_integral T>
void StoreHostOrder(std::byte* to, T value) {
  std::copy_n(reinterpret_cast<const std::byte*>(&value), sizeof value, to);
}

// A cursor that fills a buffer with big-endian fields. Writing past the end is a bug of the caller.
class ByteWriter {
 public:
  explicit ByteWriter(std::span<std::byte> bytes) : bytes_(bytes) {}

  size_t remaining() const { return bytes_.size(); }
  bool AtEnd() const { return bytes_.empty(); }
  void U8(uint8_t value) { Put(value); }
  void U16(uint16_t value) { Put(value); }
  void U32(uint32_t value) { Put(value); }
  void U64(uint64_t value) { Put(value); }
  void Bytes(std::span<const std::byte> from) {
    std::copy(from.begin(), from.end(), Claim(from.size()).begin());
  }
  void Zeros(size_t count) {
    auto room = Claim(count);
    std::fill(room.begin(), room.end(), std::byte{0});
  }

 private:
  std::span<std::byte> Claim(size_t count) {
    CHECK(count <= bytes_.size());
    auto claimed = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return claimed;
  }
  template <typename T>
  void Put(T value) {
    StoreBigEndian<T>(Claim(sizeof(T)).data(), value);
  }

  std::span<std::byte> bytes_;
};

}  // namespace aurochs
