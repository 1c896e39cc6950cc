// Clients that are slow, silent or many: what they take is bounded, and the others are served.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <cstdio>

#include "base/limits.h"
#include "nbd/server.h"
#include "support/block_io.h"
#include "unit/nbd_client.h"
#include "unit/nbd_server_fixture.h"

namespace aurochs::nbd {
namespace {

using aurochs::test::Pattern;
using test::Bytes;
using test::ClientFlags;
using test::InfoData;
using test::kFixedNoZeroes;
using test::OptionMessage;
using test::RequestMessage;
using test::TestClient;
using test::Wire;

class NbdLoadTest : public test::ServerFixture {
 protected:
  // Counts the bytes that requests of `op` have asked the device for, beginning at `from_bytes`.
  void Count(IoOp op, uint64_t from_bytes) {
    OnDevice([this, op, from_bytes] {
      faults_->FailMatching(
          [this, op, from_bytes](const IoRequest& request) {
            const bool counted = request.op == op && request.extent.offset_bytes >= from_bytes;
            if (counted) counted_bytes_ += request.extent.length_bytes;
            return false;
          },
          ErrorCode::kIo);
    });
  }
  uint64_t CountedBytes() {
    uint64_t counted_bytes = 0;
    OnDevice([&] { counted_bytes = counted_bytes_; });
    return counted_bytes;
  }

  // A client that is at full service: what it writes it reads, request after request.
  static void ExpectFullService(TestClient& client) {
    for (uint8_t i = 0; i < 200; ++i) {
      const Bytes data = Pattern(16 * kKiB, i);
      ASSERT_EQ(client.Run(Command::kWrite, i * 16 * kKiB, 16 * kKiB, 0, data), NbdError::kNone);
      ASSERT_EQ(client.Read(i * 16 * kKiB, 16 * kKiB), data);
    }
  }

  // Sends `message` again and again until the server takes no more; returns what it took.
  uint64_t SendUntilRefused(TestClient& client, const Bytes& message) {
    uint64_t sent = 0;
    for (int refusals = 0; refusals < 20;) {
      const size_t at = sent % message.size();
      const ssize_t now = ::send(client.fd(), message.data() + at, message.size() - at,
                                 MSG_DONTWAIT | MSG_NOSIGNAL);
      if (now > 0) {
        sent += static_cast<uint64_t>(now);
        refusals = 0;
        continue;
      }
      // Both loops have had their turn since: then nobody is about to take more.
      listener_loop_->RunAndWait([] {});
      OnDevice([] {});
      ++refusals;
    }
    return sent;
  }

 private:
  uint64_t counted_bytes_ = 0;  // on the device's loop
};
INSTANTIATE_FOR_EVERY_BACKEND(NbdLoadTest);

constexpr uint64_t kSlowFrom = 32 * kMiB;  // where slow clients read and write, apart from others

TEST_P(NbdLoadTest, SlowReadersTakeBoundedMemoryAndOthersAreServed) {
  const std::string address = ListenUnix();
  Count(IoOp::kRead, kSlowFrom);
  constexpr size_t kSlow = 4;
  std::vector<std::unique_ptr<TestClient>> slow;
  const Bytes request = RequestMessage(Command::kRead, 1, kSlowFrom, kMiB);
  std::vector<uint64_t> sent_bytes;
  for (size_t i = 0; i < kSlow; ++i) {
    slow.push_back(std::make_unique<TestClient>(address));
    ASSERT_TRUE(slow.back()->Go("db"));
    sent_bytes.push_back(SendUntilRefused(*slow.back(), request));
  }
  // Beside what it pins, a connection has given the socket what that takes.
  const uint64_t read_bytes = CountedBytes();
  EXPECT_LE(read_bytes, kSlow * (kNbdReadAheadBytesMax + 8 * kMiB));
  TestClient other(address);
  ASSERT_TRUE(other.Go("db"));
  ExpectFullService(other);
  EXPECT_EQ(CountedBytes(), read_bytes);
  // And they get all that they asked for as soon as they take it.
  for (size_t i = 0; i < kSlow; ++i) {
    for (uint64_t n = sent_bytes[i] / request.size(); n > 0; --n) {
      const auto reply = slow[i]->NextReply();
      ASSERT_TRUE(reply.has_value());
      ASSERT_EQ(reply->data().size(), kMiB);
      if (n % 32 == 0) break;  // Enough to see that it goes on; the rest is dropped.
    }
  }
}

TEST_P(NbdLoadTest, SlowWritersTakeBoundedMemoryAndOthersAreServed) {
  const std::string address = ListenUnix();
  Count(IoOp::kWrite, kSlowFrom);
  constexpr size_t kSlow = 4;
  const Bytes whole = RequestMessage(Command::kWrite, 1, kSlowFrom, 8 * kMiB, 0, Bytes(8 * kMiB));
  const Bytes most(whole.begin(), whole.end() - 1);
  std::vector<std::unique_ptr<TestClient>> slow;
  for (size_t i = 0; i < kSlow; ++i) {
    slow.push_back(std::make_unique<TestClient>(address));
    ASSERT_TRUE(slow.back()->Go("db"));
    ASSERT_TRUE(slow.back()->Send(most));
  }
  TestClient other(address);
  ASSERT_TRUE(other.Go("db"));
  ExpectFullService(other);
  EXPECT_EQ(CountedBytes(), 0u) << "a write began before its data was there";
  for (const auto& client : slow) {
    ASSERT_TRUE(client->Send({std::byte{0}}));
    const auto reply = client->NextReply();
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(reply->error, NbdError::kNone);
  }
  EXPECT_EQ(CountedBytes(), kSlow * 8 * kMiB);
}

TEST_P(NbdLoadTest, WritesThatTheDeviceHoldsUpTakeBoundedMemoryAndOthersAreServed) {
  const std::string address = ListenUnix();
  OnDevice([this] {
    faults_->DelayMatching([](const IoRequest& request) {
      return request.op == IoOp::kWrite && request.extent.offset_bytes >= kSlowFrom;
    });
  });
  TestClient slow(address);
  ASSERT_TRUE(slow.Go("db"));
  const Bytes request = RequestMessage(Command::kWrite, 1, kSlowFrom, kMiB, 0, Bytes(kMiB));
  EXPECT_LE(SendUntilRefused(slow, request), kConnectionBufferBytesMax + 8 * kMiB);
  TestClient other(address);
  ASSERT_TRUE(other.Go("db"));
  ExpectFullService(other);
}

uint64_t ResidentBytes() {
  std::FILE* file = std::fopen("/proc/self/statm", "r");
  unsigned long total = 0;
  unsigned long resident = 0;
  CHECK(file != nullptr && std::fscanf(file, "%lu %lu", &total, &resident) == 2);
  std::fclose(file);
  return resident * kBlockBytes;
}

// All of them negotiate at once, and ask at once.
TEST_P(NbdLoadTest, AThousandClientsAtOnceAreServedInBoundedMemory) {
  rlimit files{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &files), 0);
  files.rlim_cur = std::max<rlim_t>(files.rlim_cur, 3 * kConnectionsMax);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &files), 0);

  const std::string address = ListenUnix();
  constexpr size_t kClients = 1000;
  static_assert(kClients <= kConnectionsMax);
  const uint64_t before_bytes = ResidentBytes();
  std::vector<std::unique_ptr<TestClient>> clients;
  for (size_t i = 0; i < kClients; ++i) clients.push_back(std::make_unique<TestClient>(address));
  for (const auto& client : clients) {
    ASSERT_TRUE(client->Send(Wire()
                                 .Append(ClientFlags(kFixedNoZeroes))
                                 .Append(OptionMessage(Option::kStructuredReply))
                                 .Append(OptionMessage(Option::kGo, InfoData("db")))
                                 .Append(RequestMessage(Command::kRead, 7, 0, 4096))
                                 .bytes()));
  }
  // ACK, then INFO_EXPORT, INFO_BLOCK_SIZE and ACK.
  constexpr size_t kAnswerBytes = 4 * kOptionReplyHeaderBytes + 12 + 14;
  for (const auto& client : clients) {
    ASSERT_TRUE(client->Receive(kAnswerBytes).has_value());
    const auto reply = client->NextReply();
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(reply->cookie, 7u);
    EXPECT_EQ(reply->data(), Bytes(4096));
  }
  EXPECT_EQ(server_->Connections().size(), kClients);
  // A receive buffer for each would take 250 MiB.
  EXPECT_LE(ResidentBytes(), before_bytes + 128 * kMiB);
  ExpectFullService(*clients.back());
}

// -- The handshake's time

TEST(NbdHandshakeTimeoutTest, EndsHandshakesThatTakeTooLongAndNothingElse) {
  auto loop = LoopThread::Start({.name = "both"}).value();
  MemoryDevice device(DeviceInfo{.size_bytes = kMiB});
  auto server = Server::Create(loop->loop(), {}, 1500);
  ASSERT_TRUE(server->AddExport({.name = "db"}, device, loop->loop()).ok());
  TempDirectory directory;
  const std::string address = server->Listen("unix:" + directory.path() + "/s", {}).value();

  TestClient served(address);
  ASSERT_TRUE(served.Go("db"));
  TestClient silent(address);
  TestClient haggling(address);
  ASSERT_TRUE(haggling.Send(ClientFlags(kFixedNoZeroes)));
  ASSERT_FALSE(haggling.Ask(Option::kList).empty());
  TestClient in_the_middle(address);
  const Bytes option = OptionMessage(Option::kGo, InfoData("db"));
  ASSERT_TRUE(in_the_middle.Send(ClientFlags(kFixedNoZeroes)));
  ASSERT_TRUE(in_the_middle.Send(Bytes(option.begin(), option.end() - 1)));
  for (TestClient* one : {&silent, &haggling, &in_the_middle}) EXPECT_TRUE(one->WaitForClose());
  EXPECT_EQ(served.Run(Command::kFlush, 0, 0), NbdError::kNone);
  EXPECT_EQ(server->Connections().size(), 1u);

  std::promise<void> closed;
  server->Close([&](const Status&) { closed.set_value(); });
  closed.get_future().get();
  loop->RunAndWait([] {});
}

}  // namespace
}  // namespace aurochs::nbd
