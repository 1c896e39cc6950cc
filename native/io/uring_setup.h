// Making an io_uring, and finding out whether one can be made. Private to io/.
#pragma once

#include <liburing.h>

#include <cstdint>

#include "base/status.h"

namespace aurochs {

// A disabled ring, with the cheapest way of delivering completions that the kernel knows. The
// thread that enables it must be the only one to use it.
Status SetUpRing(uint32_t entries, uint32_t completions, io_uring& ring);

// Whether this process may make a ring that can do what the loop needs; tries it anew every time.
Status ProbeIoUring();

}  // namespace aurochs
