#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace aurochs {

void CheckFailed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "%s:%d: CHECK failed: %s\n", file, line, expression);
  std::abort();
}

void Unreachable(const char* where) {
  std::fprintf(stderr, "%s: value outside its enumeration\n", where);
  std::abort();
}

}  // namespace aurochs
