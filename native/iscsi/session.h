// One session in the full feature phase: orders its commands, answers NOPs, text, logout and task
// management, and leaves SCSI to its tasks. Normal sessions belong to a target, discovery sessions
// to the portal.
//
// A session has one connection (MaxConnections=1). What belongs to a connection (StatSN, digests,
// the User interface) is kept apart in Connection, so that there may be more.
//
// Thread:    of the loop given at construction.
// Ownership: of its host, which must not destroy it inside one of its calls.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "io/event_loop.h"
#include "iscsi/command_window.h"
#include "iscsi/connection.h"
#include "iscsi/established_login.h"
#include "iscsi/server.h"
#include "iscsi/task_set.h"
#include "iscsi/text_exchange.h"
#include "scsi/logical_unit.h"

namespace aurochs::iscsi {

struct TaskManagementRequest {
  TaskManagementFunction function;
  uint64_t lun = 0;
  uint32_t itt = 0;
  uint32_t cmd_sn = 0;
  uint32_t referenced_tag = 0;
  uint32_t referenced_cmd_sn = 0;
};

inline constexpr uint64_t kUnitLun = 1;
// The number in an 8-byte LUN field of one level (SAM-5, 4.7); nothing for other forms.
std::optional<uint64_t> LunNumber(uint64_t lun_field);

class Session final : private Connection::User, private TaskSet::Observer {
 public:
  // The two units that the commands of a normal session go to; none in a discovery session.
  struct Units {
    scsi::LogicalUnit* unit = nullptr;
    uint64_t nexus = 0;
    scsi::LogicalUnit* absent = nullptr;
    uint64_t absent_nexus = 0;
  };

  class Host {
   public:
    // What SendTargets=`value` returns (13.3); nothing if that may not be asked.
    virtual std::optional<std::string> SendTargets(const Session& session,
                                                   std::string_view value) = 0;
    // Executes the function and answers with FinishTaskManagement, now or later.
    virtual void ManageTasks(Session& session, const TaskManagementRequest& request) = 0;
    // Its connection is closed and no task of it is left.
    virtual void OnSessionEnded(Session& session) = 0;

   protected:
    ~Host() = default;
  };

  Session(EventLoop& loop, Host& host, Units units, uint64_t id, EstablishedLogin login,
          const Timeouts& timeouts);
  ~Session();  // REQUIRES: it has ended.

  // Asks the initiator to log out, and drops the session if it does not.
  void RequestLogout();
  // Closes the connection at once. The session ends when the unit has no task of it any more.
  void Drop(std::string_view why);
  // Closes once everything has been sent.
  void DropAfterOutput(std::string_view why);

  // 11.6.1: a command that was sent before `before` and never came counts as received when it is
  // aborted, so that those after it need not wait. False if it is not missing.
  bool CountAsReceived(uint32_t cmd_sn, uint32_t before);
  void FinishTaskManagement(const TaskManagementRequest& request, TaskManagementResponse response);

  uint64_t id() const { return id_; }
  const LoginIdentity& identity() const { return identity_; }
  const Units& units() const { return units_; }
  const std::string& local_address() const { return connection_.local_address(); }
  const std::string& remote_address() const { return connection_.remote_address(); }
  TaskSet& tasks() { return tasks_; }
  bool open() const { return state_ == State::kOpen || state_ == State::kLogout; }

 private:
  enum class State : uint8_t {
    kOpen,
    kLogout,    // the initiator has logged out; its tasks end, then it gets the answer
    kDraining,  // the connection is closed; the unit still has tasks
    kEnded,
  };

  // A request PDU whose turn may not have come.
  struct Request {
    Bhs bhs;
    std::span<const std::byte> data;
    ScsiTask* task = nullptr;
    std::optional<PduFault> fault;
  };
  struct ParkedRequest {
    Request request;
    std::vector<std::byte> data;
    bool never_came = false;  // only its place is held
  };

  // Connection::User
  std::byte* OnHeader(const Bhs& bhs) override;
  void OnPdu(const Bhs& bhs, std::span<const std::byte> data) override;
  void FillOutput() override;
  void StampCommandWindow(Bhs& bhs) override;
  void OnConnectionLost(std::string_view why) override;
  // TaskSet::Observer
  void OnTaskGone() override;

  std::byte* OnCommandHeader(const Bhs& bhs);
  std::optional<PduFault> FaultOfCommand(const Bhs& bhs) const;
  std::byte* OnDataOutHeader(const Bhs& bhs);
  void OnDataOut(const Bhs& bhs);
  void OnRequest(Request request);
  void Park(const Request& request);
  void ExecuteParked();
  void Execute(const Request& request);
  void OnNopOut(const Request& request);
  void OnTextRequest(const Request& request);
  void OnTextPairs(const std::vector<TextPair>& pairs, std::string& answer);
  void OnTaskManagement(const Request& request);
  void AnswerTaskManagement(uint32_t itt, TaskManagementResponse response);
  void OnLogout(const Request& request);
  void SendLogoutResponse(uint32_t itt, LogoutResponse response);
  void MoveTo(State next);
  void EndIfDrained();

  EventLoop& loop_;
  Host& host_;
  const Units units_;
  const uint64_t id_;
  const uint32_t logout_grace_ms_;
  const LoginIdentity identity_;
  Parameters parameters_;
  State state_ = State::kOpen;
  CommandWindow window_;
  std::unordered_map<uint32_t, ParkedRequest> parked_;  // by CmdSN; inside the window
  TaskSet tasks_;
  TextExchange text_;
  uint32_t functions_open_ = 0;  // task management functions that have not been answered
  Timer logout_timer_;

  // Of the PDU whose header has come last.
  ScsiTask* arriving_task_ = nullptr;
  std::optional<PduFault> arriving_fault_;

  Connection connection_;
};

}  // namespace aurochs::iscsi
