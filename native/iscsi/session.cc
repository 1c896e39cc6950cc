#include "iscsi/session.h"

#include <algorithm>
#include <utility>

#include "base/limits.h"
#include "base/log.h"

namespace aurochs::iscsi {
namespace {

// Opcodes of initiators are below this (11.2.1.2).
constexpr uint8_t kFirstTargetOpcode = 0x20;

}  // namespace

std::optional<uint64_t> LunNumber(uint64_t lun_field) {
  if ((lun_field & 0x0000'ffff'ffff'ffff) != 0) return std::nullopt;  // more than one level
  const auto level = static_cast<uint16_t>(lun_field >> 48);
  switch (level >> 14) {
    case 0: return (level & 0x3f00) == 0 ? std::optional<uint64_t>(level & 0xff) : std::nullopt;
    case 1: return level & 0x3fff;  // flat space addressing
    default: return std::nullopt;
  }
}

Session::Session(EventLoop& loop, Host& host, Units units, uint64_t id, EstablishedLogin login,
                 const Timeouts& timeouts)
    : loop_(loop),
      host_(host),
      units_(units),
      id_(id),
      logout_grace_ms_(timeouts.logout_grace_ms),
      identity_(login.identity),
      parameters_(login.parameters),
      window_(login.identity.cmd_sn),
      tasks_(parameters_, *this),
      text_([this](const auto& pairs, std::string& answer) { OnTextPairs(pairs, answer); }),
      logout_timer_(loop, [this] { Drop("no logout in time"); }),
      connection_(loop, std::move(login), *this, timeouts) {
  tasks_.SetConnection(&connection_);
}

Session::~Session() {
  CHECK(state_ == State::kEnded);
}

void Session::MoveTo(State next) {
  // Forwards only; every state may be skipped.
  CHECK(next > state_);
  state_ = next;
}

// -- PDUs

std::byte* Session::OnHeader(const Bhs& bhs) {
  arriving_task_ = nullptr;
  arriving_fault_.reset();
  switch (bhs.opcode()) {
    case Opcode::kScsiCommand: return OnCommandHeader(bhs);
    case Opcode::kDataOut: return OnDataOutHeader(bhs);
    default: return nullptr;
  }
}

std::byte* Session::OnCommandHeader(const Bhs& bhs) {
  arriving_fault_ = FaultOfCommand(bhs);
  if (arriving_fault_) return nullptr;
  const bool present = LunNumber(bhs.U64(field::kLun)) == kUnitLun;
  arriving_task_ = present ? tasks_.Begin(bhs, *units_.unit, units_.nexus)
                           : tasks_.Begin(bhs, *units_.absent, units_.absent_nexus);
  return arriving_task_->immediate_target();
}

std::optional<PduFault> Session::FaultOfCommand(const Bhs& bhs) const {
  if (!bhs.immediate()) {
    const uint32_t cmd_sn = bhs.U32(field::kCmdSn);
    if (window_.PlaceOf(cmd_sn) == CommandWindow::Place::kOutside || parked_.contains(cmd_sn)) {
      return PduFault::kOutsideWindow;
    }
  } else if (tasks_.open_immediate() >= kImmediateTasksMax) {
    return PduFault::kTooManyImmediate;
  }
  if (units_.unit == nullptr) return PduFault::kScsiInDiscovery;
  if (bhs.ahs_bytes() > 0) return PduFault::kExtendedCdb;
  if (bhs.U32(field::kEdtl) > 0 && (bhs.flags() & (kReadFlag | kWriteFlag)) == 0) {
    return PduFault::kDirectionWithoutLength;
  }
  if (bhs.itt() == kReservedTag || tasks_.Find(bhs.itt()) != nullptr) {
    return PduFault::kTaskTagInUse;
  }
  return std::nullopt;
}

std::byte* Session::OnDataOutHeader(const Bhs& bhs) {
  ScsiTask* const task = tasks_.FindForDataOut(bhs);
  if (task == nullptr) {
    arriving_fault_ = PduFault::kDataOutForNoTask;
    return nullptr;
  }
  const auto place = tasks_.OnDataOutHeader(*task, bhs);
  if (place.wrong_tag) {
    arriving_fault_ = PduFault::kDataOutWrongTag;
  } else {
    arriving_task_ = task;
  }
  return place.into;
}

void Session::OnPdu(const Bhs& bhs, std::span<const std::byte> data) {
  const Request request{bhs, data, std::exchange(arriving_task_, nullptr),
                        std::exchange(arriving_fault_, std::nullopt)};
  switch (bhs.opcode()) {
    case Opcode::kScsiCommand:
    case Opcode::kNopOut:
    case Opcode::kTaskManagementRequest:
    case Opcode::kTextRequest:
    case Opcode::kLogoutRequest: OnRequest(request); return;
    case Opcode::kDataOut:
      if (request.fault) {
        connection_.OnFault(bhs, *request.fault);
      } else {
        tasks_.OnDataOut(*request.task, bhs);
      }
      return;
    case Opcode::kSnackRequest: connection_.OnFault(bhs, PduFault::kSnack); return;
    case Opcode::kLoginRequest: connection_.OnFault(bhs, PduFault::kLoginInFullFeature); return;
    default:
      connection_.OnFault(bhs, static_cast<uint8_t>(bhs.opcode()) >= kFirstTargetOpcode
                                   ? PduFault::kTargetOpcode
                                   : PduFault::kUnknownOpcode);
  }
}

// 4.2.2.1: immediate commands at once, the others in the order of their CmdSN.
void Session::OnRequest(Request request) {
  const uint32_t cmd_sn = request.bhs.U32(field::kCmdSn);
  // 11.18: an answer to our NOP-In has no place in the order, even if it is not marked so.
  const bool nop_answer =
      request.bhs.opcode() == Opcode::kNopOut && request.bhs.itt() == kReservedTag;
  if (request.bhs.immediate() || nop_answer) {
    Execute(request);
    return;
  }
  if (request.fault == PduFault::kOutsideWindow)
    return connection_.OnFault(request.bhs, *request.fault);
  const bool known = parked_.contains(cmd_sn);
  switch (known ? CommandWindow::Place::kOutside : window_.PlaceOf(cmd_sn)) {
    case CommandWindow::Place::kOutside:
      // A task was begun only if there was a place for it, and a window never shrinks.
      CHECK(request.task == nullptr);
      connection_.OnFault(request.bhs, PduFault::kOutsideWindow);
      return;
    case CommandWindow::Place::kLater: Park(request); return;
    case CommandWindow::Place::kNow: break;
  }
  window_.Advance();
  Execute(request);
  ExecuteParked();
}

void Session::ExecuteParked() {
  for (auto next = parked_.find(window_.expected()); next != parked_.end() && open();
       next = parked_.find(window_.expected())) {
    const ParkedRequest parked = std::move(next->second);
    parked_.erase(next);
    window_.Advance();
    if (!parked.never_came) Execute(parked.request);
  }
}

void Session::Park(const Request& request) {
  if (request.task != nullptr) tasks_.Park(*request.task);
  ParkedRequest& parked = parked_[request.bhs.U32(field::kCmdSn)];
  parked.request = request;
  // The data of a command is with its task.
  if (request.task == nullptr) parked.data.assign(request.data.begin(), request.data.end());
  parked.request.data = parked.data;
}

void Session::Execute(const Request& request) {
  if (request.fault) {
    connection_.OnFault(request.bhs, *request.fault);
    return;
  }
  if (state_ == State::kLogout) {
    if (request.task != nullptr) tasks_.Forget(*request.task);
    return;
  }
  switch (request.bhs.opcode()) {
    case Opcode::kScsiCommand: tasks_.Start(*request.task); return;
    case Opcode::kNopOut: OnNopOut(request); return;
    case Opcode::kTaskManagementRequest: OnTaskManagement(request); return;
    case Opcode::kTextRequest: OnTextRequest(request); return;
    case Opcode::kLogoutRequest: OnLogout(request); return;
    default: Unreachable("Session::Execute");
  }
}

void Session::FillOutput() {
  tasks_.FillOutput();
}

void Session::StampCommandWindow(Bhs& bhs) {
  window_.SetOpen(tasks_.open_in_window());
  bhs.SetU32(field::kExpCmdSn, window_.expected());
  bhs.SetU32(field::kMaxCmdSn, window_.max());
}

// -- Requests

void Session::OnNopOut(const Request& request) {
  if (request.bhs.itt() == kReservedTag)
    return;  // The answer to our NOP-In; hearing it was enough.
  Bhs bhs(Opcode::kNopIn);
  bhs.SetU64(field::kLun, request.bhs.U64(field::kLun));
  bhs.SetU32(field::kItt, request.bhs.itt());
  bhs.SetU32(field::kTtt, kReservedTag);
  OutPdu* const pdu = connection_.New(bhs);
  const size_t echo_bytes =
      std::min<size_t>(request.data.size(), connection_.initiator_segment_bytes_max());
  pdu->text = AsText(request.data.first(echo_bytes));
  connection_.AppendStatus(pdu);
}

void Session::OnTextRequest(const Request& request) {
  auto answer =
      text_.OnRequest(request.bhs, AsText(request.data), connection_.initiator_segment_bytes_max());
  if (answer.fault) {
    connection_.OnFault(request.bhs, *answer.fault);
    return;
  }
  OutPdu* const pdu = connection_.New(answer.bhs);
  pdu->text = std::move(answer.text);
  connection_.AppendStatus(pdu);
}

void Session::OnTextPairs(const std::vector<TextPair>& pairs, std::string& answer) {
  for (const TextPair& pair : pairs) {
    if (pair.key == "SendTargets") {
      const std::optional<std::string> targets = host_.SendTargets(*this, pair.value);
      if (targets) {
        answer.append(*targets);
      } else {
        AppendPair(answer, pair.key, "Reject");
      }
    } else {
      OnFullFeatureKey(pair.key, pair.value, parameters_, answer);
    }
  }
  connection_.SetInitiatorSegmentBytesMax(parameters_.initiator_segment_bytes_max);
}

void Session::OnTaskManagement(const Request& request) {
  const TaskManagementRequest decoded{
      .function = static_cast<TaskManagementFunction>(request.bhs.flags() & 0x7f),
      .lun = request.bhs.U64(field::kLun),
      .itt = request.bhs.itt(),
      .cmd_sn = request.bhs.U32(field::kCmdSn),
      .referenced_tag = request.bhs.U32(field::kReferencedTag),
      .referenced_cmd_sn = request.bhs.U32(field::kRefCmdSn),
  };
  if (functions_open_ == kTaskManagementOpenMax) {
    AnswerTaskManagement(decoded.itt, TaskManagementResponse::kRejected);
    return;
  }
  ++functions_open_;
  host_.ManageTasks(*this, decoded);
}

bool Session::CountAsReceived(uint32_t cmd_sn, uint32_t before) {
  const bool missing =
      window_.PlaceOf(cmd_sn) != CommandWindow::Place::kOutside && !parked_.contains(cmd_sn);
  if (!missing || !SerialLess(cmd_sn, before)) return false;
  parked_[cmd_sn].never_came = true;
  ExecuteParked();
  return true;
}

void Session::FinishTaskManagement(const TaskManagementRequest& request,
                                   TaskManagementResponse response) {
  if (!open()) return;
  CHECK(functions_open_ > 0);
  --functions_open_;
  AnswerTaskManagement(request.itt, response);
}

void Session::AnswerTaskManagement(uint32_t itt, TaskManagementResponse response) {
  Bhs bhs(Opcode::kTaskManagementResponse);
  bhs.SetU8(field::kResponse, static_cast<uint8_t>(response));
  bhs.SetU32(field::kItt, itt);
  connection_.AppendStatus(connection_.New(bhs));
}

void Session::OnLogout(const Request& request) {
  const uint32_t itt = request.bhs.itt();
  const auto reason = static_cast<LogoutReason>(request.bhs.flags() & 0x7f);
  switch (reason) {
    case LogoutReason::kCloseConnection:
      if (request.bhs.U16(field::kCid) != connection_.cid()) {
        SendLogoutResponse(itt, LogoutResponse::kCidNotFound);
        return;
      }
      break;  // The last connection takes the session with it.
    case LogoutReason::kCloseSession: break;
    case LogoutReason::kRemoveForRecovery:
      SendLogoutResponse(itt, LogoutResponse::kRecoveryNotSupported);
      return;
    default: connection_.OnFault(request.bhs, PduFault::kLogoutMalformed); return;
  }
  MoveTo(State::kLogout);
  // W6: the answer says that nothing of this session changes data any more.
  const auto wait = std::make_shared<AbortWait>([this, itt] {
    if (state_ != State::kLogout) return;
    SendLogoutResponse(itt, LogoutResponse::kClosed);
    connection_.CloseAfterOutput("logged out");
  });
  wait->Enter();
  tasks_.AbortIf([](const ScsiTask&) { return true; }, wait, false);
  wait->Leave();
}

void Session::SendLogoutResponse(uint32_t itt, LogoutResponse response) {
  Bhs bhs(Opcode::kLogoutResponse);
  bhs.SetU8(field::kResponse, static_cast<uint8_t>(response));
  bhs.SetU32(field::kItt, itt);
  bhs.SetU16(field::kTime2Wait, static_cast<uint16_t>(parameters_.time_to_wait_s));
  bhs.SetU16(field::kTime2Retain, static_cast<uint16_t>(parameters_.time_to_retain_s));
  connection_.AppendStatus(connection_.New(bhs));
}

// -- Ends

void Session::RequestLogout() {
  if (state_ != State::kOpen) return;
  Bhs bhs(Opcode::kAsyncMessage);
  bhs.SetU32(field::kItt, kReservedTag);
  bhs.SetU8(field::kAsyncEvent, static_cast<uint8_t>(AsyncEvent::kLogoutRequest));
  bhs.SetU16(field::kParameter3, static_cast<uint16_t>(logout_grace_ms_ / 1000));
  connection_.AppendStatus(connection_.New(bhs));
  logout_timer_.Start(logout_grace_ms_);
}

void Session::DropAfterOutput(std::string_view why) {
  if (open()) connection_.CloseAfterOutput(why);
}

void Session::Drop(std::string_view why) {
  if (!open()) return;
  connection_.Close();
  OnConnectionLost(why);
}

void Session::OnConnectionLost(std::string_view why) {
  Log(LogLevel::kInfo, "iscsi",
      "session of " + identity_.initiator + " at " + remote_address() + ": " + std::string(why));
  MoveTo(State::kDraining);
  logout_timer_.Cancel();
  parked_.clear();
  tasks_.Drop();
  EndIfDrained();
}

void Session::OnTaskGone() {
  EndIfDrained();
}

void Session::EndIfDrained() {
  if (state_ != State::kDraining || tasks_.submitted() > 0) return;
  MoveTo(State::kEnded);
  host_.OnSessionEnded(*this);
}

}  // namespace aurochs::iscsi
