// The bytes of one connection, in clear text or through TLS. Never waits.
//
// Thread:    that of its owner; it may move to another one between calls.
// Ownership: owns the socket.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/unique_fd.h"

namespace aurochs::nbd {

// What one call could do without waiting.
struct Transfer {
  enum class State : uint8_t {
    kOpen,    // `bytes` may be 0: nothing more at the moment
    kEnded,   // the peer will send nothing more
    kFailed,  // the connection is of no use any more
  };
  size_t bytes = 0;
  State state = State::kOpen;
};

class Stream {
 public:
  virtual ~Stream() = default;

  virtual int fd() const = 0;

  // Fills `into`, from its beginning, with what has arrived.
  virtual Transfer Receive(std::span<const iovec> into) = 0;
  // Whether bytes have arrived that the last Receive had no space for; readiness of the socket does
  // not tell of them.
  virtual bool HasReceived() const = 0;

  // Takes bytes from the front of `from`. The result counts those that need not be passed again.
  virtual Transfer Send(std::span<const iovec> from) = 0;
  // Whether bytes that Send has taken wait inside: call Send, with nothing if need be, when the
  // socket is writable.
  virtual bool HasUnsent() const = 0;

  // Gives the socket away; the stream is of no use any more.
  virtual UniqueFd ReleaseSocket() = 0;

  // Says to the peer, as far as that is possible without waiting, that nothing more will come.
  virtual void EndOutput() = 0;
};

// `socket` is connected and non-blocking.
std::unique_ptr<Stream> CreatePlainStream(UniqueFd socket);

// The calls under it, with their errors as a Transfer.
Transfer ReceiveFromSocket(int fd, std::span<const iovec> into);
Transfer SendToSocket(int fd, std::span<const iovec> from);

}  // namespace aurochs::nbd
