#include "nbd/connection.h"

#include <array>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/limits.h"

namespace aurochs::nbd {
namespace {

// Header and data of each reply.
constexpr size_t kReplyIovecsMax = 2 * kNbdRequestsInFlightMax;
static_assert(kReplyIovecsMax <= kIovecsMax);

RequestRules RulesOf(Agreement& agreement) {
  return {.read_only = agreement.chosen.read_only,
          .replies = agreement.replies,
          .contexts = std::move(agreement.contexts)};
}

}  // namespace

Connection::Connection(EventLoop& loop, BlockDevice& device, std::unique_ptr<Handover> handover,
                       OnClosed on_closed)
    : loop_(loop),
      stream_(std::move(handover->stream)),
      ticket_(std::move(handover->ticket)),
      on_closed_(std::move(on_closed)),
      transmission_(device, RulesOf(handover->agreement), *this),
      watch_(loop, stream_->fd(), *this),
      drain_timeout_(loop, [this] { OnDrainTimeout(); }) {
  const auto& early = handover->early_input;
  if (!early.empty()) {
    const auto space = transmission_.InputSpace();
    CHECK(space.size() == 1 && early.size() <= space[0].iov_len);
    std::memcpy(space[0].iov_base, early.data(), early.size());
    transmission_.AddInput(early.size());
  }
  // Also looks for what the stream has decrypted already.
  loop_.RunAtTurnEnd(*this);
}

Connection::~Connection() {
  CHECK(phase_ == Phase::kClosed);
  loop_.CancelTurnEnd(*this);
}

void Connection::Drain() {
  transmission_.CloseInput();
  loop_.RunAtTurnEnd(*this);
}

void Connection::OnReadable() {
  Receive();
  loop_.RunAtTurnEnd(*this);
}

void Connection::OnWritable() {
  output_blocked_ = false;
  loop_.RunAtTurnEnd(*this);
}

void Connection::Receive() {
  do {
    const auto space = transmission_.InputSpace();
    if (space.empty()) return;
    const Transfer got = stream_->Receive(space);
    if (got.bytes > 0) transmission_.AddInput(got.bytes);
    switch (got.state) {
      case Transfer::State::kOpen: break;
      case Transfer::State::kEnded: transmission_.CloseInput(); return;
      case Transfer::State::kFailed: Fail(); return;
    }
  } while (stream_->HasReceived());
}

void Connection::OnTurnEnd() {
  SendReplies();
  transmission_.Resume();
  if (stream_->HasReceived()) Receive();
  if (transmission_.input_closed() && phase_ == Phase::kServing) MoveTo(Phase::kDraining);

  const bool sending = transmission_.has_output() || stream_->HasUnsent();
  const bool finished = transmission_.in_device() == 0 &&
                        (phase_ == Phase::kFailed || (phase_ == Phase::kDraining && !sending));
  if (finished) {
    MoveTo(Phase::kClosed);
    stream_->EndOutput();
    const OnClosed on_closed = std::move(on_closed_);
    on_closed();  // This is no more.
    return;
  }
  watch_.SetInterest(transmission_.wants_input(), output_blocked_ && phase_ != Phase::kFailed);
  transmission_.ReleaseIdleMemory();
}

void Connection::SendReplies() {
  if (output_blocked_ || phase_ == Phase::kFailed) return;
  if (!transmission_.has_output() && !stream_->HasUnsent()) return;
  std::array<iovec, kReplyIovecsMax> replies;
  const size_t count = transmission_.GatherOutput(replies);
  const Transfer sent = stream_->Send(std::span(replies).first(count));
  transmission_.OutputSent(sent.bytes);
  if (sent.state != Transfer::State::kOpen) {
    Fail();
    return;
  }
  output_blocked_ = transmission_.has_output() || stream_->HasUnsent();
}

// The client had its time since the device was done with its last request.
void Connection::OnDrainTimeout() {
  if (transmission_.in_device() > 0) {
    drain_timeout_.Start(kNbdDrainTimeoutMs);
    return;
  }
  Fail();
  loop_.RunAtTurnEnd(*this);
}

void Connection::MoveTo(Phase next) {
  const bool allowed =
      (phase_ == Phase::kServing && (next == Phase::kDraining || next == Phase::kFailed)) ||
      (phase_ == Phase::kDraining && (next == Phase::kFailed || next == Phase::kClosed)) ||
      (phase_ == Phase::kFailed && next == Phase::kClosed);
  CHECK(allowed);
  phase_ = next;
  if (next == Phase::kDraining) drain_timeout_.Start(kNbdDrainTimeoutMs);
}

void Connection::Fail() {
  if (phase_ == Phase::kFailed) return;
  MoveTo(Phase::kFailed);
  transmission_.CloseInput();
  transmission_.DropOutput();
}

}  // namespace aurochs::nbd
