// Targets, discovery, reinstatement and ends of sessions, end to end.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <chrono>
#include <random>
#include <thread>

#include "base/limits.h"
#include "iscsi/server.h"
#include "iscsi_server_fixture.h"

namespace aurochs::iscsi::test {
namespace {

using testing::ElementsAre;

class IscsiServer : public ServerTest {
 protected:
  // The names that SendTargets=All gives to an initiator.
  std::vector<std::string> Discover(const std::string& who = "iqn.test:x", bool in_parts = false) {
    Initiator initiator(address_);
    std::string keys;
    if (in_parts) AppendPair(keys, "MaxRecvDataSegmentLength", "512");
    EXPECT_EQ(initiator.LoginTo({.initiator = who, .target = "", .keys = keys}),
              LoginStatus::kSuccess);
    std::string text;
    AppendPair(text, "SendTargets", "All");
    initiator.Send(initiator.Request(Opcode::kTextRequest), text);
    std::string all;
    for (;;) {
      const Pdu part = initiator.Next();
      all += part.data;
      EXPECT_EQ((part.bhs.flags() & kContinueFlag) != 0, !part.bhs.final());
      if (part.bhs.final()) break;
      Bhs more = initiator.Request(Opcode::kTextRequest);
      more.SetU32(field::kTtt, part.bhs.U32(field::kTtt));
      initiator.Send(more);
    }
    std::vector<std::string> names;
    const auto pairs = ParseText(all);
    EXPECT_TRUE(pairs.ok());
    for (const TextPair& pair : *pairs) {
      if (pair.key == "TargetName") names.emplace_back(pair.value);
      if (pair.key == "TargetAddress") {
        EXPECT_EQ(pair.value, address_ + ",1");
      }
    }
    return names;
  }

  LoginStatus TryLogin(const LoginOptions& options) {
    Initiator initiator(address_);
    return initiator.LoginTo(options);
  }

  // Tries until the server has seen that others have left.
  void AwaitPlaceForAnotherLogin() {
    for (;;) {
      Initiator initiator(address_);
      initiator.Send(Bhs(Opcode::kLoginRequest, 0));  // Of nobody: is answered with a refusal.
      if (initiator.Receive().has_value()) return;
    }
  }
};

INSTANTIATE_FOR_EVERY_BACKEND(IscsiServer);

// -- Discovery and access

TEST_P(IscsiServer, ListsTheTargetsThatTheInitiatorMayUse) {
  ASSERT_TRUE(
      AddTarget({.name = "iqn.2026-11.io.aurochs:mine", .access = {.initiators = {"iqn.me"}}})
          .ok());
  EXPECT_THAT(Discover("iqn.you"), ElementsAre(kTarget));
  EXPECT_THAT(Discover("iqn.me"), ElementsAre("iqn.2026-11.io.aurochs:mine", kTarget));
}

TEST_P(IscsiServer, ListsMoreTargetsThanFitIntoOnePdu) {
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(AddTarget({.name = "iqn.2026-11.io.aurochs:more-" + std::to_string(i)}).ok());
  }
  EXPECT_EQ(Discover("iqn.you", true).size(), 101u);
}

TEST_P(IscsiServer, KeepsDiscoveryForThoseWhoKnowItsSecret) {
  server_->SetDiscoveryAuth(ChapCredentials{"d", "discovery-secret"}, std::nullopt);
  EXPECT_EQ(TryLogin({.target = ""}), LoginStatus::kAuthenticationFailure);
  EXPECT_EQ(TryLogin({}), LoginStatus::kSuccess);
}

TEST_P(IscsiServer, LetsInWhoIsOnTheListOnly) {
  ASSERT_TRUE(
      AddTarget({.name = "iqn.t:list", .access = {.initiators = {"iqn.me", "iqn.myself"}}}).ok());
  EXPECT_EQ(TryLogin({.initiator = "iqn.you", .target = "iqn.t:list"}),
            LoginStatus::kAuthorizationFailure);
  EXPECT_EQ(TryLogin({.initiator = "iqn.myself", .target = "iqn.t:list"}), LoginStatus::kSuccess);
  EXPECT_EQ(TryLogin({.target = "iqn.t:none"}), LoginStatus::kNotFound);
}

TEST_P(IscsiServer, RefusesTargetsThatCannotBe) {
  const auto code = [this](TargetConfig config) { return AddTarget(std::move(config)).code(); };
  EXPECT_EQ(code({.name = kTarget}), ErrorCode::kAlreadyExists);
  EXPECT_EQ(code({.name = "volume"}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({.name = "iqn.a b"}), ErrorCode::kInvalidArgument);
  EXPECT_EQ(code({.name = "iqn." + std::string(220, 'x')}), ErrorCode::kInvalidArgument);
}

TEST_P(IscsiServer, RefusesCredentialsThatProtectNothing) {
  const ChapCredentials good{"user", "twelve-bytes"};
  const TargetAccess bad[] = {
      {.chap = ChapCredentials{"user", "eleven-byte"}},
      {.chap = ChapCredentials{"", good.secret}},
      {.mutual_chap = good},
      {.chap = good, .mutual_chap = ChapCredentials{"t", good.secret}},
  };
  for (const TargetAccess& access : bad) {
    EXPECT_EQ(AddTarget({.name = "iqn.c", .access = access}).code(), ErrorCode::kInvalidArgument);
    EXPECT_EQ(server_->SetAccess(kTarget, access).code(), ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(AddTarget({.name = "iqn.c", .access = {.chap = good}}).code(), ErrorCode::kOk);
}

TEST_P(IscsiServer, AsksNewLoginsForNewCredentialsAndLeavesOpenSessionsAlone) {
  const auto early = OpenSession({.initiator = "iqn.early"});
  ASSERT_TRUE(server_->SetAccess(kTarget, {.initiators = {"iqn.late"}}).ok());
  EXPECT_EQ(TryLogin({.initiator = "iqn.early", .isid_qualifier = 2}),
            LoginStatus::kAuthorizationFailure);
  EXPECT_EQ(TryLogin({.initiator = "iqn.late"}), LoginStatus::kSuccess);
  EXPECT_THAT(Discover("iqn.early"), ElementsAre());
  early->Send(early->Read(0, 1));
  EXPECT_EQ(ScsiStatusOf(early->Next()), 0);

  ASSERT_TRUE(server_->SetAccess(kTarget, {.chap = ChapCredentials{"u", "twelve-bytes"}}).ok());
  EXPECT_EQ(TryLogin({.initiator = "iqn.late"}), LoginStatus::kAuthenticationFailure);
  EXPECT_EQ(server_->SetAccess("iqn.none", {}).code(), ErrorCode::kNotFound);
}

TEST_P(IscsiServer, OffersEveryTargetOnPortalsOpenedBeforeItAndAfter) {
  const std::string first = address_;
  address_ = server_->Listen("127.0.0.1:0").value();
  ASSERT_NE(address_, first);
  ASSERT_TRUE(AddTarget({.name = "iqn.2026-11.io.aurochs:younger"}).ok());
  for (const std::string& portal : {first, address_}) {
    address_ = portal;
    EXPECT_THAT(Discover(), ElementsAre(kTarget, "iqn.2026-11.io.aurochs:younger"));
    EXPECT_EQ(TryLogin({.target = "iqn.2026-11.io.aurochs:younger"}), LoginStatus::kSuccess);
  }
}

TEST_P(IscsiServer, NamesTheAddressThatIsTaken) {
  const auto second = server_->Listen(address_);
  EXPECT_EQ(second.status().code(), ErrorCode::kBusy);
  EXPECT_THAT(second.status().message(), testing::HasSubstr(address_));
}

// -- Sessions

TEST_P(IscsiServer, ListsItsSessions) {
  auto initiator = OpenSession({.initiator = "iqn.me"});
  const std::vector<SessionInfo> sessions = server_->Sessions();
  ASSERT_EQ(sessions.size(), 1u);
  EXPECT_EQ(sessions[0].target, kTarget);
  EXPECT_EQ(sessions[0].initiator, "iqn.me");
  EXPECT_NE(sessions[0].tsih, 0);
  EXPECT_EQ(sessions[0].address.substr(0, 10), "127.0.0.1:");
  initiator->Close();
  AwaitSessions(0);
}

TEST_P(IscsiServer, GivesSeveralSessionsOfOneTargetTheirOwnHandles) {
  Initiator a(address_);
  Initiator b(address_);
  const uint16_t tsih_a = a.Login({.isid_qualifier = 1}).bhs.U16(field::kTsih);
  const uint16_t tsih_b = b.Login({.isid_qualifier = 2}).bhs.U16(field::kTsih);
  EXPECT_NE(tsih_a, 0);
  EXPECT_NE(tsih_b, 0);
  EXPECT_NE(tsih_a, tsih_b);
}

TEST_P(IscsiServer, RefusesASecondConnectionOfASession) {
  Initiator first(address_);
  const uint16_t tsih = first.Login({}).bhs.U16(field::kTsih);
  EXPECT_EQ(TryLogin({.tsih = tsih}), LoginStatus::kTooManyConnections);
  EXPECT_EQ(TryLogin({.isid_qualifier = 9, .tsih = tsih}), LoginStatus::kSessionDoesNotExist);
}

TEST_P(IscsiServer, RefusesMoreSessionsThanATargetTakes) {
  std::vector<std::unique_ptr<Initiator>> initiators;
  for (uint32_t i = 0; i < kSessionsPerTargetMax; ++i) {
    initiators.push_back(std::make_unique<Initiator>(address_));
    ASSERT_EQ(initiators.back()->LoginTo({.isid_qualifier = static_cast<uint8_t>(i)}),
              LoginStatus::kSuccess);
  }
  EXPECT_EQ(TryLogin({.isid_qualifier = 200}), LoginStatus::kOutOfResources);
  initiators.pop_back();
  AwaitSessions(kSessionsPerTargetMax - 1);
  EXPECT_EQ(TryLogin({.isid_qualifier = 200}), LoginStatus::kSuccess);
}

TEST_P(IscsiServer, ClosesConnectionsBeyondItsLimitAndServesOnTheOthers) {
  rlimit files{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = files.rlim_max;  // both ends of every connection are in this process
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  ASSERT_GT(files.rlim_cur, 2 * kConnectionsMax + 100);

  const auto session = OpenSession();
  std::vector<std::unique_ptr<Initiator>> half_open;
  for (uint32_t i = 1; i < kConnectionsMax; ++i) {
    half_open.push_back(std::make_unique<Initiator>(address_));
  }
  Initiator refused(address_);
  EXPECT_FALSE(refused.Receive().has_value());
  session->Send(session->Read(0, 1));
  EXPECT_EQ(ScsiStatusOf(session->Next()), 0);

  half_open.clear();
  AwaitPlaceForAnotherLogin();
}

TEST_P(IscsiServer, AnswersAThousandLoginsAtOnce) {
  std::vector<std::unique_ptr<Initiator>> initiators;
  for (uint32_t i = 0; i < 1000; ++i) initiators.push_back(std::make_unique<Initiator>(address_));
  uint32_t let_in = 0;
  uint32_t refused = 0;
  for (uint32_t i = 0; i < initiators.size(); ++i) {
    const LoginStatus status = initiators[i]->LoginTo(
        {.initiator = "iqn.crowd-" + std::to_string(i), .isid_qualifier = 1});
    ++(status == LoginStatus::kSuccess ? let_in : refused);
    if (status != LoginStatus::kSuccess) {
      EXPECT_EQ(status, LoginStatus::kOutOfResources);
    }
  }
  EXPECT_EQ(let_in, kSessionsPerTargetMax);
  EXPECT_EQ(refused, 1000 - kSessionsPerTargetMax);
}

TEST_P(IscsiServer, ReplacesASessionOnlyWhenItsTasksCanChangeNothingAnyMore) {
  auto old = OpenSession();
  HoldWrites();
  old->Send(old->Write(0, 8), std::string(4096, 'o'));
  AwaitHeldWrites(1);
  Initiator fresh(address_);
  std::thread login([&fresh] { EXPECT_EQ(fresh.LoginTo({}), LoginStatus::kSuccess); });
  EXPECT_TRUE(old->ReceiveToEnd().empty());  // dropped, and its write is not answered
  EXPECT_EQ(server_->Sessions().size(), 1u);
  ReleaseWrites();
  login.join();
  fresh.ClearUnitAttentions();
  fresh.Send(fresh.Write(0, 8), std::string(4096, 'f'));
  EXPECT_EQ(ScsiStatusOf(fresh.Next()), 0);
  fresh.Send(fresh.Read(0, 8));
  EXPECT_EQ(fresh.Next().data, std::string(4096, 'f'));
  EXPECT_EQ(server_->Sessions().size(), 1u);
}

TEST_P(IscsiServer, SurvivesInitiatorsThatVanishInTheMiddleOfEverything) {
  for (int step = 0; step < 6; ++step) {
    Initiator initiator(address_);
    if (step == 0) continue;
    if (step == 1) {
      initiator.SendBytes(AsBytes("half a login"));
      continue;
    }
    ASSERT_EQ(initiator.LoginTo({}), LoginStatus::kSuccess);
    initiator.ClearUnitAttentions();
    const Bhs write = initiator.Write(0, 1024);
    if (step == 2) initiator.SendBytes(write.bytes().first(20));
    if (step == 3) {
      Bhs cut = write;
      cut.SetDataSegmentBytes(4096);
      initiator.SendBytes(cut.bytes());
      initiator.SendBytes(AsBytes("some of the data"));
    }
    if (step == 4) initiator.Send(write, std::string(4096, 'w'));
    if (step == 5) {
      initiator.Send(write, std::string(4096, 'w'));
      const Pdu r2t = initiator.Next();
      Bhs data = Initiator::DataOut(write, r2t.bhs.U32(field::kTtt), 0, 4096, false);
      data.SetDataSegmentBytes(65536);
      initiator.SendBytes(data.bytes());
      initiator.SendBytes(AsBytes("some of the data"));
    }
  }
  AwaitSessions(0);
  auto after = OpenSession();
  after->Send(after->Read(0, 8));
  EXPECT_EQ(after->Next().data, std::string(4096, '\0'));
}

TEST_P(IscsiServer, SurvivesBytesThatAreNoPdus) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (int i = 0; i < 40; ++i) {
    std::vector<std::byte> garbage(1 + random() % 3000);
    for (std::byte& byte : garbage) byte = static_cast<std::byte>(random());
    Initiator initiator(address_);
    if (i % 2 == 1) {
      ASSERT_EQ(initiator.LoginTo({}), LoginStatus::kSuccess);
    }
    initiator.SendBytes(garbage);
  }
  EXPECT_EQ(TryLogin({.isid_qualifier = 77}), LoginStatus::kSuccess);
}

TEST_P(IscsiServer, ClosesAConnectionThatSendsAnythingButALogin) {
  Initiator initiator(address_);
  initiator.Send(initiator.Request(Opcode::kNopOut));
  EXPECT_TRUE(initiator.ReceiveToEnd().empty());
}

TEST_P(IscsiServer, ClosesAConnectionWhoseLoginFails) {
  Initiator initiator(address_);
  EXPECT_EQ(initiator.LoginTo({.target = "iqn.none"}), LoginStatus::kNotFound);
  EXPECT_TRUE(initiator.ReceiveToEnd().empty());
}

// -- Silence

TEST_P(IscsiServer, ClosesAConnectionThatDoesNotLogInInTime) {
  StartServer({.login_ms = 20});
  Initiator initiator(address_);
  EXPECT_TRUE(initiator.ReceiveToEnd().empty());
}

TEST_P(IscsiServer, ClosesAConnectionThatStopsHalfwayThroughItsLogin) {
  StartServer({.login_ms = 20});
  Initiator initiator(address_);
  std::string names;
  AppendPair(names, "InitiatorName", "iqn.half");
  AppendPair(names, "TargetName", kTarget);
  Bhs request(Opcode::kLoginRequest, 0);  // security stage, and no wish to leave it
  request.SetU8(field::kOpcode, static_cast<uint8_t>(Opcode::kLoginRequest) | kImmediateFlag);
  initiator.Send(request, names);
  const auto answers = initiator.ReceiveToEnd();
  ASSERT_EQ(answers.size(), 1u);
  EXPECT_EQ(answers[0].bhs.U16(field::kLoginStatus), 0);
}

TEST_P(IscsiServer, AsksASilentInitiatorAndDropsItIfItDoesNotAnswer) {
  StartServer({.nop_idle_ms = 20, .nop_timeout_ms = 20});
  Initiator initiator(address_);
  ASSERT_EQ(initiator.LoginTo({}), LoginStatus::kSuccess);
  const std::vector<Pdu> rest = initiator.ReceiveToEnd();
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest[0].bhs.opcode(), Opcode::kNopIn);
  EXPECT_EQ(rest[0].bhs.itt(), kReservedTag);
  EXPECT_NE(rest[0].bhs.U32(field::kTtt), kReservedTag);
  AwaitSessions(0);
}

TEST_P(IscsiServer, KeepsASilentInitiatorThatAnswers) {
  StartServer({.nop_idle_ms = 20, .logout_grace_ms = 50});
  Initiator initiator(address_);
  const uint32_t stat_sn = initiator.Login({}).bhs.U32(field::kStatSn) + 1;
  for (int i = 0; i < 3; ++i) {
    const Pdu question = initiator.Next();
    EXPECT_EQ(question.bhs.opcode(), Opcode::kNopIn);
    EXPECT_EQ(question.bhs.U32(field::kStatSn), stat_sn);  // 11.19: it takes no number
    Bhs answer = initiator.Immediate(Opcode::kNopOut);
    answer.SetU32(field::kItt, kReservedTag);
    answer.SetU32(field::kTtt, question.bhs.U32(field::kTtt));
    initiator.Send(answer);
  }
  EXPECT_EQ(server_->Sessions().size(), 1u);
}

// -- Removal and end

TEST_P(IscsiServer, AsksForALogoutBeforeATargetGoes) {
  StartServer({});
  auto initiator = OpenSession();
  std::thread removal([this] { EXPECT_TRUE(RemoveTarget(kTarget).ok()); });
  const Pdu message = initiator->Next();
  EXPECT_EQ(message.bhs.opcode(), Opcode::kAsyncMessage);
  EXPECT_EQ(message.bhs.U8(field::kAsyncEvent), static_cast<uint8_t>(AsyncEvent::kLogoutRequest));
  initiator->Send(initiator->Logout());
  EXPECT_EQ(initiator->ReceiveToEnd().size(), 1u);
  removal.join();
  EXPECT_EQ(TryLogin({}), LoginStatus::kNotFound);
  EXPECT_EQ(RemoveTarget(kTarget).code(), ErrorCode::kNotFound);
  EXPECT_TRUE(AddTarget({.name = kTarget}).ok());
  EXPECT_EQ(TryLogin({}), LoginStatus::kSuccess);
}

TEST_P(IscsiServer, DropsAnInitiatorThatDoesNotLogOutWhenATargetGoes) {
  auto initiator = OpenSession();
  EXPECT_TRUE(RemoveTarget(kTarget).ok());
  EXPECT_EQ(initiator->ReceiveToEnd().size(), 1u);
  EXPECT_TRUE(server_->Sessions().empty());
}

// As a crash would: the kernel of an initiator then holds its commands back until the server is
// there again.
TEST_P(IscsiServer, DropsItsSessionsWithoutAWordWhenItCloses) {
  auto initiator = OpenSession();
  CloseServer();
  EXPECT_TRUE(initiator->ReceiveToEnd().empty());
}

TEST_P(IscsiServer, GivesADeviceBackOnlyWhenItHasNoRequestOfIt) {
  auto initiator = OpenSession();
  HoldWrites();
  initiator->Send(initiator->Write(0, 8), std::string(4096, 'w'));
  AwaitHeldWrites(1);
  std::promise<void> removed;
  auto future = removed.get_future();
  server_->RemoveTarget(kTarget, [&removed](aurochs::Status) { removed.set_value(); });
  initiator->ReceiveToEnd();
  EXPECT_EQ(server_->Sessions().size(), 1u);
  EXPECT_EQ(future.wait_for(std::chrono::seconds(0)), std::future_status::timeout);
  ReleaseWrites();
  future.wait();
}

TEST_P(IscsiServer, ClosesInTheMiddleOfEverything) {
  auto busy = OpenSession();
  Initiator discovery(address_);
  ASSERT_EQ(discovery.LoginTo({.target = ""}), LoginStatus::kSuccess);
  Initiator silent(address_);
  busy->Send(busy->Write(0, 16));
  CloseServer();
  EXPECT_TRUE(discovery.ReceiveToEnd().empty());
  EXPECT_TRUE(silent.ReceiveToEnd().empty());
  busy->ReceiveToEnd();
}

}  // namespace
}  // namespace aurochs::iscsi::test
