// One connection in the transmission phase: moves bytes between its socket and a Transmission, and
// ends when the client, the network or the export does.
//
// Thread: the export's loop.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "io/event_loop.h"
#include "nbd/negotiation.h"
#include "nbd/stream.h"
#include "nbd/transmission.h"

namespace aurochs::nbd {

class Connection final : private FdHandler, private TurnEndTask, private Transmission::Observer {
 public:
  // Called once, last, when nothing of it is in the device any more. Destroys the connection.
  using OnClosed = std::function<void()>;

  Connection(EventLoop& loop, BlockDevice& device, std::unique_ptr<Handover> handover,
             OnClosed on_closed);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Takes no more requests, answers those in flight and closes. A client that does not take its
  // answers within kNbdDrainTimeoutMs loses them.
  void Drain();

 private:
  enum class Phase : uint8_t {
    kServing,
    kDraining,  // no more input; replies are sent
    kFailed,    // no more input or output; the device still has requests
    kClosed,
  };

  void OnReadable() override;
  void OnWritable() override;
  void OnTurnEnd() override;  // May destroy this.
  void OnReplyReady() override { loop_.RunAtTurnEnd(*this); }

  void Receive();
  void SendReplies();
  void OnDrainTimeout();
  void MoveTo(Phase next);
  void Fail();

  EventLoop& loop_;
  const std::unique_ptr<Stream> stream_;
  const ConnectionRegistry::Ticket ticket_;
  OnClosed on_closed_;
  Transmission transmission_;
  FdWatch watch_;
  Timer drain_timeout_;
  Phase phase_ = Phase::kServing;
  bool output_blocked_ = false;  // the socket takes nothing until it is writable
};

}  // namespace aurochs::nbd
