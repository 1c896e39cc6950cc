// One target: its unit, its sessions, and what concerns several of them (reinstatement, task
// management, removal).
//
// Thread:    constructed anywhere; then belongs to the loop of its device.
// Ownership: shared by the server and what is on its way to the loop. Does not own the device, and
//            does not use it after Shutdown has called back.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "block/block_device.h"
#include "io/event_loop.h"
#include "iscsi/established_login.h"
#include "iscsi/server.h"
#include "iscsi/session.h"

namespace aurochs::iscsi {

// How the sessions of a target end.
enum class Parting : uint8_t {
  kAskForLogout,  // the target goes for good: asynchronous logout request, then close
  kDrop,          // the server comes back: initiators hold their commands back and log in again
};

// What targets and portals ask of the server. Any thread.
class ServerDirectory : public LoginPolicy {
 public:
  // The text that SendTargets returns to `initiator` for one target, or for all when empty.
  virtual std::string TargetsFor(std::string_view initiator, std::string_view target,
                                 std::string_view address) = 0;
  // Takes a login of a normal session to its target's loop.
  virtual void HandOver(std::unique_ptr<EstablishedLogin> login) = 0;
  virtual void SessionOpened(uint64_t target_id, uint64_t session_id, const SessionInfo& info) = 0;
  virtual void SessionClosed(uint64_t target_id, uint64_t session_id) = 0;

 protected:
  ~ServerDirectory() = default;
};

// Ends a login as the table says; what the socket does not take at once is not sent.
void RefuseLogin(EstablishedLogin& login, LoginFault fault);

class Target final : private Session::Host {
 public:
  Target(uint64_t id, TargetConfig config, BlockDevice& device, EventLoop& loop,
         ServerDirectory& directory, const Timeouts& timeouts);
  ~Target();

  // Any thread.
  EventLoop& loop() const { return loop_; }

  // First; opens the unit.
  void Start();
  // Makes a session of the login, after the one that it replaces has ended.
  void Adopt(std::unique_ptr<EstablishedLogin> login);
  // Ends all sessions, lets go of the device, then calls back. Logins that come later are refused.
  void Shutdown(Parting parting, std::function<void()> done);

 private:
  enum class State : uint8_t { kIdle, kServing, kClosing, kClosed };
  struct Entry {
    std::unique_ptr<Session> session;
    std::unique_ptr<EstablishedLogin> successor;  // waits for the session's end
  };

  std::optional<std::string> SendTargets(const Session& session, std::string_view value) override;
  void ManageTasks(Session& session, const TaskManagementRequest& request) override;
  void OnSessionEnded(Session& session) override;

  void OpenSession(EstablishedLogin login);
  uint16_t NewTsih();
  void Erase(uint64_t session_id);
  void CloseIfEmpty();
  Entry* Find(uint64_t session_id);
  void AbortTasksOf(Session& session, const TaskManagementRequest& request,
                    const std::shared_ptr<AbortWait>& wait);
  void FinishTaskManagement(uint64_t session_id, const TaskManagementRequest& request,
                            TaskManagementResponse response);

  const uint64_t id_;
  const TargetConfig config_;
  BlockDevice& device_;
  EventLoop& loop_;
  ServerDirectory& directory_;
  const Timeouts timeouts_;
  State state_ = State::kIdle;
  std::unique_ptr<scsi::LogicalUnit> unit_;
  std::unique_ptr<scsi::LogicalUnit> absent_;
  std::vector<Entry> sessions_;
  uint64_t next_session_id_ = 1;
  uint16_t last_tsih_ = 0;
  std::function<void()> shutdown_done_;
};

}  // namespace aurochs::iscsi
