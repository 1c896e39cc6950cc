// The only place where our errors become NBD errors (proto.md, "Error values").
#pragma once

#include "base/status.h"
#include "nbd/spec.h"

namespace aurochs::nbd {

// The closed list of proto.md has eight values; what fits none of them is EIO, so that the client
// treats the data as not written or not read.
NbdError NbdErrorFor(ErrorCode code);

}  // namespace aurochs::nbd
