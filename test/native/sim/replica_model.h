// What a volume must read as, kept in memory: one tag for each sector. Where a snapshot was taken
// while a write was under way, a sector has two tags until a read tells which.
#pragma once

#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/units.h"

namespace aurochs::test {

using SectorTag = uint32_t;  // 0: zeros

inline void FillSector(std::byte* sector, SectorTag tag) {
  if (tag == 0) {
    std::memset(sector, 0, kSectorBytes);
    return;
  }
  uint64_t words[kSectorBytes / sizeof(uint64_t)];
  for (uint64_t i = 0; i < std::size(words); ++i) words[i] = (uint64_t{tag} << 32) + i;
  std::memcpy(sector, words, sizeof words);
}

// The tag a sector holds; UINT32_MAX if it is a mix.
inline SectorTag TagOf(const std::byte* sector) {
  uint64_t words[kSectorBytes / sizeof(uint64_t)];
  std::memcpy(words, sector, sizeof words);
  const auto tag = static_cast<SectorTag>(words[0] >> 32);
  uint64_t difference = 0;
  for (uint64_t i = 0; i < std::size(words); ++i) {
    difference |= words[i] ^ (tag == 0 ? 0 : (uint64_t{tag} << 32) + i);
  }
  return difference == 0 ? tag : UINT32_MAX;
}

class VolumeModel {
 public:
  struct Sector {
    SectorTag tag = 0;
    SectorTag other = 0;
  };

  explicit VolumeModel(uint64_t size_bytes) : sectors_(size_bytes / kSectorBytes) {}

  uint64_t sectors() const { return sectors_.size(); }
  void Grow(uint64_t size_bytes) { sectors_.resize(size_bytes / kSectorBytes); }
  void Set(uint64_t sector, SectorTag tag) { sectors_[sector] = {tag, tag}; }
  // A write of `tag` was under way when this state was taken.
  void MayBe(uint64_t sector, SectorTag tag) { sectors_[sector].other = tag; }
  const Sector& At(uint64_t sector) const { return sectors_[sector]; }
  // Whether the sector may hold `tag`; from now on it holds nothing else.
  bool Observe(uint64_t sector, SectorTag tag) {
    Sector& known = sectors_[sector];
    if (known.tag != tag && known.other != tag) return false;
    known = {tag, tag};
    return true;
  }

 private:
  std::vector<Sector> sectors_;
};

}  // namespace aurochs::test
