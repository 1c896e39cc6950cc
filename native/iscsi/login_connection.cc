#include "iscsi/login_connection.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/limits.h"
#include "base/log.h"
#include "io/socket.h"
#include "iscsi/text_keys.h"

namespace aurochs::iscsi {

LoginConnection::LoginConnection(EventLoop& loop, UniqueFd fd, ConnectionSlot slot,
                                 std::string remote_address, LoginPolicy& policy, Owner& owner,
                                 uint64_t id, uint32_t timeout_ms)
    : owner_(owner),
      id_(id),
      fd_(std::move(fd)),
      slot_(std::move(slot)),
      local_address_(LocalAddressText(fd_.get())),
      remote_address_(std::move(remote_address)),
      negotiation_(policy, SecureRandom),
      reader_(kLoginPduTextBytes),
      watch_(new FdWatch(loop, fd_.get(), *this)),
      timeout_(loop, [this] { End("no login in time"); }) {
  watch_->SetInterest(true, false);
  timeout_.Start(timeout_ms);
}

void LoginConnection::OnReadable() {
  std::array<iovec, 2> pieces;
  const size_t count = reader_.Space(pieces);
  const ssize_t received = ::readv(fd_.get(), pieces.data(), static_cast<int>(count));
  if (received < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (received <= 0) {
    End(received == 0 ? "closed by the initiator" : std::strerror(errno));
    return;
  }
  reader_.Received(static_cast<size_t>(received));
  HandleReceived();
}

void LoginConnection::HandleReceived() {
  // One request at a time: an initiator that does not wait for answers does not log in.
  while (!ended_ && writer_.empty() && HandleOne()) {
  }
}

bool LoginConnection::HandleOne() {
  switch (reader_.Next()) {
    case PduReader::Event::kNeedBytes: return false;
    case PduReader::Event::kHeader:
      // 6.3: anything else before the end of the login ends the connection.
      if (reader_.bhs().opcode() != Opcode::kLoginRequest) End("not a login request");
      return true;
    case PduReader::Event::kPdu: OnLoginRequest(); return true;
    case PduReader::Event::kHeaderDigestError:
    case PduReader::Event::kDataTooLong: End("login request too long"); return false;
  }
  Unreachable("LoginConnection::HandleOne");
}

void LoginConnection::OnLoginRequest() {
  LoginNegotiation::Answer answer = negotiation_.OnRequest(reader_.bhs(), AsText(reader_.data()));
  if (negotiation_.state() == LoginNegotiation::State::kDone) {
    Establish(std::move(answer));
    return;
  }
  OutPdu* const pdu = writer_.New(answer.bhs);
  pdu->text = std::move(answer.text);
  writer_.Append(pdu);
  Flush();
}

void LoginConnection::OnWritable() {
  Flush();
  if (!ended_) HandleReceived();
}

void LoginConnection::Flush() {
  while (!writer_.empty()) {
    std::array<iovec, 4> pieces;
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = writer_.Gather(pieces);
    const ssize_t sent = ::sendmsg(fd_.get(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) {
      writer_.Sent(static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      watch_->SetInterest(false, true);
      return;
    } else if (errno != EINTR) {
      End(std::strerror(errno));
      return;
    }
  }
  watch_->SetInterest(true, false);
  if (negotiation_.state() == LoginNegotiation::State::kFailed) {
    End(AnswerTo(negotiation_.fault()).message);
  }
}

void LoginConnection::Establish(LoginNegotiation::Answer last_answer) {
  ended_ = true;
  timeout_.Cancel();
  watch_.reset();
  const auto unused = reader_.unused();
  owner_.OnLoggedIn(id_, std::make_unique<EstablishedLogin>(EstablishedLogin{
                             .fd = std::move(fd_),
                             .slot = std::move(slot_),
                             .identity = negotiation_.identity(),
                             .parameters = negotiation_.parameters(),
                             .last_answer = std::move(last_answer),
                             .unused = {unused.begin(), unused.end()},
                             .local_address = local_address_,
                             .remote_address = remote_address_,
                         }));
}

void LoginConnection::End(std::string_view why) {
  if (ended_) return;
  ended_ = true;
  Log(LogLevel::kInfo, "iscsi", "login from " + remote_address_ + ": " + std::string(why));
  timeout_.Cancel();
  watch_.reset();
  fd_.Reset();
  owner_.OnLoginEnded(id_);
}

}  // namespace aurochs::iscsi
