// Keeps the memory of this process out of reach of paging: a data path that waits for a page to
// come back from a disk may be what that disk waits for.
//
// Thread: any.
#pragma once

#include "base/status.h"

namespace aurochs {

// Locks what the process has and will have, each page once it is touched, until the process ends.
// A failure changes nothing, and its message names the limit.
Status LockMemory();

}  // namespace aurochs
