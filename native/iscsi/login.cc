#include "iscsi/login.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/limits.h"

namespace aurochs::iscsi {
namespace {

constexpr uint8_t kVersion = 0x00;  // 11.12.5

LoginStage CurrentStage(const Bhs& request) {
  return static_cast<LoginStage>(request.flags() >> kCurrentStageShift & kStageMask);
}
LoginStage NextStage(const Bhs& request) {
  return static_cast<LoginStage>(request.flags() & kStageMask);
}
bool HasTransit(const Bhs& request) {
  return (request.flags() & kTransitFlag) != 0;
}
bool HasContinue(const Bhs& request) {
  return (request.flags() & kContinueFlag) != 0;
}

Isid IsidOf(const Bhs& request) {
  Isid isid;
  std::copy_n(request.bytes().begin() + field::kIsid, isid.size(), isid.begin());
  return isid;
}

bool IsChapKey(std::string_view key) {
  return key.substr(0, 5) == "CHAP_";
}
bool IsIdentityKey(std::string_view key) {
  return key == "InitiatorName" || key == "TargetName" || key == "SessionType";
}
// Letters of other scripts are left to the list of initiators; what a terminal would obey is not.
bool HasForbiddenCharacter(std::string_view name) {
  for (size_t i = 0; i < name.size(); ++i) {
    const auto c = static_cast<uint8_t>(name[i]);
    if (c <= 0x20 || c == 0x7f) return true;  // blanks, the controls of ASCII
    const uint8_t next = i + 1 < name.size() ? static_cast<uint8_t>(name[i + 1]) : 0;
    if (c == 0xc2 && next >= 0x80 && next <= 0x9f) return true;  // those of Unicode, in UTF-8
  }
  return false;
}

LoginFault FaultOfName(std::string_view name) {
  if (name.size() > kTargetNameBytesMax) return LoginFault::kNameTooLong;
  return HasForbiddenCharacter(name) ? LoginFault::kNameMalformed : LoginFault::kNone;
}

// Where each state may go. Anything else is a bug, not an event.
bool MayMove(LoginNegotiation::State from, LoginNegotiation::State to) {
  using State = LoginNegotiation::State;
  switch (from) {
    case State::kStart: return to != State::kStart;
    case State::kSecurity:
      return to == State::kOperational || to == State::kDone || to == State::kFailed;
    case State::kOperational: return to == State::kDone || to == State::kFailed;
    case State::kDone:
    case State::kFailed: return false;
  }
  Unreachable("MayMove");
}

}  // namespace

LoginNegotiation::LoginNegotiation(LoginPolicy& policy, RandomSource random)
    : policy_(policy), random_(std::move(random)) {}

void LoginNegotiation::MoveTo(State next) {
  CHECK(MayMove(state_, next));
  state_ = next;
}

LoginNegotiation::Answer LoginNegotiation::OnRequest(const Bhs& request, std::string_view text) {
  CHECK(state_ != State::kDone && state_ != State::kFailed);
  Answer answer;
  LoginFault fault = started_ ? CheckSequence(request) : OnFirstRequest(request);
  if (fault == LoginFault::kNone && pending_text_.size() + text.size() > kLoginTextBytesMax) {
    fault = LoginFault::kTextTooLong;
  }
  if (fault == LoginFault::kNone) {
    pending_text_.append(text);
    if (HasContinue(request)) {
      if (HasTransit(request)) {
        fault = LoginFault::kContinueWithTransit;
      } else {
        answer.bhs = ResponseTo(request, fault, false);
        return answer;
      }
    }
  }
  if (fault == LoginFault::kNone) fault = OnCompleteText(request, answer.text);
  bool transit = false;
  if (fault == LoginFault::kNone && HasTransit(request)) {
    const State before = state_;
    fault = Transit(request);
    transit = state_ != before;
  }
  if (fault == LoginFault::kNone && answer.text.size() > kLoginPduTextBytes) {
    fault = LoginFault::kAnswerTooLong;
  }
  if (fault != LoginFault::kNone) {
    MoveTo(State::kFailed);
    fault_ = fault;
    answer.text.clear();
    transit = false;
  }
  answer.bhs = ResponseTo(request, fault, transit);
  return answer;
}

LoginFault LoginNegotiation::OnFirstRequest(const Bhs& request) {
  started_ = true;
  itt_ = request.itt();
  identity_.isid = IsidOf(request);
  identity_.tsih = request.U16(field::kTsih);
  identity_.cid = request.U16(field::kCid);
  identity_.cmd_sn = request.U32(field::kCmdSn);
  identity_.stat_sn = request.U32(field::kExpStatSn);  // any start will do; this one is friendly
  if (request.U8(field::kVersionMin) > kVersion) return LoginFault::kNewerVersion;
  if (CurrentStage(request) != LoginStage::kSecurity &&
      CurrentStage(request) != LoginStage::kOperational) {
    return LoginFault::kStageUnknown;
  }
  return LoginFault::kNone;
}

LoginFault LoginNegotiation::CheckSequence(const Bhs& request) const {
  const bool same_login = request.itt() == itt_ && IsidOf(request) == identity_.isid &&
                          request.U16(field::kTsih) == identity_.tsih &&
                          request.U16(field::kCid) == identity_.cid;
  if (!same_login) return LoginFault::kOtherLogin;
  const LoginStage stage = CurrentStage(request);
  const bool right_stage = (state_ == State::kSecurity && stage == LoginStage::kSecurity) ||
                           (state_ == State::kOperational && stage == LoginStage::kOperational) ||
                           (state_ == State::kStart &&
                            (stage == LoginStage::kSecurity || stage == LoginStage::kOperational));
  return right_stage ? LoginFault::kNone : LoginFault::kStageWrong;
}

LoginFault LoginNegotiation::OnCompleteText(const Bhs& request, std::string& answer) {
  const std::string text = std::exchange(pending_text_, {});
  const auto pairs = ParseText(text);
  if (!pairs.ok()) return LoginFault::kTextMalformed;
  if (!identified_) {
    const LoginFault fault = Identify(*pairs, CurrentStage(request), answer);
    if (fault != LoginFault::kNone) return fault;
  }
  for (const TextPair& pair : *pairs) {
    const LoginFault fault = OnPair(pair, answer);
    if (fault != LoginFault::kNone) return fault;
  }
  if (state_ == State::kSecurity) {
    const LoginFault fault = OnChapKeys(*pairs, answer);
    if (fault != LoginFault::kNone) return fault;
  }
  if (state_ == State::kOperational) keys_.Declare(answer);
  return LoginFault::kNone;
}

// 6.2 and 13.4 to 13.21: the first request says who wants what.
LoginFault LoginNegotiation::Identify(const std::vector<TextPair>& pairs, LoginStage stage,
                                      std::string& answer) {
  std::optional<std::string_view> session_type;
  for (const TextPair& pair : pairs) {
    if (pair.key == "InitiatorName") identity_.initiator = pair.value;
    if (pair.key == "TargetName") identity_.target = pair.value;
    if (pair.key == "SessionType") session_type = pair.value;
  }
  if (identity_.initiator.empty()) return LoginFault::kNoInitiatorName;
  const LoginFault name_fault = FaultOfName(identity_.initiator);
  if (name_fault != LoginFault::kNone) return name_fault;
  if (session_type && *session_type != "Normal" && *session_type != "Discovery") {
    return LoginFault::kSessionTypeUnknown;
  }
  parameters_.discovery = session_type == "Discovery";
  if (parameters_.discovery) {
    if (identity_.tsih != 0) return LoginFault::kNoSuchSession;
    identity_.target.clear();
    access_ = policy_.AccessToDiscovery();
  } else {
    if (identity_.target.empty()) return LoginFault::kNoTargetName;
    const LoginFault target_fault = FaultOfName(identity_.target);
    if (target_fault != LoginFault::kNone) return target_fault;
    access_ = policy_.AccessToTarget(identity_.target, identity_.initiator);
  }
  if (access_.fault != LoginFault::kNone) return access_.fault;
  // Skipping the security stage is for those who need no authentication (6.3).
  if (stage == LoginStage::kOperational && access_.chap) {
    return LoginFault::kSecuritySkipped;
  }
  identified_ = true;
  MoveTo(stage == LoginStage::kSecurity ? State::kSecurity : State::kOperational);
  if (!parameters_.discovery) {
    AppendPair(answer, "TargetPortalGroupTag", std::to_string(kPortalGroupTag));  // 13.9
  }
  return LoginFault::kNone;
}

LoginFault LoginNegotiation::OnPair(const TextPair& pair, std::string& answer) {
  if (IsIdentityKey(pair.key)) return LoginFault::kNone;  // Identify has judged them.
  if (pair.key == "AuthMethod" || IsChapKey(pair.key)) {
    if (state_ != State::kSecurity) {
      AppendPair(answer, pair.key, "Reject");
      return LoginFault::kNone;
    }
    return pair.key == "AuthMethod" ? OnAuthMethod(pair.value, answer) : LoginFault::kNone;
  }
  switch (keys_.OnKey(pair.key, pair.value, parameters_, answer)) {
    case OperationalKeys::Verdict::kAnswered: return LoginFault::kNone;
    case OperationalKeys::Verdict::kRenegotiated: return LoginFault::kKeyTwice;
    case OperationalKeys::Verdict::kMalformed: return LoginFault::kDeclarationBad;
  }
  Unreachable("LoginNegotiation::OnPair");
}

LoginFault LoginNegotiation::OnAuthMethod(std::string_view methods, std::string& answer) {
  if (method_settled_) return LoginFault::kKeyTwice;
  const std::string_view wanted = access_.chap ? "CHAP" : "None";
  const auto offered = SplitList(methods);
  if (std::find(offered.begin(), offered.end(), wanted) == offered.end()) {
    return LoginFault::kMethodNotOffered;
  }
  method_settled_ = true;
  if (access_.chap) chap_.emplace(*access_.chap, access_.mutual_chap, random_);
  AppendPair(answer, "AuthMethod", wanted);
  return LoginFault::kNone;
}

LoginFault LoginNegotiation::OnChapKeys(const std::vector<TextPair>& pairs, std::string& answer) {
  ChapTarget::Keys keys;
  const std::pair<std::string_view, std::optional<std::string_view>*> known[] = {
      {"CHAP_A", &keys.algorithms}, {"CHAP_N", &keys.name},      {"CHAP_R", &keys.response},
      {"CHAP_I", &keys.identifier}, {"CHAP_C", &keys.challenge},
  };
  for (const TextPair& pair : pairs) {
    if (!IsChapKey(pair.key)) continue;
    const auto* const entry =
        std::find_if(std::begin(known), std::end(known),
                     [&pair](const auto& candidate) { return candidate.first == pair.key; });
    // An unknown or repeated key of an authentication is no misunderstanding.
    if (entry == std::end(known) || entry->second->has_value()) {
      return LoginFault::kChapFailed;
    }
    *entry->second = pair.value;
  }
  if (!keys.any()) return LoginFault::kNone;
  if (!chap_ || chap_->Step(keys, answer) == ChapTarget::State::kFailed) {
    return LoginFault::kChapFailed;
  }
  return LoginFault::kNone;
}

bool LoginNegotiation::Authenticated() const {
  return !access_.chap || (chap_ && chap_->state() == ChapTarget::State::kDone);
}

// Leaves the stage if the initiator wants to and we are ready; else the answer has no T bit (6.3).
LoginFault LoginNegotiation::Transit(const Bhs& request) {
  const LoginStage next = NextStage(request);
  const bool forward = (next == LoginStage::kOperational && state_ == State::kSecurity) ||
                       next == LoginStage::kFullFeature;
  if (!forward) return LoginFault::kStageBackwards;
  if (state_ == State::kSecurity && !Authenticated()) {
    return method_settled_ ? LoginFault::kNone : LoginFault::kNotThrough;
  }
  CHECK(Authenticated());
  if (next == LoginStage::kOperational) {
    MoveTo(State::kOperational);
  } else {
    OperationalKeys::Settle(parameters_);
    MoveTo(State::kDone);
  }
  return LoginFault::kNone;
}

Bhs LoginNegotiation::ResponseTo(const Bhs& request, LoginFault fault, bool transit) {
  const bool success = fault == LoginFault::kNone;
  const auto stages = static_cast<uint8_t>(
      request.flags() & (kStageMask << kCurrentStageShift | (transit ? kStageMask : 0)));
  Bhs response(Opcode::kLoginResponse,
               static_cast<uint8_t>((transit ? kTransitFlag : 0) | (success ? stages : 0)));
  response.SetU8(field::kVersionMax, kVersion);
  response.SetU8(field::kVersionMin, kVersion);
  std::copy(identity_.isid.begin(), identity_.isid.end(), response.bytes().begin() + field::kIsid);
  response.SetU16(field::kTsih, identity_.tsih);
  response.SetU32(field::kItt, request.itt());
  response.SetU32(field::kStatSn, success ? identity_.stat_sn++ : identity_.stat_sn);
  response.SetU32(field::kExpCmdSn, identity_.cmd_sn);
  response.SetU32(field::kMaxCmdSn, identity_.cmd_sn + kCommandWindow - 1);
  response.SetU16(field::kLoginStatus, static_cast<uint16_t>(AnswerTo(fault).status));
  return response;
}

}  // namespace aurochs::iscsi
