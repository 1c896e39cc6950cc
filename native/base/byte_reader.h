// Reads integers from bytes, field by field. The only place that decodes integers of wires and
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
T LoadBigEndian(const std::byte* from) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value =
        static_cast<T>((static_cast<uint64_t>(value) << 8) | std::to_integer<uint64_t>(from[i]));
  }
  return value;
}

// In the byte order of this machine, which is what the kernel speaks over netlink.
template <std::unsigned_integral T>
T LoadHostOrder(const std::byte* from) {
  T value = 0;
  std::copy_n(from, sizeof value, reinterpret_cast<std::byte*>(&value));
  return value;
}

// A cursor over big-endian bytes. Reading past the end is a bug of the caller, who checks
// remaining() before believing a length that somebody else sent.
class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  size_t remaining() const { return bytes_.size(); }
  bool AtEnd() const { return bytes_.empty(); }
  uint8_t U8() { return Take<uint8_t>(); }
  uint16_t U16() { return Take<uint16_t>(); }
  uint32_t U32() { return Take<uint32_t>(); }
  uint64_t U64() { return Take<uint64_t>(); }
  std::span<const std::byte> Bytes(size_t count) {
    CHECK(count <= bytes_.size());
    auto taken = bytes_.first(count);
    bytes_ = bytes_.subspan(count);
    return taken;
  }
  void Skip(size_t count) { (void)Bytes(count); }

 private:
  template <typename T>
  T Take() {
    return LoadBigEndian<T>(Bytes(sizeof(T)).data());
  }

  std::span<const std::byte> bytes_;
};

}  // namespace aurochs
