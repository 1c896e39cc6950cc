// Where initiators connect: listens, lets connections log in, and serves discovery sessions.
//
// Thread:    of its loop.
// Ownership: owns its listeners, the connections that log in, and the discovery sessions.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/event_loop.h"
#include "io/listener.h"
#include "iscsi/login_connection.h"
#include "iscsi/session.h"
#include "iscsi/target.h"

namespace aurochs::iscsi {

class Portal final : private LoginConnection::Owner, private Session::Host {
 public:
  Portal(EventLoop& loop, ServerDirectory& directory, const Timeouts& timeouts);
  ~Portal();  // Only after Close, or without ever having listened.

  void Listen(ListeningSocket socket);
  // Ends everything; calls back when nothing is left.
  void Close(std::function<void()> done);

 private:
  void OnLoggedIn(uint64_t id, std::unique_ptr<EstablishedLogin> login) override;
  void OnLoginEnded(uint64_t id) override;
  std::optional<std::string> SendTargets(const Session& session, std::string_view value) override;
  void ManageTasks(Session& session, const TaskManagementRequest& request) override;
  void OnSessionEnded(Session& session) override;

  void OnAccept(UniqueFd fd, std::string remote_address);
  void RunLater(std::function<void()> task);
  void CloseIfEmpty();

  EventLoop& loop_;
  ServerDirectory& directory_;
  const Timeouts timeouts_;
  const ConnectionSlot::Counter connections_ = std::make_shared<std::atomic<uint32_t>>(0);
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::unordered_map<uint64_t, std::unique_ptr<LoginConnection>> logins_;
  std::unordered_map<uint64_t, std::unique_ptr<Session>> discovery_sessions_;
  uint64_t next_id_ = 1;
  uint16_t last_tsih_ = 0;
  uint64_t tasks_posted_ = 0;  // by RunLater, not run yet
  bool closing_ = false;
  std::function<void()> close_done_;
};

}  // namespace aurochs::iscsi
