// Counts what the process takes from its heap, for tests of paths that must not allocate and of
// structures that must stay small.
#pragma once

#include <cstdint>

namespace aurochs::test {

// False where a sanitizer owns the allocator; the counts then stay 0.
bool CanCountAllocations();
// Calls of operator new since the start.
uint64_t AllocationCount();
// Bytes in use on the heap now, with what the allocator adds.
uint64_t HeapBytes();

}  // namespace aurochs::test
