// A blocking NBD client that says what a test wants it to say, well-formed or not.
//
// Waits at most kPatienceSeconds for each answer, so that a server that hangs fails the test.
#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "unit/nbd_wire.h"

namespace aurochs::nbd::test {

class TestClient {
 public:
  static constexpr int kPatienceSeconds = 20;

  // "127.0.0.1:PORT" or "unix:PATH"; the greeting is read and checked.
  explicit TestClient(const std::string& address);
  ~TestClient();
  TestClient(const TestClient&) = delete;
  TestClient& operator=(const TestClient&) = delete;

  // False once the server has closed the connection.
  bool Send(const Bytes& bytes);
  // Exactly as many bytes; nothing if the connection ends before.
  std::optional<Bytes> Receive(size_t count);
  // Waits for the server to close the connection; false if it sends something first.
  bool WaitForClose();
  void HalfClose();
  int fd() const { return socket_.get(); }

  // The answers to one option, up to and with the final one; empty if the connection ends.
  std::vector<OptionAnswer> Ask(Option option, const Bytes& data = {});
  // After STARTTLS was acknowledged; false if the TLS handshake fails.
  bool StartTls(SSL_CTX* context);

  // Flags, structured replies, base:allocation and GO. False if anything is refused.
  bool Go(const std::string& name);

  bool Request(Command command, uint64_t cookie, uint64_t offset_bytes, uint32_t length_bytes,
               uint16_t flags = 0, const Bytes& payload = {});
  // The next reply of a connection with structured replies; nothing if the connection ends.
  std::optional<Reply> NextReply();
  // A request and its reply, with nothing else in flight.
  NbdError Run(Command command, uint64_t offset_bytes, uint32_t length_bytes, uint16_t flags = 0,
               const Bytes& payload = {});
  Bytes Read(uint64_t offset_bytes, uint32_t length_bytes);

  // Of the last GO.
  uint64_t size_bytes() const { return size_bytes_; }
  uint16_t flags() const { return flags_; }

 private:
  struct SslFreer {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };

  bool MayGoOn(int ssl_result = 0) const;

  UniqueFd socket_;
  std::unique_ptr<SSL, SslFreer> ssl_;
  uint64_t next_cookie_ = 1;
  uint64_t size_bytes_ = 0;
  uint16_t flags_ = 0;
};

}  // namespace aurochs::nbd::test
