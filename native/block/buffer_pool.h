// Data buffers, aligned to 4 KiB so that they suit direct I/O, recycled so that the hot path does
// not allocate. Every loop thread has one pool, shared by all volumes on it: what idle volumes keep
// is then nothing.
//
// Thread: a pool and its buffers belong to the thread that made them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/limits.h"
#include "base/units.h"

namespace aurochs {

class BufferPool;

// One buffer; goes back to its pool when it ends. The bytes are whatever the last user left.
class PooledBuffer {
 public:
  PooledBuffer() = default;
  PooledBuffer(PooledBuffer&& other) noexcept;
  PooledBuffer& operator=(PooledBuffer&& other) noexcept;
  ~PooledBuffer() { Reset(); }

  std::byte* data() const { return data_; }
  size_t size() const { return size_bytes_; }  // as asked for; the class may hold more
  std::span<std::byte> bytes() const { return {data_, size_bytes_}; }
  explicit operator bool() const { return data_ != nullptr; }
  void Reset();

 private:
  friend class BufferPool;
  BufferPool* pool_ = nullptr;
  std::byte* data_ = nullptr;
  size_t size_bytes_ = 0;
  uint32_t size_class_ = 0;
};

class BufferPool {
 public:
  // The pool of the calling thread.
  static BufferPool& OfThisThread();

  BufferPool() = default;
  ~BufferPool();  // CHECKs that every buffer is back.
  BufferPool(const BufferPool&) = delete;
  BufferPool& operator=(const BufferPool&) = delete;

  // `size_bytes` is at most kRequestBytesMax. Empty only when the process has no memory left.
  PooledBuffer Allocate(size_t size_bytes);

  uint64_t cached_bytes() const { return cached_bytes_; }

 private:
  friend class PooledBuffer;
  static constexpr uint32_t kClasses = 14;  // 4 KiB << 0 ... 4 KiB << 13 = 32 MiB
  static_assert((uint64_t{kBlockBytes} << (kClasses - 1)) >= kRequestBytesMax);

  // A cached buffer holds the link to the next one in its own first bytes.
  struct FreeBuffer {
    FreeBuffer* next;
  };

  void GiveBack(std::byte* data, uint32_t size_class);

  std::array<FreeBuffer*, kClasses> free_{};
  uint64_t cached_bytes_ = 0;
  uint64_t outstanding_ = 0;
};

}  // namespace aurochs
