// Every line of the two tables that say what bad input gets (pdu_fault.cc, login_fault.cc).
#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/limits.h"
#include "iscsi/login.h"
#include "iscsi/pdu_fault.h"
#include "iscsi_server_fixture.h"

namespace aurochs::iscsi::test {
namespace {

using Action = FaultAction;
using Reason = RejectReason;

std::span<const std::byte> BytesOf(const std::string& text) {
  return AsBytes(text);
}
std::string Raw(const Bhs& bhs) {
  return std::string(AsText(bhs.bytes()));
}

// -- PDUs after the login

struct PduCase {
  PduFault fault;
  Action action;
  Reason reason;  // for the two that reject
  std::function<void(Initiator&)> provoke;
  LoginOptions login = {};
};

std::string NoInitialR2t() {
  std::string keys;
  AppendPair(keys, "InitialR2T", "No");
  return keys;
}

// A write that waits for unsolicited data, without an answer until then.
Bhs WaitingWrite(Initiator& initiator) {
  return initiator.Write(0, 8, true);
}

const std::vector<PduCase>& PduCases() {
  static const std::vector<PduCase> cases = {
      {PduFault::kHeaderDigest,
       Action::kClose,
       {},
       [](Initiator& i) { i.SendBytes(BytesOf(Raw(i.Immediate(Opcode::kNopOut)) + "bad!")); },
       {.header_digest = true}},
      {PduFault::kDataDigest,
       Action::kRejectAndClose,
       Reason::kDataDigestError,
       [](Initiator& i) {
         Bhs ping = i.Immediate(Opcode::kNopOut);
         ping.SetDataSegmentBytes(4);
         i.SendBytes(BytesOf(Raw(ping) + "pingbad!"));
       },
       {.data_digest = true}},
      {PduFault::kDataTooLong, Action::kRejectAndClose, Reason::kProtocolError,
       [](Initiator& i) {
         Bhs ping = i.Immediate(Opcode::kNopOut);
         ping.SetDataSegmentBytes(kPduDataSegmentBytesMax + 1);
         i.SendBytes(ping.bytes());
       }},
      {PduFault::kUnknownOpcode, Action::kReject, Reason::kCommandNotSupported,
       [](Initiator& i) { i.Send(i.Immediate(static_cast<Opcode>(0x1c))); }},
      {PduFault::kTargetOpcode, Action::kRejectAndClose, Reason::kProtocolError,
       [](Initiator& i) { i.Send(i.Immediate(Opcode::kScsiResponse)); }},
      {PduFault::kLoginInFullFeature, Action::kRejectAndClose, Reason::kProtocolError,
       [](Initiator& i) { i.Send(i.Immediate(Opcode::kLoginRequest)); }},
      {PduFault::kSnack, Action::kReject, Reason::kSnackReject,
       [](Initiator& i) { i.Send(i.Immediate(Opcode::kSnackRequest)); }},
      {PduFault::kOutsideWindow,
       Action::kDiscard,
       {},
       [](Initiator& i) {
         Bhs read = i.Read(0, 1);
         read.SetU32(field::kCmdSn, read.U32(field::kCmdSn) + kCommandWindow);
         i.Send(read);
       }},
      {PduFault::kTooManyImmediate,
       Action::kReject,
       Reason::kTooManyImmediateCommands,
       [](Initiator& i) {
         for (uint32_t sent = 0; sent <= kImmediateTasksMax; ++sent) {
           Bhs write = WaitingWrite(i);
           write.SetU8(field::kOpcode, static_cast<uint8_t>(Opcode::kScsiCommand) | kImmediateFlag);
           i.Send(write);
         }
       },
       {.keys = NoInitialR2t()}},
      {PduFault::kScsiInDiscovery,
       Action::kReject,
       Reason::kCommandNotSupported,
       [](Initiator& i) { i.Send(i.Read(0, 1)); },
       {.target = ""}},
      {PduFault::kTaskTagInUse,
       Action::kReject,
       Reason::kTaskInProgress,
       [](Initiator& i) {
         const Bhs first = WaitingWrite(i);
         i.Send(first);
         Bhs second = i.Read(0, 1);
         second.SetU32(field::kItt, first.itt());
         i.Send(second);
       },
       {.keys = NoInitialR2t()}},
      {PduFault::kExtendedCdb, Action::kReject, Reason::kCommandNotSupported,
       [](Initiator& i) {
         Bhs read = i.Read(0, 1);
         read.SetU8(field::kAhsWords, 1);
         i.SendBytes(BytesOf(Raw(read) + "more"));
       }},
      {PduFault::kDirectionWithoutLength, Action::kReject, Reason::kInvalidPduField,
       [](Initiator& i) {
         Bhs read = i.Read(0, 1);
         read.SetU8(field::kFlags, kFinalFlag);
         i.Send(read);
       }},
      {PduFault::kDataOutForNoTask,
       Action::kDiscard,
       {},
       [](Initiator& i) { i.Send(Initiator::DataOut(i.Immediate(Opcode::kNopOut), 1, 0, 0)); }},
      {PduFault::kDataOutWrongTag,
       Action::kReject,
       Reason::kInvalidPduField,
       [](Initiator& i) {
         const Bhs write = WaitingWrite(i);
         i.Send(write);
         i.Send(Initiator::DataOut(write, 4711, 0, 0), "data");
       },
       {.keys = NoInitialR2t()}},
      {PduFault::kTextTooLong, Action::kReject, Reason::kLongOperationReject,
       [](Initiator& i) {
         i.Send(i.Request(Opcode::kTextRequest), std::string(kTextRequestBytesMax + 1, 'x'));
       }},
      {PduFault::kTextMalformed, Action::kReject, Reason::kInvalidPduField,
       [](Initiator& i) { i.Send(i.Request(Opcode::kTextRequest), "no pair"); }},
      {PduFault::kTextOutOfTurn, Action::kReject, Reason::kInvalidPduField,
       [](Initiator& i) {
         Bhs text = i.Request(Opcode::kTextRequest);
         text.SetU32(field::kTtt, 4711);
         i.Send(text);
       }},
      {PduFault::kLogoutMalformed, Action::kReject, Reason::kInvalidPduField,
       [](Initiator& i) { i.Send(i.Logout(static_cast<LogoutReason>(99))); }},
  };
  return cases;
}

class IscsiFaults : public ServerTest {
 protected:
  static void ExpectReject(Initiator& initiator, Reason reason) {
    const Pdu pdu = initiator.Next();
    EXPECT_EQ(pdu.bhs.opcode(), Opcode::kReject);
    EXPECT_EQ(pdu.bhs.U8(field::kResponse), static_cast<uint8_t>(reason));
    EXPECT_EQ(pdu.data.size(), kBhsBytes);
  }
  static void ExpectAlive(Initiator& initiator) {
    const Bhs ping = initiator.Immediate(Opcode::kNopOut);
    initiator.Send(ping, "ping");
    EXPECT_EQ(initiator.Next().bhs.itt(), ping.itt());
  }
};

INSTANTIATE_FOR_EVERY_BACKEND(IscsiFaults);

TEST_P(IscsiFaults, OfPdusAreAnsweredAsEveryLineOfTheTableSays) {
  std::set<PduFault> seen;
  for (const PduCase& each : PduCases()) {
    SCOPED_TRACE(AnswerTo(each.fault).message);
    seen.insert(each.fault);
    Initiator initiator(address_);
    ASSERT_EQ(initiator.LoginTo(each.login), LoginStatus::kSuccess);
    each.provoke(initiator);
    switch (each.action) {
      case Action::kDiscard: ExpectAlive(initiator); break;
      case Action::kReject:
        ExpectReject(initiator, each.reason);
        ExpectAlive(initiator);
        break;
      case Action::kRejectAndClose:
        ExpectReject(initiator, each.reason);
        EXPECT_FALSE(initiator.Receive().has_value());
        break;
      case Action::kClose: EXPECT_FALSE(initiator.Receive().has_value()); break;
    }
  }
  EXPECT_EQ(seen.size(), static_cast<size_t>(PduFault::kLogoutMalformed) + 1);
}

// -- Logins

constexpr uint8_t kSecurity = 0x00;
constexpr uint8_t kOperational = 0x04;
constexpr uint8_t kSecurityToEnd = 0x83;
constexpr uint8_t kOperationalToEnd = 0x87;

// Text with a space for each NUL byte.
std::string Text(std::string text) {
  for (char& c : text) {
    if (c == ' ') c = '\0';
  }
  return text.empty() ? text : text + '\0';
}

struct Step {
  uint8_t flags;
  std::string text;
  std::function<void(Bhs&)> change = {};
};

struct LoginCase {
  LoginFault fault;
  LoginStatus status;
  std::vector<Step> steps;  // all but the last succeed
};

const char kNames[] = "InitiatorName=iqn.i TargetName=iqn.t";
const char kGuarded[] = "InitiatorName=iqn.i TargetName=iqn.guarded";

class Policy final : public LoginPolicy {
 public:
  Access AccessToTarget(std::string_view target, std::string_view initiator) override {
    if (target == "iqn.none") return {.fault = LoginFault::kNoSuchTarget};
    if (initiator == "iqn.stranger") return {.fault = LoginFault::kInitiatorNotListed};
    if (target != "iqn.guarded") return {};
    return {.chap = ChapCredentials{"user", "twelve-bytes"}};
  }
  Access AccessToDiscovery() override { return {}; }
};

std::string With(const char* names, const std::string& more) {
  return Text(names + (" " + more));
}

const std::vector<LoginCase>& LoginCases() {
  using Fault = LoginFault;
  using Status = LoginStatus;
  const std::string too_long(kTargetNameBytesMax + 1, 'i');
  std::string unknown;
  for (int i = 0; i < 700; ++i) unknown += "X-k" + std::to_string(i) + "=1 ";
  std::vector<Step> endless;
  for (size_t sent = 0; sent <= kLoginTextBytesMax; sent += kLoginPduTextBytes) {
    endless.push_back({kOperational | kContinueFlag, std::string(kLoginPduTextBytes, 'x')});
  }
  static const std::vector<LoginCase> cases = {
      {Fault::kNewerVersion,
       Status::kUnsupportedVersion,
       {{kOperational, Text(kNames), [](Bhs& bhs) { bhs.SetU8(field::kVersionMin, 1); }}}},
      {Fault::kStageUnknown, Status::kInitiatorError, {{0x0c, Text(kNames)}}},
      {Fault::kStageWrong,
       Status::kInitiatorError,
       {{kOperational, Text(kNames)}, {kSecurity, ""}}},
      {Fault::kStageBackwards, Status::kInitiatorError, {{0x84, Text(kNames)}}},
      {Fault::kOtherLogin,
       Status::kInitiatorError,
       {{kOperational, Text(kNames)},
        {kOperational, "", [](Bhs& bhs) { bhs.SetU16(field::kCid, 9); }}}},
      {Fault::kContinueWithTransit,
       Status::kInitiatorError,
       {{kOperationalToEnd | kContinueFlag, Text(kNames)}}},
      {Fault::kTextTooLong, Status::kOutOfResources, endless},
      {Fault::kTextMalformed, Status::kInitiatorError, {{kOperational, Text("InitiatorName")}}},
      {Fault::kAnswerTooLong, Status::kInitiatorError, {{kOperational, With(kNames, unknown)}}},
      {Fault::kNoInitiatorName,
       Status::kMissingParameter,
       {{kOperational, Text("TargetName=iqn.t")}}},
      {Fault::kNoTargetName,
       Status::kMissingParameter,
       {{kOperational, Text("InitiatorName=iqn.i")}}},
      {Fault::kNameTooLong,
       Status::kInitiatorError,
       {{kOperational, Text("TargetName=iqn.t InitiatorName=" + too_long)}}},
      {Fault::kNameMalformed,
       Status::kInitiatorError,
       {{kOperational, Text("TargetName=iqn.t InitiatorName=iqn.\x1b[31mred")}}},
      {Fault::kNameMalformed,
       Status::kInitiatorError,
       {{kOperational, Text("TargetName=iqn.t InitiatorName=iqn.i\nerror")}}},
      {Fault::kNameMalformed,
       Status::kInitiatorError,
       {{kOperational, Text("TargetName=iqn.t InitiatorName=iqn.\xc2\x9b"
                            "31m")}}},
      {Fault::kSessionTypeUnknown,
       Status::kSessionTypeNotSupported,
       {{kOperational, With(kNames, "SessionType=Boot")}}},
      {Fault::kKeyTwice,
       Status::kInitiatorError,
       {{kOperational, With(kNames, "MaxBurstLength=65536 MaxBurstLength=65536")}}},
      {Fault::kDeclarationBad,
       Status::kInitiatorError,
       {{kOperational, With(kNames, "MaxRecvDataSegmentLength=511")}}},
      {Fault::kMethodNotOffered,
       Status::kAuthenticationFailure,
       {{kSecurity, With(kGuarded, "AuthMethod=None,KRB5")}}},
      {Fault::kSecuritySkipped,
       Status::kAuthenticationFailure,
       {{kOperationalToEnd, Text(kGuarded)}}},
      {Fault::kNotThrough, Status::kAuthenticationFailure, {{kSecurityToEnd, Text(kGuarded)}}},
      {Fault::kChapFailed,
       Status::kAuthenticationFailure,
       {{kSecurity, With(kGuarded, "AuthMethod=CHAP")}, {kSecurity, Text("CHAP_A=4")}}},
      {Fault::kNoSuchTarget,
       Status::kNotFound,
       {{kOperational, Text("InitiatorName=iqn.i TargetName=iqn.none")}}},
      {Fault::kInitiatorNotListed,
       Status::kAuthorizationFailure,
       {{kOperational, Text("InitiatorName=iqn.stranger TargetName=iqn.t")}}},
      {Fault::kNoSuchSession,
       Status::kSessionDoesNotExist,
       {{kOperational, Text("InitiatorName=iqn.i SessionType=Discovery"),
         [](Bhs& bhs) { bhs.SetU16(field::kTsih, 7); }}}},
  };
  return cases;
}

TEST(IscsiLoginFaults, OfANegotiationAreAnsweredAsEveryLineOfTheTableSays) {
  for (const LoginCase& each : LoginCases()) {
    SCOPED_TRACE(AnswerTo(each.fault).message);
    Policy policy;
    LoginNegotiation login(policy, SecureRandom);
    for (const Step& step : each.steps) {
      ASSERT_NE(login.state(), LoginNegotiation::State::kFailed);
      Bhs bhs(Opcode::kLoginRequest, step.flags);
      if (step.change) step.change(bhs);
      const LoginNegotiation::Answer answer = login.OnRequest(bhs, step.text);
      if (&step != &each.steps.back()) continue;
      EXPECT_EQ(login.state(), LoginNegotiation::State::kFailed);
      EXPECT_EQ(login.fault(), each.fault);
      EXPECT_EQ(answer.bhs.U16(field::kLoginStatus), static_cast<uint16_t>(each.status));
      EXPECT_TRUE(answer.text.empty());
    }
  }
}

TEST(IscsiLoginFaults, OfTheServerHaveTheStatusOfTheirLine) {
  const std::pair<LoginFault, LoginStatus> lines[] = {
      {LoginFault::kNone, LoginStatus::kSuccess},
      {LoginFault::kTargetGone, LoginStatus::kTargetRemoved},
      {LoginFault::kTooManySessions, LoginStatus::kOutOfResources},
      {LoginFault::kSecondConnection, LoginStatus::kTooManyConnections},
      {LoginFault::kOvertaken, LoginStatus::kTargetError},
  };
  std::set<LoginFault> seen;
  for (const auto& [fault, status] : lines) {
    EXPECT_EQ(AnswerTo(fault).status, status);
    seen.insert(fault);
  }
  for (const LoginCase& each : LoginCases()) seen.insert(each.fault);
  EXPECT_EQ(seen.size(), static_cast<size_t>(LoginFault::kOvertaken) + 1);
}

}  // namespace
}  // namespace aurochs::iscsi::test
