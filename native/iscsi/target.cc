#include "iscsi/target.h"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include "base/limits.h"
#include "base/log.h"
#include "iscsi/pdu_writer.h"

namespace aurochs::iscsi {
namespace {

// "iqn...,i,0x<isid>": the initiator port's name (RFC 7143, 4.4.1.2).
std::string InitiatorPort(const LoginIdentity& identity) {
  std::string name = identity.initiator + ",i,0x";
  for (std::byte byte : identity.isid) {
    char digits[3];
    std::snprintf(digits, sizeof digits, "%02x", std::to_integer<unsigned>(byte));
    name += digits;
  }
  return name;
}

bool ConcernsOneUnit(TaskManagementFunction function) {
  switch (function) {
    case TaskManagementFunction::kAbortTaskSet:
    case TaskManagementFunction::kClearAca:
    case TaskManagementFunction::kClearTaskSet:
    case TaskManagementFunction::kLogicalUnitReset: return true;
    default: return false;
  }
}

bool IsReset(TaskManagementFunction function) {
  return function == TaskManagementFunction::kLogicalUnitReset ||
         function == TaskManagementFunction::kTargetWarmReset ||
         function == TaskManagementFunction::kTargetColdReset;
}

}  // namespace

void RefuseLogin(EstablishedLogin& login, LoginFault fault) {
  const LoginFaultAnswer answer = AnswerTo(fault);
  Bhs bhs = login.last_answer.bhs;
  bhs.SetU8(field::kFlags, 0);
  bhs.SetU16(field::kLoginStatus, static_cast<uint16_t>(answer.status));
  bhs.SetDataSegmentBytes(0);
  (void)!::send(login.fd.get(), bhs.bytes().data(), kBhsBytes, MSG_DONTWAIT | MSG_NOSIGNAL);
  login.fd.Reset();
  Log(LogLevel::kInfo, "iscsi",
      "login from " + login.remote_address + ": " + std::string(answer.message));
}

Target::Target(uint64_t id, TargetConfig config, BlockDevice& device, EventLoop& loop,
               ServerDirectory& directory, const Timeouts& timeouts)
    : id_(id),
      config_(std::move(config)),
      device_(device),
      loop_(loop),
      directory_(directory),
      timeouts_(timeouts) {}

Target::~Target() {
  CHECK(state_ == State::kIdle || state_ == State::kClosed);
}

void Target::Start() {
  CHECK(state_ == State::kIdle);
  state_ = State::kServing;
  unit_ = scsi::LogicalUnit::Create(device_, config_.identity, config_.unit, config_.unit_state);
  absent_ = scsi::CreateAbsentUnit();
}

// -- Sessions

void Target::Adopt(std::unique_ptr<EstablishedLogin> login) {
  if (state_ != State::kServing) return RefuseLogin(*login, LoginFault::kTargetGone);
  const LoginIdentity& wanted = login->identity;
  const auto old = std::find_if(sessions_.begin(), sessions_.end(), [&wanted](const Entry& entry) {
    const LoginIdentity& identity = entry.session->identity();
    return identity.isid == wanted.isid && identity.initiator == wanted.initiator;
  });
  if (wanted.tsih != 0) {
    // A further connection, or the same one again (6.3.4): sessions have one, at level 0.
    return RefuseLogin(*login, old == sessions_.end() ? LoginFault::kNoSuchSession
                                                      : LoginFault::kSecondConnection);
  }
  if (old != sessions_.end()) {  // 6.3.5: session reinstatement
    if (old->successor != nullptr) RefuseLogin(*old->successor, LoginFault::kOvertaken);
    old->successor = std::move(login);
    old->session->Drop("replaced by a new login of the initiator");
    return;
  }
  if (sessions_.size() >= kSessionsPerTargetMax) {
    return RefuseLogin(*login, LoginFault::kTooManySessions);
  }
  OpenSession(std::move(*login));
}

void Target::OpenSession(EstablishedLogin login) {
  const uint64_t id = next_session_id_++;
  login.identity.tsih = NewTsih();
  login.last_answer.bhs.SetU16(field::kTsih, login.identity.tsih);
  const SessionInfo info{config_.name, login.identity.initiator, login.remote_address,
                         login.identity.tsih};
  const scsi::NexusId nexus{InitiatorPort(login.identity), kPortalGroupTag};
  const Session::Units units{unit_.get(), unit_->AttachNexus(nexus), absent_.get(),
                             absent_->AttachNexus(nexus)};
  sessions_.push_back(
      {std::unique_ptr<Session>(new Session(loop_, *this, units, id, std::move(login), timeouts_)),
       nullptr});
  Log(LogLevel::kInfo, "iscsi",
      "session of " + info.initiator + " at " + info.address + ": opened on " + info.target);
  directory_.SessionOpened(id_, id, info);
}

uint16_t Target::NewTsih() {
  for (;;) {
    if (++last_tsih_ == 0) ++last_tsih_;
    const bool used = std::any_of(sessions_.begin(), sessions_.end(), [this](const Entry& entry) {
      return entry.session->identity().tsih == last_tsih_;
    });
    if (!used) return last_tsih_;
  }
}

// The session is still on the stack, so it is destroyed a little later.
void Target::OnSessionEnded(Session& session) {
  loop_.Post([this, id = session.id()] { Erase(id); });
}

void Target::Erase(uint64_t session_id) {
  const auto entry = std::find_if(
      sessions_.begin(), sessions_.end(),
      [session_id](const Entry& candidate) { return candidate.session->id() == session_id; });
  CHECK(entry != sessions_.end());
  const Session::Units units = entry->session->units();
  std::unique_ptr<EstablishedLogin> successor = std::move(entry->successor);
  sessions_.erase(entry);
  unit_->DetachNexus(units.nexus);
  absent_->DetachNexus(units.absent_nexus);
  directory_.SessionClosed(id_, session_id);
  if (successor != nullptr) Adopt(std::move(successor));
  CloseIfEmpty();
}

Target::Entry* Target::Find(uint64_t session_id) {
  for (Entry& entry : sessions_) {
    if (entry.session->id() == session_id) return &entry;
  }
  return nullptr;
}

std::optional<std::string> Target::SendTargets(const Session& session, std::string_view value) {
  // 13.3: a normal session may ask about its own target only.
  if (!value.empty() && value != config_.name) return std::nullopt;
  return directory_.TargetsFor(session.identity().initiator, config_.name, session.local_address());
}

void Target::Shutdown(Parting parting, std::function<void()> done) {
  CHECK(state_ == State::kServing);
  state_ = State::kClosing;
  shutdown_done_ = std::move(done);
  for (Entry& entry : sessions_) {
    switch (parting) {
      case Parting::kAskForLogout:
        if (entry.successor != nullptr) RefuseLogin(*entry.successor, LoginFault::kTargetGone);
        entry.session->RequestLogout();
        break;
      case Parting::kDrop: entry.session->Drop("the server stops"); break;
    }
    entry.successor = nullptr;
  }
  CloseIfEmpty();
}

void Target::CloseIfEmpty() {
  if (state_ != State::kClosing || !sessions_.empty()) return;
  unit_ = nullptr;
  absent_ = nullptr;
  state_ = State::kClosed;
  std::exchange(shutdown_done_, nullptr)();
}

// -- Task management (11.5, 11.6; W6)

void Target::ManageTasks(Session& session, const TaskManagementRequest& request) {
  using Function = TaskManagementFunction;
  using Response = TaskManagementResponse;
  if (ConcernsOneUnit(request.function) && LunNumber(request.lun) != kUnitLun) {
    return session.FinishTaskManagement(request, Response::kLunDoesNotExist);
  }
  Response response = Response::kComplete;
  switch (request.function) {
    case Function::kAbortTask: {
      const ScsiTask* const task = session.tasks().Find(request.referenced_tag);
      if (task == nullptr || task->lun != request.lun) {
        const bool never_came =
            task == nullptr && session.CountAsReceived(request.referenced_cmd_sn, request.cmd_sn);
        return session.FinishTaskManagement(
            request, never_came ? Response::kComplete : Response::kTaskDoesNotExist);
      }
      // Its answer goes out first, so it was not aborted (11.6.1).
      if (task->state == ScsiTask::State::kAnswering) response = Response::kTaskDoesNotExist;
      break;
    }
    case Function::kAbortTaskSet:
    case Function::kClearTaskSet:
    case Function::kLogicalUnitReset:
    case Function::kTargetWarmReset:
    case Function::kTargetColdReset: break;
    case Function::kClearAca: return session.FinishTaskManagement(request, Response::kNotSupported);
    case Function::kTaskReassign:
      return session.FinishTaskManagement(request, Response::kReassignmentNotSupported);
    default: return session.FinishTaskManagement(request, Response::kRejected);
  }
  const auto wait = std::make_shared<AbortWait>([this, id = session.id(), request, response] {
    FinishTaskManagement(id, request, response);
  });
  wait->Enter();
  AbortTasksOf(session, request, wait);
  wait->Leave();
}

// The initiator that asks needs no answers to what it aborts; the others are told (TASK ABORTED).
void Target::AbortTasksOf(Session& session, const TaskManagementRequest& request,
                          const std::shared_ptr<AbortWait>& wait) {
  using Function = TaskManagementFunction;
  const Function function = request.function;
  const bool whole_target =
      function == Function::kTargetWarmReset || function == Function::kTargetColdReset;
  const auto concerned = [&](const ScsiTask& task) {
    if (function == Function::kAbortTask) return task.itt == request.referenced_tag;
    // What was sent after the request is not meant.
    return (whole_target || LunNumber(task.lun) == kUnitLun) &&
           SerialLess(task.cmd_sn, request.cmd_sn + 1);
  };
  session.tasks().AbortIf(concerned, wait, false);
  if (function == Function::kAbortTask || function == Function::kAbortTaskSet) return;
  for (Entry& entry : sessions_) {
    if (entry.session.get() == &session) continue;
    const auto of_others = [whole_target](const ScsiTask& task) {
      return whole_target || LunNumber(task.lun) == kUnitLun;
    };
    entry.session->tasks().AbortIf(of_others, wait, true);
  }
}

void Target::FinishTaskManagement(uint64_t session_id, const TaskManagementRequest& request,
                                  TaskManagementResponse response) {
  Entry* const entry = Find(session_id);
  if (entry == nullptr) return;
  if (IsReset(request.function)) unit_->Reset();
  entry->session->FinishTaskManagement(request, response);
  if (request.function != TaskManagementFunction::kTargetColdReset) return;
  for (Entry& each : sessions_) each.session->DropAfterOutput("target cold reset");
}

}  // namespace aurochs::iscsi
