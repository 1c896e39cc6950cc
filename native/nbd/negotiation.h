// Carries one connection through the handshake phase: moves bytes between its socket and the
// Handshake, starts TLS, and ends what takes too long.
//
// Thread: the listener's loop.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "io/event_loop.h"
#include "nbd/connection_registry.h"
#include "nbd/handshake.h"
#include "nbd/stream.h"
#include "nbd/tls.h"

namespace aurochs::nbd {

// A connection on its way from the handshake to the transmission phase.
struct Handover {
  std::unique_ptr<Stream> stream;
  ConnectionRegistry::Ticket ticket;
  Agreement agreement;
  std::vector<std::byte> early_input;  // what came behind the last option
};

class Negotiation final : private FdHandler {
 public:
  // Called once, with the connection if it goes on. May destroy the negotiation.
  using OnEnd = std::function<void(Negotiation&, std::unique_ptr<Handover>)>;

  // `tls` is empty on listeners without it.
  Negotiation(EventLoop& loop, UniqueFd socket, ConnectionRegistry::Ticket ticket,
              const ExportCatalog& catalog, std::shared_ptr<const TlsContext> tls, TlsMode tls_mode,
              uint32_t timeout_ms, OnEnd on_end);
  ~Negotiation() = default;
  Negotiation(const Negotiation&) = delete;
  Negotiation& operator=(const Negotiation&) = delete;

  // Greets the client. `on_end` may run inside.
  void Start() { Advance(); }

 private:
  void OnReadable() override;
  void OnWritable() override { Advance(); }

  // Takes messages and sends answers until either has to wait. May destroy this.
  void Advance();
  bool SendOutput();
  // What the last message asked for, once its answer is sent. False if this has ended.
  bool Conclude();
  bool StartTls();
  void End(std::unique_ptr<Handover> handover);

  EventLoop& loop_;
  std::unique_ptr<Stream> stream_;
  ConnectionRegistry::Ticket ticket_;
  const std::shared_ptr<const TlsContext> tls_;
  Handshake handshake_;
  OnEnd on_end_;
  std::unique_ptr<FdWatch> watch_;
  Timer timeout_;
  Timer read_on_;

  std::vector<std::byte> input_;  // arrived and not yet taken; at most one option
  std::vector<std::byte> output_;
  Handshake::Outcome outcome_ = Handshake::Outcome::kNeedMore;  // of the last message
};

}  // namespace aurochs::nbd
