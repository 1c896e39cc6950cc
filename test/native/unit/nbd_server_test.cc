#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <random>

#include "base/limits.h"
#include "nbd/server.h"
#include "support/block_io.h"
#include "unit/nbd_client.h"
#include "unit/nbd_server_fixture.h"

namespace aurochs::nbd {
namespace {

using aurochs::test::Pattern;
using test::AllocationOf;
using test::Bytes;
using test::ClientFlags;
using test::InfoData;
using test::kFixedNoZeroes;
using test::OptionMessage;
using test::RequestMessage;
using test::TestClient;
using test::Wire;
using testing::ElementsAre;
using std::chrono_literals::operator""ms;

using NbdServerTest = test::ServerFixture;
INSTANTIATE_FOR_EVERY_BACKEND(NbdServerTest);

// -- Serving

TEST_P(NbdServerTest, ServesUnixAndTcpClientsAtOnce) {
  TestClient over_unix(ListenUnix());
  TestClient over_tcp(ListenTcp());
  ASSERT_TRUE(over_unix.Go("db"));
  ASSERT_TRUE(over_tcp.Go("db"));
  EXPECT_EQ(over_unix.size_bytes(), kSize);

  const Bytes data = Pattern(300 * kKiB, 1);
  EXPECT_EQ(over_unix.Run(Command::kWrite, 8192, 300 * kKiB, 0, data), NbdError::kNone);
  EXPECT_TRUE(over_tcp.Read(8192, 300 * kKiB) == data);
}

// CAN_MULTI_CONN: a flush on one connection covers what was answered on another.
TEST_P(NbdServerTest, SharesOneDeviceAmongTheConnectionsOfAnExport) {
  const std::string address = ListenUnix();
  TestClient first(address);
  TestClient second(address);
  ASSERT_TRUE(first.Go("db"));
  ASSERT_TRUE(second.Go("db"));
  EXPECT_NE(first.flags() & kFlagCanMultiConn, 0);
  const Bytes data = Pattern(4096, 2);
  EXPECT_EQ(first.Run(Command::kWrite, 0, 4096, kCommandFlagFua, data), NbdError::kNone);
  EXPECT_EQ(second.Run(Command::kFlush, 0, 0), NbdError::kNone);
  EXPECT_EQ(second.Read(0, 4096), data);
}

TEST_P(NbdServerTest, AnswersManyRequestsThatAreSentAtOnce) {
  TestClient client(ListenUnix());
  ASSERT_TRUE(client.Go("db"));
  Wire wire;
  constexpr uint64_t kRequests = 1000;
  for (uint64_t i = 0; i < kRequests; ++i) {
    wire.Append(RequestMessage(Command::kWrite, i, i * 4096, 4096, 0,
                               Pattern(4096, static_cast<uint8_t>(i))));
  }
  std::thread sender([&] { EXPECT_TRUE(client.Send(wire.bytes())); });
  std::vector<bool> answered(kRequests);
  for (uint64_t i = 0; i < kRequests; ++i) {
    const auto reply = client.NextReply();
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(reply->error, NbdError::kNone);
    answered[reply->cookie] = true;
  }
  sender.join();
  EXPECT_THAT(answered, testing::Each(true));
  EXPECT_EQ(client.Read(777 * 4096, 4096), Pattern(4096, static_cast<uint8_t>(777)));
}

TEST_P(NbdServerTest, ServesRequestsThatCameWithTheLastOption) {
  TestClient client(ListenUnix());
  ASSERT_TRUE(client.Send(Wire()
                              .Append(ClientFlags(kFixedNoZeroes))
                              .Append(OptionMessage(Option::kExportName, Wire().Text("db").bytes()))
                              .Append(RequestMessage(Command::kFlush, 7, 0, 0))
                              .bytes()));
  const auto chosen = client.Receive(10);
  ASSERT_TRUE(chosen.has_value());
  EXPECT_EQ(LoadBigEndian<uint64_t>(chosen->data()), kSize);
  const auto reply = client.NextReply();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->cookie, 7u);
}

TEST_P(NbdServerTest, TellsNewConnectionsOfANewSizeAndServesItOnOldOnes) {
  const std::string address = ListenUnix();
  TestClient before(address);
  ASSERT_TRUE(before.Go("db"));
  EXPECT_EQ(before.Run(Command::kRead, kSize, 4096), NbdError::kEinval);
  OnDevice([&] { memory_->Expand(2 * kSize); });

  TestClient after(address);
  ASSERT_TRUE(after.Go("db"));
  EXPECT_EQ(after.size_bytes(), 2 * kSize);
  EXPECT_EQ(before.Run(Command::kRead, kSize, 4096), NbdError::kNone);
}

TEST_P(NbdServerTest, TellsWhatIsAllocatedAfterTrim) {
  TestClient client(ListenUnix());
  ASSERT_TRUE(client.Go("db"));
  EXPECT_EQ(client.Run(Command::kWrite, 0, 64 * kKiB, 0, Pattern(64 * kKiB, 1)), NbdError::kNone);
  EXPECT_EQ(client.Run(Command::kTrim, 4096, 4096), NbdError::kNone);
  ASSERT_TRUE(client.Request(Command::kBlockStatus, 1, 0, 64 * kKiB));
  const auto reply = client.NextReply();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(AllocationOf(*reply), "4096:0 4096:3 57344:0");
}

TEST_P(NbdServerTest, ListsConnectionsAndReportsTheirBeginningAndEnd) {
  const std::string address = ListenTcp();
  {
    TestClient client(address);
    EXPECT_TRUE(server_->Connections().empty());
    ASSERT_TRUE(client.Go("db"));
    EXPECT_EQ(client.Run(Command::kFlush, 0, 0), NbdError::kNone);
    const auto listed = server_->Connections();
    ASSERT_EQ(listed.size(), 1u);
    EXPECT_EQ(listed[0].export_name, "db");
    EXPECT_THAT(listed[0].address, testing::StartsWith("127.0.0.1:"));
    EXPECT_THAT(Events(), ElementsAre("+db"));
  }
  WaitUntil([&] { return Events().size() == 2; });
  EXPECT_THAT(Events(), ElementsAre("+db", "-db"));
  EXPECT_TRUE(server_->Connections().empty());
}

// -- Ends of connections

TEST_P(NbdServerTest, ClosesAfterDiscWhenAllIsAnswered) {
  TestClient client(ListenUnix());
  ASSERT_TRUE(client.Go("db"));
  OnDevice([&] { faults_->DelayAll(IoOp::kWrite); });
  ASSERT_TRUE(client.Request(Command::kWrite, 1, 0, 4096, 0, Pattern(4096, 1)));
  ASSERT_TRUE(client.Request(Command::kDisc, 2, 0, 0));
  WaitForHeldBack(1);
  OnDevice([&] { faults_->ReleaseAll(); });
  const auto reply = client.NextReply();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->cookie, 1u);
  EXPECT_TRUE(client.WaitForClose());
}

TEST_P(NbdServerTest, AnswersAClientThatHasClosedItsSide) {
  for (const std::string& address : {ListenUnix(), ListenTcp()}) {
    TestClient client(address);
    ASSERT_TRUE(client.Go("db"));
    for (uint64_t i = 0; i < 3; ++i) {
      ASSERT_TRUE(client.Request(Command::kRead, i, i * kMiB, kMiB));
    }
    client.HalfClose();
    for (uint64_t i = 0; i < 3; ++i) ASSERT_TRUE(client.NextReply().has_value());
    EXPECT_TRUE(client.WaitForClose());
  }
}

TEST_P(NbdServerTest, FinishesTheRequestsOfAClientThatIsGone) {
  const std::string address = ListenUnix();
  OnDevice([&] { faults_->DelayAll(IoOp::kWrite); });
  {
    TestClient client(address);
    ASSERT_TRUE(client.Go("db"));
    ASSERT_TRUE(client.Request(Command::kWrite, 1, 0, 4096, 0, Pattern(4096, 3)));
    ASSERT_TRUE(client.Request(Command::kWrite, 2, 4096, 4096, 0, Pattern(4096, 4)));
    WaitForHeldBack(2);
  }
  OnDevice([&] { faults_->ReleaseAll(); });
  WaitUntil([&] { return server_->Connections().empty(); });
  TestClient next(address);
  ASSERT_TRUE(next.Go("db"));
  EXPECT_EQ(next.Read(4096, 4096), Pattern(4096, 4));
}

TEST_P(NbdServerTest, AClientThatDoesNotReadHoldsUpNobodyElse) {
  const std::string address = ListenUnix();
  TestClient slow(address);
  ASSERT_TRUE(slow.Go("db"));
  for (uint64_t i = 0; i < 100; ++i) {
    ASSERT_TRUE(slow.Request(Command::kRead, i, 0, kMiB));
  }
  TestClient other(address);
  ASSERT_TRUE(other.Go("db"));
  EXPECT_EQ(other.Read(0, 4096), Bytes(4096));
  for (uint64_t i = 0; i < 100; ++i) {
    const auto reply = slow.NextReply();
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(reply->cookie, i);
    EXPECT_EQ(reply->data().size(), kMiB);
  }
}

// -- Exports that come and go

TEST_P(NbdServerTest, RefusesExportsItCannotServe) {
  EXPECT_EQ(AddExport({.name = "db"}).code(), ErrorCode::kAlreadyExists);
  EXPECT_EQ(AddExport({.name = ""}).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(AddExport({.name = std::string("a\0b", 3)}).code(), ErrorCode::kInvalidArgument);
  EXPECT_EQ(AddExport({.name = std::string(4097, 'x')}).code(), ErrorCode::kInvalidArgument);
  EXPECT_TRUE(AddExport({.name = std::string(4096, 'x')}).ok());
  EXPECT_EQ(RemoveExport("nothing").get().code(), ErrorCode::kNotFound);
}

TEST_P(NbdServerTest, EndsTheConnectionsOfAnExportThatIsRemoved) {
  const std::string address = ListenUnix();
  ASSERT_TRUE(AddExport({.name = "logs"}).ok());
  TestClient db(address);
  TestClient logs(address);
  TestClient late(address);
  ASSERT_TRUE(db.Go("db"));
  ASSERT_TRUE(logs.Go("logs"));
  EXPECT_TRUE(RemoveExport("db").get().ok());
  EXPECT_TRUE(db.WaitForClose());
  EXPECT_EQ(logs.Run(Command::kFlush, 0, 0), NbdError::kNone);
  EXPECT_FALSE(late.Go("db"));
  EXPECT_TRUE(AddExport({.name = "db"}).ok());
}

TEST_P(NbdServerTest, AnswersWhatIsInFlightBeforeAnExportIsGone) {
  TestClient client(ListenTcp());
  ASSERT_TRUE(client.Go("db"));
  OnDevice([&] { faults_->DelayAll(IoOp::kWrite); });
  for (uint64_t i = 0; i < 8; ++i) {
    ASSERT_TRUE(client.Request(Command::kWrite, i, i * 4096, 4096, 0, Pattern(4096, 9)));
  }
  WaitForHeldBack(8);
  auto removed = RemoveExport("db");
  EXPECT_EQ(removed.wait_for(50ms), std::future_status::timeout);
  OnDevice([&] { faults_->ReleaseAll(); });
  for (uint64_t i = 0; i < 8; ++i) {
    const auto reply = client.NextReply();
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(reply->error, NbdError::kNone);
  }
  EXPECT_TRUE(client.WaitForClose());
  EXPECT_TRUE(removed.get().ok());
}

TEST_P(NbdServerTest, RemovesAnExportWhileClientsKeepItBusy) {
  const std::string address = ListenUnix();
  std::vector<std::thread> clients;
  std::atomic<int> serving{0};
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&, i] {
      TestClient client(address);
      ASSERT_TRUE(client.Go("db"));
      bool counted = false;
      while (client.Run(Command::kWrite, i * kMiB, 4096, 0, Pattern(4096, 1)) == NbdError::kNone) {
        if (!counted) ++serving;
        counted = true;
      }
    });
  }
  WaitUntil([&] { return serving == 4; });
  EXPECT_TRUE(RemoveExport("db").get().ok());
  for (std::thread& client : clients) client.join();
  EXPECT_TRUE(server_->Connections().empty());
}

TEST_P(NbdServerTest, ClosesWhileClientsNegotiateAndWhileTheyAreServed) {
  const std::string address = ListenUnix();
  TestClient negotiating(address);
  TestClient served(address);
  ASSERT_TRUE(served.Go("db"));
  CloseServer();
  EXPECT_TRUE(negotiating.WaitForClose());
  EXPECT_TRUE(served.WaitForClose());
}

TEST_P(NbdServerTest, SaysWhatIsWrongWithAnAddress) {
  const std::string address = ListenTcp();
  EXPECT_EQ(server_->Listen(address, {}).status().code(), ErrorCode::kBusy);
  EXPECT_EQ(server_->Listen("nonsense", {}).status().code(), ErrorCode::kInvalidArgument);
}

// -- What hostile clients send

TEST_P(NbdServerTest, ClosesConnectionsThatSpeakSomethingElse) {
  const std::string address = ListenUnix();
  TestClient served(address);
  ASSERT_TRUE(served.Go("db"));
  const std::vector<Bytes> said{
      Wire().Text("GET / HTTP/1.1\r\n\r\n").bytes(),
      ClientFlags(0xffffffff),
      Wire().Append(ClientFlags(3)).Text("IHAVEOPX").U64(0).bytes(),
      Wire().Append(ClientFlags(3)).Append(OptionMessage(Option::kExportName)).bytes(),
  };
  for (const Bytes& bytes : said) {
    TestClient client(address);
    ASSERT_TRUE(client.Send(bytes));
    EXPECT_TRUE(client.WaitForClose());
  }
  TestClient garbling(address);
  ASSERT_TRUE(garbling.Go("db"));
  ASSERT_TRUE(garbling.Send(Bytes(4096, std::byte{0xee})));
  EXPECT_TRUE(garbling.WaitForClose());
  EXPECT_EQ(served.Run(Command::kFlush, 0, 0), NbdError::kNone);
}

TEST_P(NbdServerTest, SurvivesClientsThatHangUpAnywhere) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const std::string address = ListenUnix();
  const Bytes said = Wire()
                         .Append(ClientFlags(kFixedNoZeroes))
                         .Append(OptionMessage(Option::kStructuredReply))
                         .Append(OptionMessage(Option::kGo, InfoData("db")))
                         .Append(RequestMessage(Command::kRead, 1, 0, kMiB))
                         .Append(RequestMessage(Command::kWrite, 2, 0, 8192, 0, Pattern(8192, 1)))
                         .Append(RequestMessage(Command::kFlush, 3, 0, 0))
                         .bytes();
  for (int round = 0; round < 100; ++round) {
    TestClient client(address);
    Bytes part(said.begin(), said.begin() + static_cast<ptrdiff_t>(random() % said.size()));
    if (random() % 4 == 0 && !part.empty()) part[random() % part.size()] ^= std::byte{0x10};
    (void)client.Send(part);
  }
  TestClient client(address);
  ASSERT_TRUE(client.Go("db"));
  EXPECT_EQ(client.Run(Command::kFlush, 0, 0), NbdError::kNone);
}

TEST_P(NbdServerTest, TurnsAwayMoreClientsThanItAdmits) {
  rlimit files{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = std::max<rlim_t>(files.rlim_cur, 3 * kConnectionsMax);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);

  const std::string address = ListenUnix();
  std::vector<std::unique_ptr<TestClient>> clients;
  for (uint32_t i = 0; i < kConnectionsMax; ++i) {
    clients.push_back(std::make_unique<TestClient>(address));
  }
  TestClient one_too_many(address);
  EXPECT_TRUE(one_too_many.WaitForClose());
  EXPECT_TRUE(clients.front()->Go("db"));
  clients.pop_back();
  WaitUntil([&] { return TestClient(address).Go("db"); });
}

// A client that takes no answers delays the end of its export, but not for ever.
TEST(NbdServerDrainTest, GivesUpOnAClientThatTakesNoAnswers) {
  auto loop = LoopThread::Start({.name = "both"}).value();
  MemoryDevice device(DeviceInfo{.size_bytes = 64 * kMiB});
  auto server = Server::Create(loop->loop(), {});
  ASSERT_TRUE(server->AddExport({.name = "db"}, device, loop->loop()).ok());
  TempDirectory directory;
  TestClient client(server->Listen("unix:" + directory.path() + "/s", {}).value());
  ASSERT_TRUE(client.Go("db"));
  for (uint64_t i = 0; i < 50; ++i) ASSERT_TRUE(client.Request(Command::kRead, i, 0, kMiB));
  ASSERT_TRUE(client.NextReply().has_value());

  std::promise<void> closed;
  server->Close([&](const Status&) { closed.set_value(); });
  EXPECT_EQ(closed.get_future().wait_for(4 * std::chrono::milliseconds(kNbdDrainTimeoutMs)),
            std::future_status::ready);
  loop->RunAndWait([&] { server.reset(); });
}

}  // namespace
}  // namespace aurochs::nbd
