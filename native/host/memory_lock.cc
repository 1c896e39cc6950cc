#include "host/memory_lock.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <cerrno>
#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

namespace aurochs {

namespace {

// What cannot be locked, and what to do about it.
Status LockRefused(int error) {
  const Status failed = Status::FromErrno(error, "lock the program in memory");
  rlimit limit{};
  (void)::getrlimit(RLIMIT_MEMLOCK, &limit);
  const std::string allowed = limit.rlim_cur == RLIM_INFINITY
                                  ? std::string("unlimited")
                                  : std::to_string(limit.rlim_cur) + " bytes";
  return {failed.code(), failed.message() + " (RLIMIT_MEMLOCK is " + allowed +
                             "); set LimitMEMLOCK=infinity in the systemd unit, or grant"
                             " CAP_IPC_LOCK"};
}

}  // namespace

Status LockProgram() {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    uintptr_t begin = 0;
    uintptr_t end = 0;
    int path = 0;
    // proc_pid_maps(5): range, permissions, offset, device, inode, and a path where there is a
    // file.
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " %*s %*s %*s %*s %n", &begin, &end,
                    &path) != 2 ||
        !line.substr(static_cast<size_t>(path)).starts_with('/')) {
      continue;
    }
    void* mapping = reinterpret_cast<void*>(begin);  // NOLINT(performance-no-int-to-ptr)
    if (::mlock2(mapping, end - begin, MLOCK_ONFAULT) != 0) return LockRefused(errno);
  }
  return Status::Ok();
}

}  // namespace aurochs
