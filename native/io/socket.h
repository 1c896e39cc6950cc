// Stream sockets as text names them: "HOST:PORT", "[::1]:PORT" or "unix:PATH".
//
// Every socket made here or handed out by a Listener is close-on-exec and, unless said otherwise,
// non-blocking; TCP ones send without delay and notice a peer that is gone. Send with MSG_NOSIGNAL:
// a peer may hang up any time.
//
// Thread: any.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/status.h"
#include "base/unique_fd.h"

namespace aurochs {

// A bound socket that listens. Connections wait in it until a Listener takes them.
struct ListeningSocket {
  UniqueFd fd;
  std::string address;    // in use, in the form above: port 0 has become the port that was free
  std::string unix_path;  // empty for TCP
  ino_t unix_inode = 0;   // of the socket file, so that a successor's file is never removed
};

// Listens on `address`. HOST is a numeric address or a name, for which the resolver may block.
// kInvalidArgument if the text is none of the forms, kBusy (naming the address) if somebody listens
// there. A socket file that nobody serves any more is replaced; any other file is left alone.
// A socket file is for its owner only (mode 0600).
Result<ListeningSocket> OpenListeningSocket(const std::string& address);

// A connection to `address`, made and used with blocking calls, of which each fails after
// `timeout_ms`. kUnavailable, naming the address, if nobody listens there.
Result<UniqueFd> ConnectSocket(const std::string& address, uint32_t timeout_ms);

// Sets how long one send or receive on a blocking socket may take; 0 is for ever.
Status SetSocketTimeouts(int fd, uint32_t timeout_ms);

// The addresses of the two ends of a socket, as text; "unix:PATH" of a UNIX socket without a name
// is "unix:". For messages and lists: what cannot be found out is "unknown".
std::string LocalAddressText(int fd);
std::string PeerAddressText(int fd);

}  // namespace aurochs
