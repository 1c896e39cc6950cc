#include "support/allocation_count.h"

#include <malloc.h>

#include <atomic>
#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

namespace aurochs::test {
bool CanCountAllocations() {
  return false;
}
uint64_t AllocationCount() {
  return 0;
}
uint64_t HeapBytes() {
  return 0;
}
}  // namespace aurochs::test

#else

namespace {
std::atomic<uint64_t> g_allocations{0};

void* Allocate(std::size_t bytes) {
  g_allocations.fetch_add(1, std::memory_order_relaxed);
  void* memory = std::malloc(bytes == 0 ? 1 : bytes);
  if (memory == nullptr) std::abort();
  return memory;
}
}  // namespace

namespace aurochs::test {
bool CanCountAllocations() {
  return true;
}
uint64_t AllocationCount() {
  return g_allocations.load(std::memory_order_relaxed);
}
uint64_t HeapBytes() {
  const struct mallinfo2 info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}
}  // namespace aurochs::test

void* operator new(std::size_t bytes) {
  return Allocate(bytes);
}
void* operator new[](std::size_t bytes) {
  return Allocate(bytes);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}

#endif
