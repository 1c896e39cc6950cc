#include "host/memory_lock.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <cerrno>
#include <string>

namespace aurochs {

Status LockMemory() {
  if (::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0) return Status::Ok();
  const Status failed = Status::FromErrno(errno, "lock the memory of the process");
  rlimit limit{};
  (void)::getrlimit(RLIMIT_MEMLOCK, &limit);
  const std::string allowed = limit.rlim_cur == RLIM_INFINITY
                                  ? std::string("unlimited")
                                  : std::to_string(limit.rlim_cur) + " bytes";
  return {failed.code(), failed.message() + " (RLIMIT_MEMLOCK is " + allowed +
                             "); set LimitMEMLOCK=infinity in the systemd unit, or grant"
                             " CAP_IPC_LOCK"};
}

}  // namespace aurochs
