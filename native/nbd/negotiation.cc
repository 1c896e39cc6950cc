#include "nbd/negotiation.h"

#include <array>
#include <utility>

#include "base/limits.h"
#include "base/log.h"
#include "nbd/spec.h"

namespace aurochs::nbd {
namespace {

constexpr size_t kReceiveBytes = 4 * kKiB;

}  // namespace

Negotiation::Negotiation(EventLoop& loop, UniqueFd socket, ConnectionRegistry::Ticket ticket,
                         const ExportCatalog& catalog, std::shared_ptr<const TlsContext> tls,
                         TlsMode tls_mode, uint32_t timeout_ms, OnEnd on_end)
    : loop_(loop),
      stream_(CreatePlainStream(std::move(socket))),
      ticket_(std::move(ticket)),
      tls_(std::move(tls)),
      handshake_(catalog, tls_mode),
      on_end_(std::move(on_end)),
      watch_(new FdWatch(loop_, stream_->fd(), *this)),
      timeout_(loop_, [this] { End(nullptr); }),
      read_on_(loop_, [this] { OnReadable(); }) {
  handshake_.Greet(output_);
  timeout_.Start(timeout_ms);
}

void Negotiation::OnReadable() {
  // All that Handshake needs at once, and a little: what is longer it passes over.
  constexpr size_t kInputBytesMax = kOptionHeaderBytes + kNbdOptionBytesMax + kReceiveBytes;
  Transfer got;
  do {
    const size_t before = input_.size();
    CHECK(before + kReceiveBytes <= kInputBytesMax);
    input_.resize(before + kReceiveBytes);
    const iovec space{input_.data() + before, kReceiveBytes};
    got = stream_->Receive(std::span(&space, 1));
    input_.resize(before + got.bytes);
  } while (stream_->HasReceived() && input_.size() + kReceiveBytes <= kInputBytesMax);

  const bool ended = got.state == Transfer::State::kEnded && got.bytes == 0;
  if (ended || got.state == Transfer::State::kFailed) {
    End(nullptr);
    return;
  }
  Advance();
}

void Negotiation::Advance() {
  read_on_.Cancel();
  for (;;) {
    if (!SendOutput()) return;
    if (!Conclude()) return;

    std::span<const std::byte> rest(input_);
    outcome_ = handshake_.Consume(rest, output_);
    input_.erase(input_.begin(), input_.end() - static_cast<ptrdiff_t>(rest.size()));
    if (outcome_ == Handshake::Outcome::kNeedMore) {
      // Nothing is read while an answer waits to be taken.
      watch_->SetInterest(true, false);
      // What TLS has decrypted already does not make the socket ready again. In a turn of its own,
      // so that a client which sends without end holds up nobody.
      if (stream_->HasReceived()) read_on_.Start(0);
      return;
    }
  }
}

// True once all is sent; else the rest goes when the socket is writable, or this has ended.
bool Negotiation::SendOutput() {
  const iovec rest{output_.data(), output_.size()};
  const Transfer sent = stream_->Send(std::span(&rest, output_.empty() ? 0 : 1));
  output_.erase(output_.begin(), output_.begin() + static_cast<ptrdiff_t>(sent.bytes));
  if (sent.state != Transfer::State::kOpen) {
    End(nullptr);
    return false;
  }
  if (output_.empty() && !stream_->HasUnsent()) return true;
  watch_->SetInterest(false, true);
  return false;
}

bool Negotiation::Conclude() {
  switch (std::exchange(outcome_, Handshake::Outcome::kNeedMore)) {
    case Handshake::Outcome::kNeedMore:
    case Handshake::Outcome::kAnswered: return true;
    case Handshake::Outcome::kStartTls: return StartTls();
    case Handshake::Outcome::kClose:
      stream_->EndOutput();
      End(nullptr);
      return false;
    case Handshake::Outcome::kTransmission: {
      auto handover = std::make_unique<Handover>();
      handover->agreement = handshake_.agreement();
      handover->early_input = std::move(input_);
      End(std::move(handover));
      return false;
    }
  }
  Unreachable("Negotiation::Conclude");
}

bool Negotiation::StartTls() {
  // A client waits for our consent before its hello. What is there already came in clear text and
  // must not be taken for a part of the protected session.
  CHECK(tls_ != nullptr);
  const bool injected = !input_.empty();
  if (!injected) {
    // The descriptor stays the same, so the watch may stay too.
    stream_ = tls_->Accept(stream_->ReleaseSocket());
    handshake_.TlsStarted();
  }
  if (!injected && stream_ != nullptr) return true;
  End(nullptr);
  return false;
}

void Negotiation::End(std::unique_ptr<Handover> handover) {
  timeout_.Cancel();
  read_on_.Cancel();
  watch_.reset();
  if (handover != nullptr) {
    handover->stream = std::move(stream_);
    handover->ticket = std::move(ticket_);
  }
  on_end_(*this, std::move(handover));
}

}  // namespace aurochs::nbd
