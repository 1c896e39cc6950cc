// Counts what the process takes from operator new, for tests of paths that must not allocate.
#pragma once

#include <cstdint>

namespace aurochs::test {

// False where a sanitizer owns the allocator; the count then stays 0.
bool CanCountAllocations();
uint64_t AllocationCount();

}  // namespace aurochs::test
