#include "io/listener.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/limits.h"
#include "base/log.h"
#include "io/socket_options.h"

namespace aurochs {

Listener::Listener(EventLoop& loop, ListeningSocket socket, OnAccept on_accept)
    : socket_(std::move(socket)),
      on_accept_(std::move(on_accept)),
      watch_(loop, socket_.fd.get(), *this),
      resume_(loop, [this] { watch_.SetInterest(true, false); }) {
  watch_.SetInterest(true, false);
}

Listener::~Listener() {
  if (destroyed_in_call_ != nullptr) *destroyed_in_call_ = true;
  if (socket_.unix_path.empty()) return;
  struct stat info;
  const bool ours =
      ::lstat(socket_.unix_path.c_str(), &info) == 0 && info.st_ino == socket_.unix_inode;
  if (ours) ::unlink(socket_.unix_path.c_str());
}

void Listener::OnReadable() {
  for (uint32_t count = 0; count < kAcceptsPerTurnMax; ++count) {
    UniqueFd accepted(::accept4(socket_.fd.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!accepted.valid()) {
      // A connection that broke while it waited is not our failure (accept(2), "Error handling").
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno != EAGAIN) Pause(errno);
      return;
    }
    paused_before_ = false;
    SetConnectionOptions(accepted.get());
    std::string peer = PeerAddressText(accepted.get());

    bool destroyed = false;
    destroyed_in_call_ = &destroyed;
    OnAccept running = std::move(on_accept_);  // What it owns outlives the listener, too.
    running(std::move(accepted), std::move(peer));
    if (destroyed) return;
    destroyed_in_call_ = nullptr;
    on_accept_ = std::move(running);
  }
}

void Listener::Pause(int error_number) {
  if (!std::exchange(paused_before_, true)) {
    Log(LogLevel::kWarn, "io",
        Status::FromErrno(error_number, "accept on " + socket_.address + ", trying again")
            .message());
  }
  watch_.SetInterest(false, false);
  resume_.Start(kAcceptPauseMs);
}

}  // namespace aurochs
