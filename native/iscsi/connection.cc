#include "iscsi/connection.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/limits.h"
#include "base/log.h"
#include "iscsi/text_keys.h"

namespace aurochs::iscsi {
namespace {

constexpr size_t kGatherPieces = 512;  // two for each of kSendBatchPdusMax

}  // namespace

Connection::Connection(EventLoop& loop, EstablishedLogin login, User& user,
                       const Timeouts& timeouts)
    : loop_(loop),
      fd_(std::move(login.fd)),
      slot_(std::move(login.slot)),
      user_(user),
      reader_(kPduDataSegmentBytesMax),
      watch_(new FdWatch(loop, fd_.get(), *this)),
      idle_timer_(loop, [this] { OnIdleTimer(); }),
      nop_idle_ms_(timeouts.nop_idle_ms),
      nop_timeout_ms_(timeouts.nop_timeout_ms),
      cid_(login.identity.cid),
      local_address_(std::move(login.local_address)),
      remote_address_(std::move(login.remote_address)),
      initiator_segment_bytes_max_(login.parameters.initiator_segment_bytes_max),
      stat_sn_(login.identity.stat_sn),
      received_ms_(loop.now_ms()) {
  OutPdu* const answer = New(login.last_answer.bhs);
  answer->text = std::move(login.last_answer.text);
  writer_.Append(answer);
  writer_.SetDigests(login.parameters.header_digest, login.parameters.data_digest);
  reader_.SetDigests(login.parameters.header_digest, login.parameters.data_digest);
  reader_.Adopt(login.unused);
  UpdateInterest();
  idle_timer_.Start(nop_idle_ms_);
  // What came along with the last login request is handled once the user is ready for it.
  input_paused_ = !login.unused.empty();
  WantOutput();
}

Connection::~Connection() {
  Close();
}

void Connection::Close() {
  if (closed()) return;
  loop_.CancelTurnEnd(*this);
  idle_timer_.Cancel();
  watch_.reset();
  fd_.Reset();
}

void Connection::Lose(std::string_view why) {
  if (closed()) return;
  Close();
  user_.OnConnectionLost(why);
}

void Connection::CloseAfterOutput(std::string_view why) {
  if (closed() || !close_reason_.empty()) return;
  close_reason_ = why;
  UpdateInterest();
  WantOutput();
}

// -- Input

void Connection::OnReadable() {
  std::array<iovec, 2> pieces;
  const size_t count = reader_.Space(pieces);
  const ssize_t received = ::readv(fd_.get(), pieces.data(), static_cast<int>(count));
  if (received < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (received <= 0) {
    Lose(received == 0 ? "closed by the initiator" : std::strerror(errno));
    return;
  }
  received_ms_ = loop_.now_ms();
  if (nop_pending_) {
    nop_pending_ = false;
    idle_timer_.Start(nop_idle_ms_);
  }
  reader_.Received(static_cast<size_t>(received));
  HandleReceived();
}

void Connection::HandleReceived() {
  input_paused_ = false;
  while (!closed() && close_reason_.empty()) {
    if (OutputBlocksInput()) {
      input_paused_ = true;
      break;
    }
    if (!HandleOne()) break;
  }
  if (!closed()) UpdateInterest();
}

// False when there is no whole PDU left.
bool Connection::HandleOne() {
  switch (reader_.Next()) {
    case PduReader::Event::kNeedBytes: return false;
    case PduReader::Event::kHeader: {
      std::byte* const into = user_.OnHeader(reader_.bhs());
      if (into != nullptr) reader_.RedirectData(into);
      return true;
    }
    case PduReader::Event::kPdu:
      if (reader_.data_digest_matches()) {
        user_.OnPdu(reader_.bhs(), reader_.data());
      } else {
        OnFault(reader_.bhs(), PduFault::kDataDigest);
      }
      return true;
    case PduReader::Event::kHeaderDigestError:
      OnFault(reader_.bhs(), PduFault::kHeaderDigest);
      return false;
    case PduReader::Event::kDataTooLong:
      OnFault(reader_.bhs(), PduFault::kDataTooLong);
      return false;
  }
  Unreachable("Connection::HandleOne");
}

// -- Output

void Connection::AppendStatus(OutPdu* pdu) {
  pdu->bhs.SetU32(field::kStatSn, stat_sn_++);
  user_.StampCommandWindow(pdu->bhs);
  writer_.Append(pdu);
  WantOutput();
}

void Connection::AppendNoStatus(OutPdu* pdu, bool show_stat_sn) {
  if (show_stat_sn) pdu->bhs.SetU32(field::kStatSn, stat_sn_);
  user_.StampCommandWindow(pdu->bhs);
  writer_.Append(pdu);
  WantOutput();
}

void Connection::Reject(const Bhs& bad, RejectReason reason) {
  Bhs bhs(Opcode::kReject);
  bhs.SetU8(field::kResponse, static_cast<uint8_t>(reason));
  bhs.SetU32(field::kItt, kReservedTag);
  OutPdu* const pdu = New(bhs);
  pdu->text = AsText(bad.bytes());  // 11.17: the header of the offending PDU
  AppendStatus(pdu);
}

void Connection::OnFault(const Bhs& bad, PduFault fault) {
  const FaultAnswer answer = AnswerTo(fault);
  switch (answer.action) {
    case FaultAction::kDiscard: return;
    case FaultAction::kReject: Reject(bad, answer.reason); return;
    case FaultAction::kRejectAndClose:
      Reject(bad, answer.reason);
      CloseAfterOutput(answer.message);
      return;
    case FaultAction::kClose: Lose(answer.message); return;
  }
  Unreachable("Connection::OnFault");
}

void Connection::OnTurnEnd() {
  Flush();
}

void Connection::OnWritable() {
  output_waits_ = false;
  Flush();
}

void Connection::Flush() {
  CHECK(!flushing_);
  flushing_ = true;
  while (!closed() && !output_waits_) {
    user_.FillOutput();
    if (writer_.empty() || !SendOnce()) break;
  }
  flushing_ = false;
  if (closed()) return;
  if (writer_.empty() && !close_reason_.empty()) {
    Lose(std::exchange(close_reason_, {}));
    return;
  }
  if (input_paused_ && !OutputBlocksInput()) HandleReceived();
  if (!closed()) UpdateInterest();
}

// False when the socket is full or gone.
bool Connection::SendOnce() {
  std::array<iovec, kGatherPieces> pieces;
  msghdr message{};
  message.msg_iov = pieces.data();
  message.msg_iovlen = writer_.Gather(pieces);
  const ssize_t sent = ::sendmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0) {
    writer_.Sent(static_cast<size_t>(sent));
    return true;
  }
  if (errno == EINTR) return true;
  if (errno == EAGAIN) {
    output_waits_ = true;
  } else {
    Lose(std::strerror(errno));
  }
  return false;
}

// An initiator that sends and does not read is not read either.
bool Connection::OutputBlocksInput() const {
  return writer_.pending_text_bytes() >= kTextOutputBytesMax ||
         writer_.pending_pdus() >= kPdusQueuedMax;
}

void Connection::UpdateInterest() {
  watch_->SetInterest(!input_paused_ && close_reason_.empty(), output_waits_);
}

// -- Idle connections

void Connection::OnIdleTimer() {
  const uint64_t silent_ms = loop_.now_ms() - received_ms_;
  if (!close_reason_.empty()) {
    Lose(std::string(close_reason_));
  } else if (nop_pending_) {
    Lose("no answer to NOP-In");
  } else if (silent_ms >= nop_idle_ms_) {
    SendNop();
    idle_timer_.Start(nop_timeout_ms_);
  } else {
    idle_timer_.Start(nop_idle_ms_ - silent_ms);
  }
}

void Connection::SendNop() {
  nop_pending_ = true;
  if (++nop_ttt_ == kReservedTag) nop_ttt_ = 0;
  Bhs bhs(Opcode::kNopIn);
  bhs.SetU32(field::kItt, kReservedTag);
  bhs.SetU32(field::kTtt, nop_ttt_);
  AppendNoStatus(New(bhs), true);
}

}  // namespace aurochs::iscsi
