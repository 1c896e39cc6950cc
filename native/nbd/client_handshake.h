// The client's side of the fixed newstyle handshake, for connections that the kernel's client goes
// on with. It understands simple replies alone and no TLS, so nothing of that is negotiated.
//
// Thread: any; blocks.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"

namespace aurochs::nbd {

// What the server says of an export.
struct NegotiatedExport {
  uint64_t size_bytes = 0;
  uint16_t transmission_flags = 0;
  uint32_t block_bytes_min = 1;  // as proto.md has it for a server that does not say

  bool operator==(const NegotiatedExport&) const = default;
};

// Brings a connected, blocking socket from the greeting to the transmission phase of `export_name`.
// The server is not believed: what it sends is bounded in size, number and time.
Result<NegotiatedExport> NegotiateAsClient(int fd, const std::string& export_name);

}  // namespace aurochs::nbd
