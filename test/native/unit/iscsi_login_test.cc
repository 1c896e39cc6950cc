#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/limits.h"
#include "iscsi/login.h"

namespace aurochs::iscsi {
namespace {

constexpr uint8_t kSecurityStage = 0;
constexpr uint8_t kOperationalStage = 1;
constexpr uint8_t kFullFeatureStage = 3;

// Text is written with spaces for NUL bytes here.
std::string Text(std::string readable) {
  std::replace(readable.begin(), readable.end(), ' ', '\0');
  return readable.empty() ? readable : readable + '\0';
}
std::string Readable(std::string text) {
  std::replace(text.begin(), text.end(), '\0', ' ');
  if (!text.empty()) text.pop_back();
  return text;
}

class FakePolicy : public LoginPolicy {
 public:
  Access AccessToTarget(std::string_view target, std::string_view initiator) override {
    if (target != "iqn.t") return {.fault = LoginFault::kNoSuchTarget};
    if (initiator == "iqn.stranger") return {.fault = LoginFault::kInitiatorNotListed};
    return target_access;
  }
  Access AccessToDiscovery() override { return discovery_access; }

  Access target_access;
  Access discovery_access;
};

// One login, from the initiator's side.
class IscsiLogin : public testing::Test {
 protected:
  struct Flags {
    uint8_t current;
    bool transit = false;
    uint8_t next = 0;
    bool more = false;
  };

  static Bhs Request(Flags flags) {
    Bhs bhs(Opcode::kLoginRequest, static_cast<uint8_t>((flags.transit ? kTransitFlag : 0) |
                                                        (flags.more ? kContinueFlag : 0) |
                                                        flags.current << 2 | flags.next));
    bhs.SetU8(field::kOpcode, 0x43);
    for (size_t i = 0; i < 6; ++i) bhs.SetU8(field::kIsid + i, static_cast<uint8_t>(0x80 + i));
    bhs.SetU32(field::kItt, 5);
    bhs.SetU32(field::kCmdSn, 77);
    bhs.SetU32(field::kExpStatSn, 1000);
    return bhs;
  }

  // Sends a request; the answer's text.
  std::string Send(Flags flags, const std::string& text) { return Send(Request(flags), text); }
  std::string Send(const Bhs& request, const std::string& text) {
    last_ = login_.OnRequest(request, Text(text));
    return Readable(last_.text);
  }

  LoginStatus status() const {
    return static_cast<LoginStatus>(last_.bhs.U16(field::kLoginStatus));
  }
  bool transits() const { return (last_.bhs.flags() & kTransitFlag) != 0; }
  static RandomSource Zeros() {
    return [](std::span<std::byte> into) {
      std::fill(into.begin(), into.end(), std::byte{0});
      return true;
    };
  }

  FakePolicy policy_;
  LoginNegotiation login_{policy_, Zeros()};
  LoginNegotiation::Answer last_;
};

constexpr char kNames[] = "InitiatorName=iqn.i TargetName=iqn.t";

TEST_F(IscsiLogin, GoesFromSecurityOverOperationalToFullFeature) {
  EXPECT_EQ(Send({kSecurityStage, true, kOperationalStage},
                 std::string(kNames) + " SessionType=Normal AuthMethod=None"),
            "TargetPortalGroupTag=1 AuthMethod=None");
  EXPECT_TRUE(transits());
  EXPECT_EQ(login_.state(), LoginNegotiation::State::kOperational);
  EXPECT_EQ(Send({kOperationalStage, true, kFullFeatureStage}, "HeaderDigest=None"),
            "HeaderDigest=None MaxRecvDataSegmentLength=262144");
  EXPECT_EQ(login_.state(), LoginNegotiation::State::kDone);
  EXPECT_EQ(login_.identity().initiator, "iqn.i");
  EXPECT_EQ(login_.identity().target, "iqn.t");
  EXPECT_EQ(login_.identity().cmd_sn, 77u);
}

TEST_F(IscsiLogin, MayStartInTheOperationalStage) {
  Send({kOperationalStage, true, kFullFeatureStage}, kNames);
  EXPECT_EQ(status(), LoginStatus::kSuccess);
  EXPECT_EQ(login_.state(), LoginNegotiation::State::kDone);
}

TEST_F(IscsiLogin, MayGoFromSecurityStraightToFullFeature) {
  Send({kSecurityStage, true, kFullFeatureStage}, kNames);
  EXPECT_TRUE(transits());
  EXPECT_EQ(login_.state(), LoginNegotiation::State::kDone);
}

TEST_F(IscsiLogin, NumbersItsAnswersAndRepeatsTheInitiatorsTags) {
  Send({kSecurityStage}, kNames);
  EXPECT_EQ(last_.bhs.opcode(), Opcode::kLoginResponse);
  EXPECT_EQ(last_.bhs.itt(), 5u);
  EXPECT_EQ(last_.bhs.U32(field::kStatSn), 1000u);
  EXPECT_EQ(last_.bhs.U32(field::kExpCmdSn), 77u);
  EXPECT_EQ(last_.bhs.U32(field::kMaxCmdSn), 77u + kCommandWindow - 1);
  EXPECT_EQ(last_.bhs.U8(field::kIsid), 0x80);
  Send({kSecurityStage}, "");
  EXPECT_EQ(last_.bhs.U32(field::kStatSn), 1001u);
  EXPECT_EQ(login_.identity().stat_sn, 1002u);
}

TEST_F(IscsiLogin, StaysInAStageUntilTheInitiatorWantsToLeaveIt) {
  Send({kOperationalStage}, kNames);
  EXPECT_FALSE(transits());
  EXPECT_EQ(Send({kOperationalStage}, "MaxBurstLength=65536"), "MaxBurstLength=65536");
  EXPECT_EQ(login_.state(), LoginNegotiation::State::kOperational);
  EXPECT_EQ(Send({kOperationalStage, true, kFullFeatureStage}, ""), "");
  EXPECT_TRUE(transits());
}

// -- Each operational key, line by line: what is offered, what is answered.

struct KeyLine {
  const char* offer;
  const char* answer;
};

class IscsiLoginKey : public IscsiLogin, public testing::WithParamInterface<KeyLine> {};

TEST_P(IscsiLoginKey, IsAnsweredAsTheTableSays) {
  Send({kOperationalStage}, kNames);
  EXPECT_EQ(Send({kOperationalStage}, GetParam().offer), GetParam().answer);
  EXPECT_EQ(status(), LoginStatus::kSuccess);
}

INSTANTIATE_TEST_SUITE_P(
    Normal, IscsiLoginKey,
    testing::Values(KeyLine{"HeaderDigest=CRC32C,None", "HeaderDigest=CRC32C"},
                    KeyLine{"HeaderDigest=None,CRC32C", "HeaderDigest=None"},
                    KeyLine{"HeaderDigest=SHA,CRC32C", "HeaderDigest=CRC32C"},
                    KeyLine{"HeaderDigest=SHA", "HeaderDigest=Reject"},
                    KeyLine{"DataDigest=CRC32C", "DataDigest=CRC32C"},
                    KeyLine{"DataDigest=None", "DataDigest=None"},
                    KeyLine{"MaxConnections=8", "MaxConnections=1"},
                    KeyLine{"MaxConnections=0", "MaxConnections=Reject"},
                    KeyLine{"MaxConnections=65536", "MaxConnections=Reject"},
                    KeyLine{"InitiatorAlias=somebody", ""},
                    KeyLine{"InitialR2T=No", "InitialR2T=No"},
                    KeyLine{"InitialR2T=Yes", "InitialR2T=Yes"},
                    KeyLine{"InitialR2T=Maybe", "InitialR2T=Reject"},
                    KeyLine{"ImmediateData=Yes", "ImmediateData=Yes"},
                    KeyLine{"ImmediateData=No", "ImmediateData=No"},
                    KeyLine{"MaxRecvDataSegmentLength=262144", ""},
                    KeyLine{"MaxBurstLength=16776192", "MaxBurstLength=1048576"},
                    KeyLine{"MaxBurstLength=0x1000", "MaxBurstLength=4096"},
                    KeyLine{"MaxBurstLength=511", "MaxBurstLength=Reject"},
                    KeyLine{"MaxBurstLength=16777216", "MaxBurstLength=Reject"},
                    KeyLine{"MaxBurstLength=-512", "MaxBurstLength=Reject"},
                    KeyLine{"FirstBurstLength=512", "FirstBurstLength=512"},
                    KeyLine{"FirstBurstLength=16777215", "FirstBurstLength=262144"},
                    KeyLine{"DefaultTime2Wait=0", "DefaultTime2Wait=2"},
                    KeyLine{"DefaultTime2Wait=3600", "DefaultTime2Wait=3600"},
                    KeyLine{"DefaultTime2Wait=3601", "DefaultTime2Wait=Reject"},
                    KeyLine{"DefaultTime2Retain=20", "DefaultTime2Retain=0"},
                    KeyLine{"MaxOutstandingR2T=1", "MaxOutstandingR2T=1"},
                    KeyLine{"MaxOutstandingR2T=65535", "MaxOutstandingR2T=4"},
                    KeyLine{"DataPDUInOrder=No", "DataPDUInOrder=Yes"},
                    KeyLine{"DataSequenceInOrder=No", "DataSequenceInOrder=Yes"},
                    KeyLine{"ErrorRecoveryLevel=2", "ErrorRecoveryLevel=0"},
                    KeyLine{"ErrorRecoveryLevel=3", "ErrorRecoveryLevel=Reject"},
                    KeyLine{"TaskReporting=FastAbort,RFC3720", "TaskReporting=RFC3720"},
                    KeyLine{"TaskReporting=FastAbort", "TaskReporting=Reject"},
                    KeyLine{"iSCSIProtocolLevel=2", "iSCSIProtocolLevel=1"},
                    KeyLine{"iSCSIProtocolLevel=32", "iSCSIProtocolLevel=Reject"},
                    KeyLine{"IFMarker=Yes", "IFMarker=No"}, KeyLine{"OFMarker=No", "OFMarker=No"},
                    KeyLine{"OFMarkInt=2048~8192", "OFMarkInt=Reject"},
                    KeyLine{"X-com.example.key=1", "X-com.example.key=NotUnderstood"},
                    KeyLine{"SendTargets=All", "SendTargets=NotUnderstood"},
                    KeyLine{"AuthMethod=None", "AuthMethod=Reject"}));

class IscsiDiscoveryLoginKey : public IscsiLoginKey {};

TEST_P(IscsiDiscoveryLoginKey, IsAnsweredAsTheTableSays) {
  Send({kOperationalStage}, "InitiatorName=iqn.i SessionType=Discovery");
  EXPECT_EQ(Send({kOperationalStage}, GetParam().offer), GetParam().answer);
  EXPECT_TRUE(login_.parameters().discovery);
}

INSTANTIATE_TEST_SUITE_P(
    Discovery, IscsiDiscoveryLoginKey,
    testing::Values(KeyLine{"MaxConnections=1", "MaxConnections=Irrelevant"},
                    KeyLine{"InitialR2T=No", "InitialR2T=Irrelevant"},
                    KeyLine{"ImmediateData=Yes", "ImmediateData=Irrelevant"},
                    KeyLine{"MaxBurstLength=65536", "MaxBurstLength=Irrelevant"},
                    KeyLine{"FirstBurstLength=65536", "FirstBurstLength=Irrelevant"},
                    KeyLine{"MaxOutstandingR2T=1", "MaxOutstandingR2T=Irrelevant"},
                    KeyLine{"DataPDUInOrder=Yes", "DataPDUInOrder=Irrelevant"},
                    KeyLine{"DataSequenceInOrder=Yes", "DataSequenceInOrder=Irrelevant"},
                    KeyLine{"TaskReporting=RFC3720", "TaskReporting=Irrelevant"},
                    KeyLine{"HeaderDigest=CRC32C", "HeaderDigest=CRC32C"},
                    KeyLine{"DefaultTime2Wait=5", "DefaultTime2Wait=5"},
                    KeyLine{"ErrorRecoveryLevel=0", "ErrorRecoveryLevel=0"}));

TEST_F(IscsiLogin, SettlesTheParametersThatBothSidesUse) {
  Send({kOperationalStage, true, kFullFeatureStage},
       std::string(kNames) +
           " HeaderDigest=CRC32C DataDigest=CRC32C,None InitialR2T=No ImmediateData=No"
           " MaxRecvDataSegmentLength=131072 MaxBurstLength=524288 FirstBurstLength=65536"
           " MaxOutstandingR2T=2");
  const Parameters& parameters = login_.parameters();
  EXPECT_TRUE(parameters.header_digest);
  EXPECT_TRUE(parameters.data_digest);
  EXPECT_FALSE(parameters.initial_r2t);
  EXPECT_FALSE(parameters.immediate_data);
  EXPECT_EQ(parameters.initiator_segment_bytes_max, 131072u);
  EXPECT_EQ(parameters.max_burst_bytes, 524288u);
  EXPECT_EQ(parameters.first_burst_bytes, 65536u);
  EXPECT_EQ(parameters.outstanding_r2t_max, 2u);
}

TEST_F(IscsiLogin, LeavesTheDefaultsOfTheStandardWhereNothingIsOffered) {
  Send({kOperationalStage, true, kFullFeatureStage}, kNames);
  const Parameters& parameters = login_.parameters();
  EXPECT_FALSE(parameters.header_digest);
  EXPECT_FALSE(parameters.data_digest);
  EXPECT_TRUE(parameters.initial_r2t);
  EXPECT_TRUE(parameters.immediate_data);
  EXPECT_EQ(parameters.initiator_segment_bytes_max, 8192u);
  EXPECT_EQ(parameters.max_burst_bytes, 262144u);
  EXPECT_EQ(parameters.first_burst_bytes, 65536u);
  EXPECT_EQ(parameters.outstanding_r2t_max, 1u);
}

TEST_F(IscsiLogin, NeverLetsTheFirstBurstExceedTheMaximumBurst) {
  Send({kOperationalStage, true, kFullFeatureStage}, std::string(kNames) + " MaxBurstLength=4096");
  EXPECT_EQ(login_.parameters().first_burst_bytes, 4096u);
}

// -- Text over several requests

TEST_F(IscsiLogin, JoinsTextThatComesInPieces) {
  last_ = login_.OnRequest(Request({.current = kOperationalStage, .more = true}),
                           std::string("InitiatorName=iq"));
  EXPECT_EQ(last_.text, "");
  EXPECT_FALSE(transits());
  EXPECT_EQ(status(), LoginStatus::kSuccess);
  last_ = login_.OnRequest(Request({kOperationalStage, true, kFullFeatureStage}),
                           Text("n.i TargetName=iqn.t"));
  EXPECT_EQ(login_.state(), LoginNegotiation::State::kDone);
  EXPECT_EQ(login_.identity().initiator, "iqn.i");
}

TEST_F(IscsiLogin, RefusesMoreTextThanItWillHold) {
  const std::string piece(8192, 'x');
  for (size_t sent = 0; sent < kLoginTextBytesMax; sent += piece.size()) {
    last_ = login_.OnRequest(Request({.current = kOperationalStage, .more = true}), piece);
    ASSERT_EQ(status(), LoginStatus::kSuccess);
  }
  last_ = login_.OnRequest(Request({.current = kOperationalStage, .more = true}), "x");
  EXPECT_EQ(status(), LoginStatus::kOutOfResources);
  EXPECT_EQ(login_.state(), LoginNegotiation::State::kFailed);
}

TEST_F(IscsiLogin, RefusesSoManyUnknownKeysThatTheAnswerWouldNotFit) {
  std::string text = kNames;
  for (int i = 0; i < 700; ++i) text += " X-k" + std::to_string(i) + "=1";
  Send({kOperationalStage}, text);
  EXPECT_EQ(status(), LoginStatus::kInitiatorError);
}

// -- What is refused, and with which status

TEST_F(IscsiLogin, RefusesAMissingInitiatorName) {
  Send({kOperationalStage}, "TargetName=iqn.t");
  EXPECT_EQ(status(), LoginStatus::kMissingParameter);
}

TEST_F(IscsiLogin, RefusesAMissingTargetName) {
  Send({kOperationalStage}, "InitiatorName=iqn.i");
  EXPECT_EQ(status(), LoginStatus::kMissingParameter);
}

TEST_F(IscsiLogin, RefusesATargetThatIsNotThere) {
  EXPECT_EQ(
      Send({kOperationalStage, true, kFullFeatureStage}, "InitiatorName=iqn.i TargetName=iqn.none"),
      "");
  EXPECT_EQ(status(), LoginStatus::kNotFound);
  EXPECT_EQ(login_.state(), LoginNegotiation::State::kFailed);
  EXPECT_EQ(last_.bhs.flags(), 0);
}

TEST_F(IscsiLogin, RefusesAnInitiatorThatIsNotOnTheList) {
  Send({kOperationalStage}, "InitiatorName=iqn.stranger TargetName=iqn.t");
  EXPECT_EQ(status(), LoginStatus::kAuthorizationFailure);
}

TEST_F(IscsiLogin, RefusesAnUnknownSessionType) {
  Send({kOperationalStage}, std::string(kNames) + " SessionType=Boot");
  EXPECT_EQ(status(), LoginStatus::kSessionTypeNotSupported);
}

TEST_F(IscsiLogin, RefusesANewerProtocolVersion) {
  Bhs request = Request({kOperationalStage});
  request.SetU8(field::kVersionMin, 1);
  Send(request, kNames);
  EXPECT_EQ(status(), LoginStatus::kUnsupportedVersion);
}

TEST_F(IscsiLogin, RefusesNamesThatAreTooLong) {
  Send({kOperationalStage}, "TargetName=iqn.t InitiatorName=" + std::string(224, 'i'));
  EXPECT_EQ(status(), LoginStatus::kInitiatorError);
}

TEST_F(IscsiLogin, RefusesTextThatIsNoText) {
  last_ = login_.OnRequest(Request({kOperationalStage}), "InitiatorName");
  EXPECT_EQ(status(), LoginStatus::kInitiatorError);
}

TEST_F(IscsiLogin, RefusesAKeyThatWasNegotiatedBefore) {
  Send({kOperationalStage}, std::string(kNames) + " MaxBurstLength=65536");
  Send({kOperationalStage}, "MaxBurstLength=32768");
  EXPECT_EQ(status(), LoginStatus::kInitiatorError);
}

TEST_F(IscsiLogin, RefusesADeclaredSegmentLengthThatNobodyMayHave) {
  Send({kOperationalStage}, std::string(kNames) + " MaxRecvDataSegmentLength=511");
  EXPECT_EQ(status(), LoginStatus::kInitiatorError);
}

TEST_F(IscsiLogin, RefusesMoreTextToComeTogetherWithLeavingTheStage) {
  Send({.current = kOperationalStage, .transit = true, .next = kFullFeatureStage, .more = true},
       kNames);
  EXPECT_EQ(status(), LoginStatus::kInitiatorError);
}

TEST_F(IscsiLogin, RefusesStagesThatDoNotExistOrGoBackwards) {
  for (const Flags flags : {Flags{2}, Flags{kFullFeatureStage}, Flags{kOperationalStage, true, 0},
                            Flags{kOperationalStage, true, 1}, Flags{kOperationalStage, true, 2},
                            Flags{kSecurityStage, true, 0}}) {
    LoginNegotiation login(policy_, Zeros());
    const auto answer = login.OnRequest(Request(flags), Text(kNames));
    EXPECT_EQ(answer.bhs.U16(field::kLoginStatus),
              static_cast<uint16_t>(LoginStatus::kInitiatorError))
        << "stage " << int{flags.current} << " to " << int{flags.next};
  }
}

TEST_F(IscsiLogin, RefusesARequestOfAnEarlierStage) {
  Send({kSecurityStage, true, kOperationalStage}, kNames);
  ASSERT_TRUE(transits());
  Send({kSecurityStage}, "");
  EXPECT_EQ(status(), LoginStatus::kInitiatorError);
}

TEST_F(IscsiLogin, RefusesARequestOfAnotherLoginInTheMiddle) {
  for (const size_t changed : {field::kItt, field::kIsid, field::kTsih, field::kCid}) {
    LoginNegotiation login(policy_, Zeros());
    (void)login.OnRequest(Request({kOperationalStage}), Text(kNames));
    Bhs request = Request({kOperationalStage});
    request.SetU8(changed, 0x55);
    const auto answer = login.OnRequest(request, "");
    EXPECT_EQ(answer.bhs.U16(field::kLoginStatus),
              static_cast<uint16_t>(LoginStatus::kInitiatorError))
        << "byte " << changed;
  }
}

// -- CHAP

class IscsiChapLogin : public IscsiLogin {
 protected:
  IscsiChapLogin() {
    policy_.target_access = {.chap = kInitiatorSecret, .mutual_chap = kOwnSecret};
  }

  static std::string Response(const std::string& secret) {
    return FormatBinary(
        ChapResponse(ChapAlgorithm::kMd5, 0, secret, std::vector<std::byte>(kChapChallengeBytes))
            .value());
  }

  const ChapCredentials kInitiatorSecret{"user", "secretsecret1"};
  const ChapCredentials kOwnSecret{"target", "othersecret12"};
};

TEST_F(IscsiChapLogin, TakesThreeSteps) {
  EXPECT_EQ(Send({kSecurityStage, true, kOperationalStage},
                 std::string(kNames) + " AuthMethod=CHAP,None"),
            "TargetPortalGroupTag=1 AuthMethod=CHAP");
  EXPECT_FALSE(transits());
  EXPECT_EQ(Send({kSecurityStage}, "CHAP_A=7,5").substr(0, 17), "CHAP_A=7 CHAP_I=0");
  Send(
      {kSecurityStage, true, kOperationalStage},
      "CHAP_N=user CHAP_R=" + FormatBinary(ChapResponse(ChapAlgorithm::kSha256, 0, "secretsecret1",
                                                        std::vector<std::byte>(kChapChallengeBytes))
                                               .value()));
  EXPECT_EQ(status(), LoginStatus::kSuccess);
  EXPECT_TRUE(transits());
  EXPECT_EQ(login_.state(), LoginNegotiation::State::kOperational);
}

TEST_F(IscsiChapLogin, MayOfferMethodAndAlgorithmAtOnce) {
  EXPECT_EQ(Send({kSecurityStage}, std::string(kNames) + " AuthMethod=CHAP CHAP_A=5").substr(0, 60),
            "TargetPortalGroupTag=1 AuthMethod=CHAP CHAP_A=5 CHAP_I=0 CHA");
}

TEST_F(IscsiChapLogin, AnswersAChallengeOfTheInitiator) {
  Send({kSecurityStage}, std::string(kNames) + " AuthMethod=CHAP CHAP_A=5");
  const std::string answer =
      Send({kSecurityStage, true, kFullFeatureStage},
           "CHAP_N=user CHAP_R=" + Response("secretsecret1") + " CHAP_I=3 CHAP_C=0x010203");
  const auto challenge = ParseBinary("0x010203", 16).value();
  EXPECT_EQ(
      answer,
      "CHAP_N=target CHAP_R=" +
          FormatBinary(ChapResponse(ChapAlgorithm::kMd5, 3, "othersecret12", challenge).value()));
  EXPECT_EQ(login_.state(), LoginNegotiation::State::kDone);
}

TEST_F(IscsiChapLogin, RefusesAWrongSecret) {
  Send({kSecurityStage}, std::string(kNames) + " AuthMethod=CHAP CHAP_A=5");
  EXPECT_EQ(Send({kSecurityStage, true, kFullFeatureStage},
                 "CHAP_N=user CHAP_R=" + Response("wrongwrong123")),
            "");
  EXPECT_EQ(status(), LoginStatus::kAuthenticationFailure);
}

TEST_F(IscsiChapLogin, CannotBeSkipped) {
  struct Attempt {
    Flags flags;
    const char* text;
  };
  for (const Attempt& attempt :
       {Attempt{{kOperationalStage, true, kFullFeatureStage}, ""},
        Attempt{{kSecurityStage, true, kFullFeatureStage}, ""},
        Attempt{{kSecurityStage, true, kOperationalStage}, " AuthMethod=None"},
        Attempt{{kSecurityStage}, " CHAP_N=user CHAP_R=0x00"},
        Attempt{{kSecurityStage}, " AuthMethod=CHAP CHAP_A=5 CHAP_A=5"},
        Attempt{{kSecurityStage}, " AuthMethod=CHAP CHAP_X=5"}}) {
    LoginNegotiation login(policy_, Zeros());
    const auto answer =
        login.OnRequest(Request(attempt.flags), Text(std::string(kNames) + attempt.text));
    EXPECT_EQ(answer.bhs.U16(field::kLoginStatus),
              static_cast<uint16_t>(LoginStatus::kAuthenticationFailure))
        << attempt.text;
  }
}

TEST_F(IscsiChapLogin, LeavesTheStageOnlyWhenItIsThrough) {
  Send({kSecurityStage, true, kFullFeatureStage}, std::string(kNames) + " AuthMethod=CHAP");
  EXPECT_FALSE(transits());
  Send({kSecurityStage, true, kFullFeatureStage}, "CHAP_A=5");
  EXPECT_FALSE(transits());
  EXPECT_EQ(login_.state(), LoginNegotiation::State::kSecurity);
}

TEST_F(IscsiLogin, RefusesChapWhereThereIsNoSecretToCheck) {
  Send({kSecurityStage}, std::string(kNames) + " AuthMethod=CHAP");
  EXPECT_EQ(status(), LoginStatus::kAuthenticationFailure);
}

TEST_F(IscsiLogin, AsksForTheDiscoverySecretInDiscoverySessionsOnly) {
  policy_.discovery_access = {.chap = ChapCredentials{"d", "discovery-secret"}};
  Send({kOperationalStage}, "InitiatorName=iqn.i SessionType=Discovery");
  EXPECT_EQ(status(), LoginStatus::kAuthenticationFailure);
  LoginNegotiation normal(policy_, Zeros());
  (void)normal.OnRequest(Request({kOperationalStage, true, kFullFeatureStage}), Text(kNames));
  EXPECT_EQ(normal.state(), LoginNegotiation::State::kDone);
}

}  // namespace
}  // namespace aurochs::iscsi
