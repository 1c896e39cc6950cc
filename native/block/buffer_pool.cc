#include "block/buffer_pool.h"

#include <bit>
#include <cstdlib>
#include <new>
#include <utility>

#include "base/check.h"

namespace aurochs {
namespace {

uint64_t ClassBytes(uint32_t size_class) {
  return uint64_t{kBlockBytes} << size_class;
}

uint32_t ClassFor(size_t size_bytes) {
  const uint64_t blocks = AlignUp(size_bytes, kBlockBytes) / kBlockBytes;
  return blocks <= 1 ? 0 : static_cast<uint32_t>(std::bit_width(blocks - 1));
}

}  // namespace

PooledBuffer::PooledBuffer(PooledBuffer&& other) noexcept {
  *this = std::move(other);
}

PooledBuffer& PooledBuffer::operator=(PooledBuffer&& other) noexcept {
  if (this == &other) return *this;
  Reset();
  pool_ = std::exchange(other.pool_, nullptr);
  data_ = std::exchange(other.data_, nullptr);
  size_bytes_ = std::exchange(other.size_bytes_, 0);
  size_class_ = other.size_class_;
  return *this;
}

void PooledBuffer::Reset() {
  if (data_ != nullptr) pool_->GiveBack(data_, size_class_);
  data_ = nullptr;
  size_bytes_ = 0;
}

BufferPool& BufferPool::OfThisThread() {
  static thread_local BufferPool pool;
  return pool;
}

BufferPool::~BufferPool() {
  CHECK(outstanding_ == 0);
  for (FreeBuffer* head : free_) {
    while (head != nullptr) std::free(std::exchange(head, head->next));
  }
}

PooledBuffer BufferPool::Allocate(size_t size_bytes) {
  CHECK(size_bytes <= kRequestBytesMax);
  const uint32_t size_class = ClassFor(size_bytes);
  void* memory = free_[size_class];
  if (memory != nullptr) {
    free_[size_class] = free_[size_class]->next;
    cached_bytes_ -= ClassBytes(size_class);
  } else {
    memory = std::aligned_alloc(kBlockBytes, ClassBytes(size_class));
    if (memory == nullptr) return {};
  }
  ++outstanding_;
  PooledBuffer buffer;
  buffer.pool_ = this;
  buffer.data_ = static_cast<std::byte*>(memory);
  buffer.size_bytes_ = size_bytes;
  buffer.size_class_ = size_class;
  return buffer;
}

void BufferPool::GiveBack(std::byte* data, uint32_t size_class) {
  CHECK(outstanding_ > 0);
  --outstanding_;
  if (cached_bytes_ + ClassBytes(size_class) > kBufferPoolCachedBytesMax) {
    std::free(data);
    return;
  }
  free_[size_class] = new (data) FreeBuffer{free_[size_class]};
  cached_bytes_ += ClassBytes(size_class);
}

}  // namespace aurochs
