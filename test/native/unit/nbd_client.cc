#include "unit/nbd_client.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>

namespace aurochs::nbd::test {
namespace {

UniqueFd Connect(const std::string& address) {
  sockaddr_storage storage{};
  socklen_t length = 0;
  if (address.starts_with("unix:")) {
    auto* un = reinterpret_cast<sockaddr_un*>(&storage);
    un->sun_family = AF_UNIX;
    std::strncpy(un->sun_path, address.c_str() + 5, sizeof un->sun_path - 1);
    length = sizeof *un;
  } else {
    const size_t colon = address.rfind(':');
    auto* in = reinterpret_cast<sockaddr_in*>(&storage);
    in->sin_family = AF_INET;
    in->sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(colon + 1))));
    CHECK(inet_pton(AF_INET, address.substr(0, colon).c_str(), &in->sin_addr) == 1);
    length = sizeof *in;
  }
  UniqueFd fd(::socket(storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  CHECK(::connect(fd.get(), reinterpret_cast<sockaddr*>(&storage), length) == 0);
  // Only now: with a time limit, a connect that is interrupted is not taken up again by the kernel.
  const timeval patience{.tv_sec = TestClient::kPatienceSeconds, .tv_usec = 0};
  ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  return fd;
}

}  // namespace

TestClient::TestClient(const std::string& address) : socket_(Connect(address)) {
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes to sockets that the server has closed.
  const auto greeting = Receive(kGreetingBytes);
  if (!greeting) return;  // A test hears of it when it sends.
  EXPECT_EQ(*greeting, Wire().Text("NBDMAGICIHAVEOPT").U16(3).bytes());
}

TestClient::~TestClient() = default;

// The time limit of the socket makes calls end early for other reasons too; then they go on.
bool TestClient::MayGoOn(int ssl_result) const {
  if (ssl_ == nullptr) return errno == EINTR;
  const int error = SSL_get_error(ssl_.get(), ssl_result);
  return errno == EINTR && (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE);
}

bool TestClient::Send(const Bytes& bytes) {
  size_t sent = 0;
  while (sent < bytes.size()) {
    size_t now = 0;
    if (ssl_ != nullptr) {
      const int result = SSL_write_ex(ssl_.get(), bytes.data() + sent, bytes.size() - sent, &now);
      if (result != 1 && !MayGoOn(result)) return false;
    } else {
      const ssize_t result =
          ::send(socket_.get(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
      if (result == 0 || (result < 0 && !MayGoOn())) return false;
      now = static_cast<size_t>(std::max<ssize_t>(result, 0));
    }
    sent += now;
  }
  return true;
}

std::optional<Bytes> TestClient::Receive(size_t count) {
  Bytes bytes(count);
  size_t received = 0;
  while (received < count) {
    size_t now = 0;
    if (ssl_ != nullptr) {
      const int result = SSL_read_ex(ssl_.get(), bytes.data() + received, count - received, &now);
      if (result != 1 && !MayGoOn(result)) return std::nullopt;
    } else {
      const ssize_t result = ::recv(socket_.get(), bytes.data() + received, count - received, 0);
      if (result == 0 || (result < 0 && !MayGoOn())) return std::nullopt;
      now = static_cast<size_t>(std::max<ssize_t>(result, 0));
    }
    received += now;
  }
  return bytes;
}

bool TestClient::WaitForClose() {
  std::byte one;
  ssize_t result = 0;
  do {
    result = ::recv(socket_.get(), &one, 1, 0);
  } while (result < 0 && MayGoOn());
  return result == 0 || (result < 0 && errno == ECONNRESET);
}

void TestClient::HalfClose() {
  ::shutdown(socket_.get(), SHUT_WR);
}

std::vector<OptionAnswer> TestClient::Ask(Option option, const Bytes& data) {
  std::vector<OptionAnswer> answers;
  if (!Send(OptionMessage(option, data))) return {};
  for (;;) {
    auto header = Receive(kOptionReplyHeaderBytes);
    if (!header) return {};
    const auto length_bytes = LoadBigEndian<uint32_t>(header->data() + 16);
    const auto body = Receive(length_bytes);
    if (!body) return {};
    header->insert(header->end(), body->begin(), body->end());
    answers.push_back(ParseOptionAnswers(*header).front());
    EXPECT_EQ(answers.back().option, option);
    const auto type = static_cast<uint32_t>(answers.back().type);
    if (answers.back().type == OptionReply::kAck || (type & 0x80000000) != 0) return answers;
  }
}

bool TestClient::StartTls(SSL_CTX* context) {
  ssl_.reset(SSL_new(context));
  SSL_set_fd(ssl_.get(), socket_.get());
  int result = 0;
  do {
    result = SSL_connect(ssl_.get());
  } while (result != 1 && MayGoOn(result));
  return result == 1;
}

bool TestClient::Go(const std::string& name) {
  const auto acknowledged = [&](Option option, const Bytes& data) {
    const auto answers = Ask(option, data);
    if (answers.empty() || answers.back().type != OptionReply::kAck) return false;
    if (option == Option::kGo) {
      size_bytes_ = LoadBigEndian<uint64_t>(answers[0].data.data() + 2);
      flags_ = LoadBigEndian<uint16_t>(answers[0].data.data() + 10);
    }
    return true;
  };
  if (ssl_ == nullptr && !Send(ClientFlags(kFixedNoZeroes))) return false;
  return acknowledged(Option::kStructuredReply, {}) &&
         acknowledged(Option::kSetMetaContext, MetaContextData(name, {"base:allocation"})) &&
         acknowledged(Option::kGo, InfoData(name, {InfoType::kBlockSize}));
}

bool TestClient::Request(Command command, uint64_t cookie, uint64_t offset_bytes,
                         uint32_t length_bytes, uint16_t flags, const Bytes& payload) {
  return Send(RequestMessage(command, cookie, offset_bytes, length_bytes, flags, payload));
}

std::optional<Reply> TestClient::NextReply() {
  auto bytes = Receive(kSimpleReplyBytes);
  if (!bytes) return std::nullopt;
  if (LoadBigEndian<uint32_t>(bytes->data()) == kStructuredReplyMagic) {
    const auto length = Receive(kChunkHeaderBytes - kSimpleReplyBytes);
    if (!length) return std::nullopt;
    const auto payload = Receive(LoadBigEndian<uint32_t>(length->data()));
    if (!payload) return std::nullopt;
    bytes->insert(bytes->end(), length->begin(), length->end());
    bytes->insert(bytes->end(), payload->begin(), payload->end());
  }
  ByteReader reader(*bytes);
  return TakeReply(reader, [](uint64_t) { return 0u; });
}

NbdError TestClient::Run(Command command, uint64_t offset_bytes, uint32_t length_bytes,
                         uint16_t flags, const Bytes& payload) {
  const uint64_t cookie = next_cookie_++;
  if (!Request(command, cookie, offset_bytes, length_bytes, flags, payload)) {
    return NbdError::kEshutdown;
  }
  const auto reply = NextReply();
  if (!reply) return NbdError::kEshutdown;
  EXPECT_EQ(reply->cookie, cookie);
  return reply->error;
}

Bytes TestClient::Read(uint64_t offset_bytes, uint32_t length_bytes) {
  const uint64_t cookie = next_cookie_++;
  if (!Request(Command::kRead, cookie, offset_bytes, length_bytes)) return {};
  const auto reply = NextReply();
  if (!reply || reply->cookie != cookie || reply->error != NbdError::kNone) return {};
  return reply->data();
}

}  // namespace aurochs::nbd::test
