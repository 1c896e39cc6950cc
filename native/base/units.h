// Sizes, and block arithmetic that every layer needs.
#pragma once

#include <cstdint>

namespace aurochs {

inline constexpr uint64_t kKiB = 1024;
inline constexpr uint64_t kMiB = 1024 * kKiB;
inline constexpr uint64_t kGiB = 1024 * kMiB;
inline constexpr uint64_t kTiB = 1024 * kGiB;

inline constexpr uint32_t kSectorBytes = 512;  // logical block of a volume
inline constexpr uint32_t kBlockBytes = 4096;  // physical block: the grain of layers and maps

constexpr uint64_t AlignDown(uint64_t value, uint64_t alignment) {
  return value - value % alignment;
}
constexpr uint64_t AlignUp(uint64_t value, uint64_t alignment) {
  return AlignDown(value + alignment - 1, alignment);
}
constexpr bool IsAligned(uint64_t value, uint64_t alignment) {
  return value % alignment == 0;
}

}  // namespace aurochs
