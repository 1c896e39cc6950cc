#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

#include "base/limits.h"
#include "replica/block_map.h"
#include "support/allocation_count.h"

namespace aurochs {
namespace {

RegionSources AllFrom(LayerSlot slot) {
  RegionSources sources;
  sources.fill(slot);
  return sources;
}

// Runs of 64 KiB, from layers 1 and 2 in turn.
RegionSources PiecesOf64KiB() {
  RegionSources sources;
  for (uint32_t block = 0; block < kRegionBlocks; ++block) sources[block] = 1 + block / 16 % 2;
  return sources;
}

TEST(BlockMap, AnswersAsTheLastChangeSaysWhateverTheForm) {
  constexpr uint64_t kRegions = 3;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    std::mt19937_64 random(seed);
    BlockMap map(kBlockMapBytesMax);
    std::map<uint64_t, RegionSources> expected;
    for (uint64_t region = 0; region < kRegions; ++region) {
      expected[region] = AllFrom(kSlotZeros);
      map.Insert(region * 1000, expected[region]);
    }
    for (int change = 0; change < 3000; ++change) {
      const uint64_t region = random() % kRegions;
      const uint32_t grain = 1u << (random() % 7);
      const auto first = static_cast<uint32_t>(random() % kRegionBlocks / grain * grain);
      const uint32_t end = std::min<uint32_t>(
          kRegionBlocks, first + grain * static_cast<uint32_t>(1 + random() % 4));
      const auto slot = static_cast<LayerSlot>(random() % 4);
      const LayerSlot source = slot == 3 ? kSlotZeros : slot;
      map.Set(region * 1000, first, end, source);
      std::fill(expected[region].begin() + first, expected[region].begin() + end, source);
      if (change % 50 != 0) continue;
      for (uint64_t checked = 0; checked < kRegions; ++checked) {
        for (uint32_t block = 0; block < kRegionBlocks;) {
          const auto run = map.RunAt(checked * 1000, block, kRegionBlocks);
          ASSERT_GT(run.end_block, block);
          for (; block < run.end_block; ++block) {
            ASSERT_EQ(run.source, expected[checked][block])
                << "seed " << seed << " block " << block;
          }
        }
      }
    }
  }
}

TEST(BlockMap, TakesAFewBytesForARegionWithOneAnswer) {
  BlockMap map(kBlockMapBytesMax);
  for (uint64_t region = 0; region < 256 * kKiB; ++region) map.Insert(region, AllFrom(7));
  EXPECT_LE(map.bytes(), 256 * kKiB * 48);  // 1 TiB: 12 MiB
}

TEST(BlockMap, Takes128MiBAtMostForATebibyteWrittenIn64KiBPieces) {
  // Holes between the pieces, so that a TiB of data is spread over two.
  constexpr uint64_t kRegions = 2 * kTiB / kRegionBytes;
  const uint64_t heap_before = test::HeapBytes();
  BlockMap map(UINT64_MAX);
  RegionSources sources = PiecesOf64KiB();
  std::replace(sources.begin(), sources.end(), LayerSlot{2}, kSlotZeros);
  for (uint64_t region = 0; region < kRegions; ++region) map.Insert(region, sources);
  EXPECT_LE(map.bytes(), 128 * kMiB);
  if (test::CanCountAllocations()) {
    EXPECT_LE(test::HeapBytes() - heap_before, map.bytes()) << "it takes more than it counts";
  }
}

TEST(BlockMap, StaysBelowItsBoundAndKeepsWhatIsUsed) {
  constexpr uint64_t kBound = 1 * kMiB;
  BlockMap map(kBound);
  map.Insert(0, PiecesOf64KiB());
  for (uint64_t region = 1; region < 50'000; ++region) {
    map.Insert(region, PiecesOf64KiB());
    ASSERT_TRUE(map.Has(region)) << "what was just learnt is used next";
    ASSERT_LE(map.bytes(), kBound);
    ASSERT_TRUE(map.Has(0)) << "a region in use was forgotten at " << region;
    (void)map.RunAt(0, 0, 1);
  }
  EXPECT_FALSE(map.Has(1));
}

TEST(BlockMap, GrowsNoFurtherThanItsBoundByChanges) {
  constexpr uint64_t kBound = 64 * kKiB;
  BlockMap map(kBound);
  for (uint64_t region = 0; region < 200; ++region) map.Insert(region, AllFrom(1));
  for (uint64_t region = 0; region < 200; ++region) {
    for (uint32_t block = 0; block < kRegionBlocks; block += 2) {
      map.Set(region, block, block + 1, 2);
    }
    ASSERT_LE(map.bytes(), kBound);
  }
}

TEST(BlockMap, ForgetsOnErase) {
  BlockMap map(kBlockMapBytesMax);
  map.Insert(5, AllFrom(1));
  map.Erase(5);
  EXPECT_FALSE(map.Has(5));
  map.Set(5, 0, 1, 2);  // Nothing is known, so nothing is noted.
  EXPECT_FALSE(map.Has(5));
}

}  // namespace
}  // namespace aurochs
