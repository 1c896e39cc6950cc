// Accepts the connections of one listening socket on one loop.
//
// When the process or the machine is out of descriptors or memory, accepting pauses for
// kAcceptPauseMs at a time: clients wait in the kernel's queue, and those that are connected are
// served on.
//
// Thread:    the loop's.
// Ownership: owns the socket; ends the socket file with it.
#pragma once

#include <functional>
#include <string>

#include "base/unique_fd.h"
#include "io/event_loop.h"
#include "io/socket.h"

namespace aurochs {

class Listener final : private FdHandler {
 public:
  // Gets each connection, and the peer's address for messages. May destroy the listener.
  using OnAccept = std::function<void(UniqueFd socket, std::string peer_address)>;

  Listener(EventLoop& loop, ListeningSocket socket, OnAccept on_accept);
  ~Listener();  // Stops listening. No call follows.
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  const std::string& address() const { return socket_.address; }

 private:
  void OnReadable() override;
  void OnWritable() override {}
  void Pause(int error_number);

  ListeningSocket socket_;
  OnAccept on_accept_;
  FdWatch watch_;
  Timer resume_;
  bool paused_before_ = false;         // and not accepted since: one line in the log is enough
  bool* destroyed_in_call_ = nullptr;  // set while on_accept_ runs
};

}  // namespace aurochs
