// CHECK states what our own code guarantees and stays on in production: going on with a broken
// promise can lose data, stopping cannot. DCHECK is for what is too costly to check always.
#pragma once

namespace aurochs {

// Prints the message with its place to standard error and aborts.
[[noreturn]] void CheckFailed(const char* expression, const char* file, int line);
// Marks the end of a switch that covers every enumerator.
[[noreturn]] void Unreachable(const char* where);

}  // namespace aurochs

#define CHECK(expression)                                      \
  do {                                                         \
    if (!(expression)) [[unlikely]]                            \
      ::aurochs::CheckFailed(#expression, __FILE__, __LINE__); \
  } while (false)

#ifdef NDEBUG
#define DCHECK(expression) \
  do {                     \
  } while (false && (expression))
#else
#define DCHECK(expression) CHECK(expression)
#endif
