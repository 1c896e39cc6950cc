#include "nbd/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"

namespace aurochs::nbd {
namespace {

struct SslContextFreer {
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
};
struct SslFreer {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
};
using SslContext = std::unique_ptr<SSL_CTX, SslContextFreer>;
using Ssl = std::unique_ptr<SSL, SslFreer>;

constexpr size_t kCipherReceiveBytes = 64 * kKiB;

// Encrypts between two memory BIOs, so that many records go out in one system call and the socket
// is used as everywhere else.
class TlsStream final : public Stream {
 public:
  // The SSL owns both BIOs.
  TlsStream(UniqueFd socket, Ssl ssl, BIO* incoming, BIO* outgoing)
      : socket_(std::move(socket)),
        ssl_(std::move(ssl)),
        incoming_(incoming),
        outgoing_(outgoing) {}

  int fd() const override { return socket_.get(); }
  Transfer Receive(std::span<const iovec> into) override;
  bool HasReceived() const override { return has_received_; }
  Transfer Send(std::span<const iovec> from) override;
  bool HasUnsent() const override { return unsent_sent_ < unsent_.size(); }
  UniqueFd ReleaseSocket() override { return std::move(socket_); }
  void EndOutput() override;

 private:
  enum class Step : uint8_t { kDone, kStarved, kEnded, kFailed };

  Step Decrypt(std::span<std::byte> into, size_t& bytes);
  Step Encrypt(std::span<const std::byte> from);
  Step StepFor(int ssl_result);
  Transfer::State FeedFromSocket();
  bool Flush();

  UniqueFd socket_;
  Ssl ssl_;
  BIO* const incoming_;
  BIO* const outgoing_;
  bool has_received_ = false;
  std::vector<std::byte> cipher_;  // for one receive
  std::vector<std::byte> plain_;   // gathered for one record
  std::vector<std::byte> unsent_;  // records, of which the first unsent_sent_ bytes have gone
  size_t unsent_sent_ = 0;
};

TlsStream::Step TlsStream::StepFor(int ssl_result) {
  switch (SSL_get_error(ssl_.get(), ssl_result)) {
    case SSL_ERROR_NONE: return Step::kDone;
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: return Step::kStarved;
    case SSL_ERROR_ZERO_RETURN: return Step::kEnded;
    default: return Step::kFailed;
  }
}

TlsStream::Step TlsStream::Decrypt(std::span<std::byte> into, size_t& bytes) {
  ERR_clear_error();
  size_t taken = 0;
  const Step step = StepFor(SSL_read_ex(ssl_.get(), into.data(), into.size(), &taken));
  bytes += taken;
  return step;
}

Transfer::State TlsStream::FeedFromSocket() {
  cipher_.resize(kCipherReceiveBytes);
  const iovec space{cipher_.data(), cipher_.size()};
  const Transfer got = ReceiveFromSocket(fd(), std::span(&space, 1));
  if (got.bytes > 0) {
    const int written = BIO_write(incoming_, cipher_.data(), static_cast<int>(got.bytes));
    if (written != static_cast<int>(got.bytes)) return Transfer::State::kFailed;
  }
  return got.state;
}

Transfer TlsStream::Receive(std::span<const iovec> into) {
  Transfer result;
  bool fed = false;
  has_received_ = false;
  for (const iovec& space : into) {
    size_t filled = 0;
    while (filled < space.iov_len) {
      const auto rest =
          std::span(static_cast<std::byte*>(space.iov_base), space.iov_len).subspan(filled);
      const Step step = Decrypt(rest, filled);
      if (step == Step::kDone) continue;
      // One receive a call; a second one would rarely find more.
      const bool may_feed = step == Step::kStarved && !fed && result.bytes + filled == 0;
      if (may_feed) {
        fed = true;
        result.state = FeedFromSocket();
        if (result.state == Transfer::State::kOpen && BIO_ctrl_pending(incoming_) > 0) continue;
      } else if (step != Step::kStarved) {
        result.state = step == Step::kEnded ? Transfer::State::kEnded : Transfer::State::kFailed;
      }
      result.bytes += filled;
      if (!Flush()) result.state = Transfer::State::kFailed;  // handshake messages, alerts
      return result;
    }
    result.bytes += filled;
  }
  has_received_ = true;
  return result;
}

TlsStream::Step TlsStream::Encrypt(std::span<const std::byte> from) {
  ERR_clear_error();
  size_t taken = 0;
  return StepFor(SSL_write_ex(ssl_.get(), from.data(), from.size(), &taken));
}

Transfer TlsStream::Send(std::span<const iovec> from) {
  Transfer result;
  size_t in_vector = 0;
  while (!from.empty() && unsent_.size() - unsent_sent_ < kNbdTlsUnsentBytesMax) {
    plain_.clear();
    while (!from.empty() && plain_.size() < SSL3_RT_MAX_PLAIN_LENGTH) {
      const auto* first = static_cast<const std::byte*>(from[0].iov_base) + in_vector;
      const size_t bytes =
          std::min(from[0].iov_len - in_vector, SSL3_RT_MAX_PLAIN_LENGTH - plain_.size());
      plain_.insert(plain_.end(), first, first + bytes);
      in_vector += bytes;
      if (in_vector < from[0].iov_len) continue;
      from = from.subspan(1);
      in_vector = 0;
    }
    if (plain_.empty()) break;
    const Step step = Encrypt(plain_);
    if (step != Step::kDone) {
      if (step != Step::kStarved) result.state = Transfer::State::kFailed;
      break;
    }
    result.bytes += plain_.size();
    if (!Flush()) result.state = Transfer::State::kFailed;
    if (result.state != Transfer::State::kOpen) break;
  }
  if (!Flush()) result.state = Transfer::State::kFailed;
  return result;
}

// Moves records from the BIO to the socket; false if the socket has failed.
bool TlsStream::Flush() {
  const size_t pending = BIO_ctrl_pending(outgoing_);
  if (pending > 0) {
    const size_t before = unsent_.size();
    unsent_.resize(before + pending);
    const int moved = BIO_read(outgoing_, unsent_.data() + before, static_cast<int>(pending));
    if (moved != static_cast<int>(pending)) return false;
  }
  if (!HasUnsent()) return true;
  const iovec rest{unsent_.data() + unsent_sent_, unsent_.size() - unsent_sent_};
  const Transfer sent = SendToSocket(fd(), std::span(&rest, 1));
  unsent_sent_ += sent.bytes;
  // Not at every turn: a slow peer would have us move the rest for each packet that it takes.
  if (unsent_sent_ == unsent_.size() || unsent_sent_ >= kNbdTlsUnsentBytesMax) {
    unsent_.erase(unsent_.begin(), unsent_.begin() + static_cast<ptrdiff_t>(unsent_sent_));
    unsent_sent_ = 0;
  }
  return sent.state == Transfer::State::kOpen;
}

void TlsStream::EndOutput() {
  ERR_clear_error();
  if (SSL_is_init_finished(ssl_.get()) != 0) (void)SSL_shutdown(ssl_.get());
  (void)Flush();
  (void)::shutdown(fd(), SHUT_WR);
}

class OpenSslContext final : public TlsContext {
 public:
  explicit OpenSslContext(SslContext context) : context_(std::move(context)) {}

  std::unique_ptr<Stream> Accept(UniqueFd socket) const override {
    Ssl ssl(SSL_new(context_.get()));
    BIO* incoming = BIO_new(BIO_s_mem());
    BIO* outgoing = BIO_new(BIO_s_mem());
    if (ssl == nullptr || incoming == nullptr || outgoing == nullptr) {
      BIO_free(incoming);
      BIO_free(outgoing);
      return nullptr;
    }
    SSL_set_bio(ssl.get(), incoming, outgoing);
    SSL_set_accept_state(ssl.get());
    // A write that could not be done is tried again from wherever the bytes are then.
    SSL_set_mode(ssl.get(), SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    return std::make_unique<TlsStream>(std::move(socket), std::move(ssl), incoming, outgoing);
  }

 private:
  SslContext context_;
};

// The reason that OpenSSL gives for its last failure.
Status TlsError(const std::string& what) {
  char reason[256];
  ERR_error_string_n(ERR_peek_last_error(), reason, sizeof reason);
  ERR_clear_error();
  return {ErrorCode::kInvalidArgument, what + ": " + reason};
}

Status LoadFiles(SSL_CTX* context, const TlsConfig& config) {
  ERR_clear_error();
  if (SSL_CTX_use_certificate_chain_file(context, config.certificate_file.c_str()) != 1) {
    return TlsError("TLS certificate " + config.certificate_file);
  }
  if (SSL_CTX_use_PrivateKey_file(context, config.key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    return TlsError("TLS key " + config.key_file);
  }
  if (SSL_CTX_check_private_key(context) != 1) {
    return TlsError("TLS key " + config.key_file + " does not fit " + config.certificate_file);
  }
  if (config.client_ca_file.empty()) return Status::Ok();

  const char* ca_file = config.client_ca_file.c_str();
  STACK_OF(X509_NAME)* names = SSL_load_client_CA_file(ca_file);
  if (names == nullptr || SSL_CTX_load_verify_locations(context, ca_file, nullptr) != 1) {
    return TlsError("TLS client authority " + config.client_ca_file);
  }
  SSL_CTX_set_client_CA_list(context, names);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  return Status::Ok();
}

}  // namespace

Result<std::shared_ptr<const TlsContext>> TlsContext::Load(const TlsConfig& config) {
  SslContext context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr) return TlsError("TLS");
  // Sessions are not resumed: connections are few and live long.
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  if (SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION) != 1 ||
      SSL_CTX_set_num_tickets(context.get(), 0) != 1) {
    return TlsError("TLS");
  }
  const Status loaded = LoadFiles(context.get(), config);
  if (!loaded.ok()) return loaded;
  return std::shared_ptr<const TlsContext>(std::make_shared<OpenSslContext>(std::move(context)));
}

}  // namespace aurochs::nbd
