// TLS for NBD connections (proto.md, "TLS support"): version 1.2 at least, through the OpenSSL that
// the program is linked with.
#pragma once

#include <memory>

#include "base/status.h"
#include "base/unique_fd.h"
#include "nbd/server.h"
#include "nbd/stream.h"

namespace aurochs::nbd {

// Certificate, key and rules of one listener.
//
// Thread: any; it does not change after Load.
class TlsContext {
 public:
  // Fails with a message that names the file. Reads them now and never again.
  static Result<std::shared_ptr<const TlsContext>> Load(const TlsConfig& config);
  virtual ~TlsContext() = default;

  // The server's side of a connection whose next bytes are the client's hello. The TLS handshake
  // takes place inside Receive and Send; if it fails, the stream fails.
  virtual std::unique_ptr<Stream> Accept(UniqueFd socket) const = 0;
};

}  // namespace aurochs::nbd
