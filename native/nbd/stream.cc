#include "nbd/stream.h"

#include <sys/socket.h>

#include <cerrno>
#include <utility>

namespace aurochs::nbd {
namespace {

class PlainStream final : public Stream {
 public:
  explicit PlainStream(UniqueFd socket) : socket_(std::move(socket)) {}

  int fd() const override { return socket_.get(); }
  Transfer Receive(std::span<const iovec> into) override { return ReceiveFromSocket(fd(), into); }
  bool HasReceived() const override { return false; }
  Transfer Send(std::span<const iovec> from) override { return SendToSocket(fd(), from); }
  bool HasUnsent() const override { return false; }
  UniqueFd ReleaseSocket() override { return std::move(socket_); }
  void EndOutput() override { (void)::shutdown(fd(), SHUT_WR); }

 private:
  UniqueFd socket_;
};

Transfer FromErrno() {
  const bool may_come_later = errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
  return {0, may_come_later ? Transfer::State::kOpen : Transfer::State::kFailed};
}

msghdr MessageOver(std::span<const iovec> vectors) {
  msghdr message{};
  message.msg_iov = const_cast<iovec*>(vectors.data());
  message.msg_iovlen = vectors.size();
  return message;
}

}  // namespace

std::unique_ptr<Stream> CreatePlainStream(UniqueFd socket) {
  return std::make_unique<PlainStream>(std::move(socket));
}

Transfer ReceiveFromSocket(int fd, std::span<const iovec> into) {
  msghdr message = MessageOver(into);
  const ssize_t received = ::recvmsg(fd, &message, 0);
  if (received < 0) return FromErrno();
  if (received == 0) return {0, Transfer::State::kEnded};
  return {static_cast<size_t>(received), Transfer::State::kOpen};
}

Transfer SendToSocket(int fd, std::span<const iovec> from) {
  if (from.empty()) return {};
  msghdr message = MessageOver(from);
  const ssize_t sent = ::sendmsg(fd, &message, MSG_NOSIGNAL);
  if (sent < 0) return FromErrno();
  return {static_cast<size_t>(sent), Transfer::State::kOpen};
}

}  // namespace aurochs::nbd
