#include <gtest/gtest.h>

#include <cstring>
#include <utility>
#include <vector>

#include "block/buffer_pool.h"

namespace aurochs {
namespace {

TEST(BufferPool, GivesAlignedBuffersOfAnySizeUpToTheLimit) {
  BufferPool pool;
  for (size_t size : {size_t{0}, size_t{1}, size_t{512}, size_t{4096}, size_t{4097}, size_t{131072},
                      size_t{kRequestBytesMax}}) {
    PooledBuffer buffer = pool.Allocate(size);
    ASSERT_TRUE(buffer);
    EXPECT_EQ(buffer.size(), size);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % kBlockBytes, 0u);
    std::memset(buffer.data(), 0xff, size);
  }
}

TEST(BufferPool, ReusesTheBufferThatCameBackLast) {
  BufferPool pool;
  PooledBuffer buffer = pool.Allocate(8192);
  const std::byte* before = buffer.data();
  buffer.Reset();
  EXPECT_EQ(pool.cached_bytes(), 8192u);
  EXPECT_EQ(pool.Allocate(5000).data(), before);
}

TEST(BufferPool, KeepsNoMoreThanItsBound) {
  BufferPool pool;
  std::vector<PooledBuffer> buffers;
  for (int i = 0; i < 3; ++i) buffers.push_back(pool.Allocate(kRequestBytesMax / 2));
  buffers.clear();
  EXPECT_EQ(pool.cached_bytes(), kBufferPoolCachedBytesMax);
}

TEST(BufferPool, BuffersMoveWithoutBeingGivenBackTwice) {
  BufferPool pool;
  PooledBuffer first = pool.Allocate(4096);
  PooledBuffer second = std::move(first);
  EXPECT_FALSE(first);
  EXPECT_TRUE(second);
  second = pool.Allocate(100);
  EXPECT_EQ(pool.cached_bytes(), 4096u);
}

}  // namespace
}  // namespace aurochs
