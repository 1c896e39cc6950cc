// Keeps the program out of reach of paging: a data path that waits for a page of its own code to
// come back from a disk may be what that disk waits for.
//
// Thread: any.
#pragma once

#include "base/status.h"

namespace aurochs {

// Locks what is mapped of files (program and libraries), each page once it is touched, until the
// process ends. Not what it has allocated: V8 gives pages of its heap back with MADV_DONTNEED,
// which the kernel refuses for locked ones, and V8 ends the process for that. The systemd unit
// keeps allocated memory out of swap (MemorySwapMax=0). A failure changes nothing that matters, and
// its message names the limit.
Status LockProgram();

}  // namespace aurochs
