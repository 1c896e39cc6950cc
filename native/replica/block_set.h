// A set of blocks of one region.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

#include "base/check.h"
#include "base/limits.h"

namespace aurochs {

inline constexpr uint32_t kRegionBlocks = kRegionBytes / kBlockBytes;

class BlockSet {
 public:
  bool Has(uint32_t block) const { return ((words_[block / 64] >> (block % 64)) & 1) != 0; }

  void AddRange(uint32_t first, uint32_t end) {
    CHECK(first <= end && end <= kRegionBlocks);
    while (first < end) {
      const uint32_t bit = first % 64;
      const uint32_t count = std::min(64 - bit, end - first);
      const uint64_t ones = count == 64 ? ~uint64_t{0} : (uint64_t{1} << count) - 1;
      words_[first / 64] |= ones << bit;
      first += count;
    }
  }
  // Adds the blocks whose bits are set: bit i % 8 of byte i / 8.
  void AddBits(const std::array<std::byte, kRegionBlocks / 8>& bits) {
    for (uint32_t i = 0; i < bits.size(); ++i) {
      words_[i / 8] |= std::to_integer<uint64_t>(bits[i]) << (i % 8 * 8);
    }
  }
  void Add(const BlockSet& other) {
    for (uint32_t i = 0; i < words_.size(); ++i) words_[i] |= other.words_[i];
  }
  void Remove(const BlockSet& other) {
    for (uint32_t i = 0; i < words_.size(); ++i) words_[i] &= ~other.words_[i];
  }

  bool empty() const {
    for (uint64_t word : words_) {
      if (word != 0) return false;
    }
    return true;
  }
  bool full() const {
    for (uint64_t word : words_) {
      if (word != ~uint64_t{0}) return false;
    }
    return true;
  }

  // The first block at or after `from` that is (`member`) or is not in the set; kRegionBlocks if
  // none.
  uint32_t Next(uint32_t from, bool member) const {
    while (from < kRegionBlocks) {
      const uint64_t word = member ? words_[from / 64] : ~words_[from / 64];
      const uint64_t rest = word >> (from % 64);
      if (rest != 0) return from + static_cast<uint32_t>(std::countr_zero(rest));
      from = (from / 64 + 1) * 64;
    }
    return kRegionBlocks;
  }

  // Calls visit(first, end) for each run of members.
  template <typename Visit>
  void ForEachRun(Visit visit) const {
    for (uint32_t first = Next(0, true); first < kRegionBlocks;) {
      const uint32_t end = Next(first, false);
      visit(first, end);
      first = Next(end, true);
    }
  }

 private:
  std::array<uint64_t, kRegionBlocks / 64> words_{};
};

}  // namespace aurochs
