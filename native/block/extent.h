// A half-open range of bytes of a block device.
#pragma once

#include <cstdint>

namespace aurochs {

struct Extent {
  uint64_t offset_bytes = 0;
  uint64_t length_bytes = 0;

  // Only of an extent that lies inside a device, so that it cannot overflow.
  constexpr uint64_t end_bytes() const { return offset_bytes + length_bytes; }
  constexpr bool Overlaps(const Extent& other) const {
    return offset_bytes < other.end_bytes() && other.offset_bytes < end_bytes();
  }
  friend constexpr bool operator==(const Extent&, const Extent&) = default;
};

}  // namespace aurochs
