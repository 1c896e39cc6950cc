#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <string>

#include "host/memory_lock.h"

namespace aurochs {
namespace {

// The sanitizers' runtime answers every lock with success and does nothing.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kLocksAreReal = false;
#else
constexpr bool kLocksAreReal = true;
#endif

// In a child, because a lock stays until the process ends. Returns its exit status.
int RunInChild(const std::function<int()>& body) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(body());
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::string LockedMemory() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmLck:")) return line;
  }
  return "";
}

TEST(LockProgram, LocksWhatIsMappedOfFilesOrNamesTheLimit) {
  if (!kLocksAreReal) GTEST_SKIP() << "not under a sanitizer";
  EXPECT_EQ(RunInChild([] {
              const Status locked = LockProgram();
              if (locked.ok()) return LockedMemory().find(" 0 kB") == std::string::npos ? 0 : 1;
              return locked.message().find("RLIMIT_MEMLOCK") == std::string::npos ? 2 : 0;
            }),
            0);
}

TEST(LockProgram, LetsTheProcessGiveAllocatedMemoryBack) {
  if (!kLocksAreReal) GTEST_SKIP() << "not under a sanitizer";
  EXPECT_EQ(RunInChild([] {
              constexpr size_t kBytes = 65536;
              (void)LockProgram();
              void* memory = ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
              return ::madvise(memory, kBytes, MADV_DONTNEED) == 0 ? 0 : 1;
            }),
            0);
}

TEST(LockProgram, NamesTheLimitThatForbidsIt) {
  if (!kLocksAreReal) GTEST_SKIP() << "not under a sanitizer";
  EXPECT_EQ(RunInChild([] {
              const rlimit none{};
              if (::setrlimit(RLIMIT_MEMLOCK, &none) != 0) return 1;
              if (::geteuid() == 0 && ::setuid(65534) != 0) return 2;  // root is above the limit
              const Status locked = LockProgram();
              if (locked.ok()) return 3;
              return locked.message().find("RLIMIT_MEMLOCK is 0 bytes") == std::string::npos ? 4
                                                                                             : 0;
            }),
            0);
}

}  // namespace
}  // namespace aurochs
