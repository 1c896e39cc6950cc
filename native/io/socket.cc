#include "io/socket.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

#include "base/limits.h"
#include "io/socket_options.h"

namespace aurochs {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";
constexpr mode_t kSocketFileMode = 0600;

// A peer whose machine died is noticed after two minutes.
constexpr int kKeepaliveIdleSeconds = 60;
constexpr int kKeepaliveIntervalSeconds = 10;
constexpr int kKeepaliveProbes = 6;

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;

  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Status NotAnAddress(const std::string& text, std::string_view why) {
  return {ErrorCode::kInvalidArgument,
          "\"" + text + "\" is not the address of a socket: " + std::string(why) +
              "; say HOST:PORT, [IPV6]:PORT or unix:PATH"};
}

Result<Address> ParseUnix(const std::string& text) {
  const std::string_view path = std::string_view(text).substr(kUnixPrefix.size());
  Address address;
  auto* const un = reinterpret_cast<sockaddr_un*>(&address.storage);
  if (path.empty()) return NotAnAddress(text, "the path is missing");
  if (path.find('\0') != std::string_view::npos)
    return NotAnAddress(text, "a zero byte in the path");
  if (path.size() >= sizeof un->sun_path) {
    return NotAnAddress(
        text, "the path is longer than " + std::to_string(sizeof un->sun_path - 1) + " bytes");
  }
  un->sun_family = AF_UNIX;
  std::memcpy(un->sun_path, path.data(), path.size());
  address.length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
  return address;
}

struct AddrinfoFreer {
  void operator()(addrinfo* info) const { ::freeaddrinfo(info); }
};

Result<Address> ParseTcp(const std::string& text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string::npos) return NotAnAddress(text, "the port is missing");
  std::string host = text.substr(0, colon);
  const std::string port = text.substr(colon + 1);
  uint16_t number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size()) {
    return NotAnAddress(text, "the port is no number from 0 to 65535");
  }
  const bool bracketed = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host.empty()) return NotAnAddress(text, "the host is missing");
  if (!bracketed && host.find(':') != std::string::npos) {
    return NotAnAddress(text, "an IPv6 address stands in brackets");
  }

  addrinfo hints{};
  hints.ai_family = bracketed ? AF_INET6 : AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | (bracketed ? AI_NUMERICHOST : 0);
  addrinfo* found = nullptr;
  const int rc = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found);
  if (rc != 0) return NotAnAddress(text, ::gai_strerror(rc));
  const std::unique_ptr<addrinfo, AddrinfoFreer> owned(found);
  Address address;
  CHECK(found->ai_addrlen <= sizeof address.storage);
  std::memcpy(&address.storage, found->ai_addr, found->ai_addrlen);
  address.length = found->ai_addrlen;
  return address;
}

std::string TextOf(const Address& address) {
  char host[INET6_ADDRSTRLEN];
  switch (address.storage.ss_family) {
    case AF_INET: {
      const auto* in = reinterpret_cast<const sockaddr_in*>(&address.storage);
      ::inet_ntop(AF_INET, &in->sin_addr, host, sizeof host);
      return std::string(host) + ":" + std::to_string(ntohs(in->sin_port));
    }
    case AF_INET6: {
      const auto* in6 = reinterpret_cast<const sockaddr_in6*>(&address.storage);
      ::inet_ntop(AF_INET6, &in6->sin6_addr, host, sizeof host);
      return "[" + std::string(host) + "]:" + std::to_string(ntohs(in6->sin6_port));
    }
    case AF_UNIX: {
      const auto* un = reinterpret_cast<const sockaddr_un*>(&address.storage);
      const size_t path_max =
          address.length - std::min<size_t>(address.length, offsetof(sockaddr_un, sun_path));
      return std::string(kUnixPrefix) +
             std::string(un->sun_path, ::strnlen(un->sun_path, path_max));
    }
    default: return "unknown";
  }
}

void SetOption(int fd, int level, int option, int value) {
  (void)::setsockopt(fd, level, option, &value, sizeof value);
}

// Whether the file at `path` is a socket that nobody listens on any more.
bool IsStaleSocketFile(const std::string& path, const Address& address) {
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode)) return false;
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!probe.valid()) return false;
  return ::connect(probe.get(), address.get(), address.length) != 0 && errno == ECONNREFUSED;
}

// Binds, once more if a stale socket file stood in the way. Returns an errno, 0 for none.
int Bind(int fd, const Address& address, const std::string& unix_path) {
  if (::bind(fd, address.get(), address.length) == 0) return 0;
  const int error_number = errno;
  if (unix_path.empty() || error_number != EADDRINUSE) return error_number;
  if (!IsStaleSocketFile(unix_path, address)) return error_number;
  if (::unlink(unix_path.c_str()) != 0) return errno;
  return ::bind(fd, address.get(), address.length) == 0 ? 0 : errno;
}

}  // namespace

Result<ListeningSocket> OpenListeningSocket(const std::string& text) {
  const bool is_unix = text.starts_with(kUnixPrefix);
  const Result<Address> address = is_unix ? ParseUnix(text) : ParseTcp(text);
  if (!address.ok()) return address.status();

  ListeningSocket listening;
  if (is_unix) listening.unix_path = text.substr(kUnixPrefix.size());
  const int family = address->storage.ss_family;
  listening.fd.Reset(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  const int fd = listening.fd.get();
  if (fd < 0) return Status::FromErrno(errno, "listen on " + text);
  if (is_unix) {
    // Before bind, so that the file never has another mode.
    if (::fchmod(fd, kSocketFileMode) != 0) return Status::FromErrno(errno, "fchmod " + text);
  } else {
    // A restart must not wait for the connections of the process before it.
    SetOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  }
  // So that 0.0.0.0 and [::] can both be listened on.
  if (family == AF_INET6) SetOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);

  const int bind_error = Bind(fd, *address, listening.unix_path);
  if (bind_error != 0) return Status::FromErrno(bind_error, "listen on " + text);
  if (::listen(fd, kListenBacklog) != 0) return Status::FromErrno(errno, "listen on " + text);

  listening.address = LocalAddressText(fd);
  if (is_unix) {
    struct stat info;
    if (::lstat(listening.unix_path.c_str(), &info) != 0) {
      return Status::FromErrno(errno, "listen on " + text);
    }
    listening.unix_inode = info.st_ino;
  }
  return listening;
}

Result<UniqueFd> ConnectSocket(const std::string& text, uint32_t timeout_ms) {
  const Result<Address> address = text.starts_with(kUnixPrefix) ? ParseUnix(text) : ParseTcp(text);
  if (!address.ok()) return address.status();
  UniqueFd fd(::socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid()) return Status::FromErrno(errno, "connect to " + text);
  RETURN_IF_ERROR(SetSocketTimeouts(fd.get(), timeout_ms));
  if (::connect(fd.get(), address->get(), address->length) != 0) {
    const Status failed = Status::FromErrno(errno, "connect to " + text);
    const bool nobody = errno == ECONNREFUSED || errno == ENOENT || errno == EINPROGRESS ||
                        errno == EAGAIN || errno == ETIMEDOUT;
    return nobody ? Status(ErrorCode::kUnavailable, failed.message()) : failed;
  }
  SetConnectionOptions(fd.get());
  return fd;
}

Status SetSocketTimeouts(int fd, uint32_t timeout_ms) {
  const timeval timeout{.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    if (::setsockopt(fd, SOL_SOCKET, option, &timeout, sizeof timeout) != 0) {
      return Status::FromErrno(errno, "set the timeout of a socket");
    }
  }
  return Status::Ok();
}

void SetConnectionOptions(int fd) {
  int family = AF_UNSPEC;
  socklen_t length = sizeof family;
  if (::getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &length) != 0) return;
  if (family != AF_INET && family != AF_INET6) return;
  SetOption(fd, IPPROTO_TCP, TCP_NODELAY, 1);
  SetOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPIDLE, kKeepaliveIdleSeconds);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPINTVL, kKeepaliveIntervalSeconds);
  SetOption(fd, IPPROTO_TCP, TCP_KEEPCNT, kKeepaliveProbes);
}

std::string LocalAddressText(int fd) {
  Address address;
  address.length = sizeof address.storage;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.length) != 0) {
    return "unknown";
  }
  return TextOf(address);
}

std::string PeerAddressText(int fd) {
  Address address;
  address.length = sizeof address.storage;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address.storage), &address.length) != 0) {
    return "unknown";
  }
  return TextOf(address);
}

}  // namespace aurochs
