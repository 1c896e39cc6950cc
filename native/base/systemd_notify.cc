#include "base/systemd_notify.h"

#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <string>

#include "base/unique_fd.h"

namespace aurochs {
namespace {

struct NotifyAddress {
  sockaddr_un address{};
  socklen_t length_bytes = 0;
};

Result<NotifyAddress> ParseNotifyAddress(std::string_view name) {
  const bool is_abstract = name.front() == '@';
  if (!is_abstract && name.front() != '/') {
    return Status(ErrorCode::kInvalidArgument,
                  "NOTIFY_SOCKET is neither a path nor an abstract name: " + std::string(name));
  }
  NotifyAddress notify;
  auto& path = notify.address.sun_path;
  if (name.size() >= sizeof path) {
    return Status(ErrorCode::kInvalidArgument, "NOTIFY_SOCKET is too long: " + std::string(name));
  }
  notify.address.sun_family = AF_UNIX;
  std::copy(name.begin(), name.end(), path);
  if (is_abstract) path[0] = '\0';
  // An abstract name ends where the address does; a path has its NUL counted.
  notify.length_bytes =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size() + (is_abstract ? 0 : 1));
  return notify;
}

}  // namespace

Result<bool> NotifySystemd(std::string_view state) {
  const char* const variable = std::getenv("NOTIFY_SOCKET");
  if (variable == nullptr || *variable == '\0') return false;
  const auto notify = ParseNotifyAddress(variable);
  if (!notify.ok()) return notify.status();

  const std::string what = "notify systemd at " + std::string(variable);
  const UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return Status::FromErrno(errno, what);
  ssize_t sent = 0;
  do {
    sent = ::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                    reinterpret_cast<const sockaddr*>(&notify->address), notify->length_bytes);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return Status::FromErrno(errno, what);
  return true;
}

}  // namespace aurochs
