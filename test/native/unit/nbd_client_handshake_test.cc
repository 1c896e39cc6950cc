#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>
#include <utility>

#include "base/limits.h"
#include "io/socket.h"
#include "nbd/client_handshake.h"
#include "support/block_io.h"
#include "unit/nbd_server_fixture.h"
#include "unit/nbd_wire.h"

namespace aurochs::nbd {
namespace {

using aurochs::test::Pattern;
using test::Bytes;
using test::Wire;

constexpr uint32_t kPatienceMs = 20'000;

Bytes ReceiveAll(int fd, size_t count) {
  Bytes bytes(count);
  EXPECT_EQ(::recv(fd, bytes.data(), count, MSG_WAITALL), static_cast<ssize_t>(count));
  return bytes;
}

// -- Our own server

using NbdClientHandshakeTest = test::ServerFixture;
INSTANTIATE_FOR_EVERY_BACKEND(NbdClientHandshakeTest);

TEST_P(NbdClientHandshakeTest, LearnsSizeFlagsAndBlockSizeAndGoesOnWithSimpleReplies) {
  const Bytes data = Pattern(4096, 1);
  for (const std::string& address : {ListenUnix(), ListenTcp()}) {
    const auto socket = ConnectSocket(address, kPatienceMs);
    ASSERT_TRUE(socket.ok()) << socket.status().ToString();
    const int fd = socket->get();
    const auto found = NegotiateAsClient(fd, "db");
    ASSERT_TRUE(found.ok()) << found.status().ToString();
    EXPECT_EQ(found->size_bytes, kSize);
    EXPECT_EQ(found->block_bytes_min, 512u);
    for (const uint16_t flag :
         {kFlagHasFlags, kFlagSendFlush, kFlagSendFua, kFlagSendTrim, kFlagCanMultiConn}) {
      EXPECT_NE(found->transmission_flags & flag, 0) << flag;
    }

    const Bytes wanted = Wire()
                             .Append(test::RequestMessage(Command::kWrite, 7, 0, 4096, 0, data))
                             .Append(test::RequestMessage(Command::kRead, 8, 0, 4096))
                             .bytes();
    ASSERT_EQ(::send(fd, wanted.data(), wanted.size(), 0), static_cast<ssize_t>(wanted.size()));
    const auto reply = [](uint64_t cookie) {
      return Wire().U32(kSimpleReplyMagic).U32(0).U64(cookie).bytes();
    };
    EXPECT_EQ(ReceiveAll(fd, kSimpleReplyBytes), reply(7));
    EXPECT_EQ(ReceiveAll(fd, kSimpleReplyBytes), reply(8));
    EXPECT_TRUE(ReceiveAll(fd, 4096) == data);
  }
}

TEST_P(NbdClientHandshakeTest, SaysThatAnExportIsNotThere) {
  const auto socket = ConnectSocket(ListenUnix(), kPatienceMs);
  const auto found = NegotiateAsClient(socket.value().get(), "none");
  EXPECT_EQ(found.status().code(), ErrorCode::kNotFound);
  EXPECT_NE(found.status().message().find("\"none\""), std::string::npos);
}

TEST_P(NbdClientHandshakeTest, RefusesANameThatIsNone) {
  const auto socket = ConnectSocket(ListenUnix(), kPatienceMs);
  for (const std::string& name : {std::string(), std::string(5000, 'x'), std::string("a\0b", 3)}) {
    EXPECT_EQ(NegotiateAsClient(socket.value().get(), name).status().code(),
              ErrorCode::kInvalidArgument);
  }
}

TEST(ConnectSocket, SaysThatNobodyListens) {
  const TempDirectory directory;
  const std::string path = "unix:" + directory.path() + "/nobody";
  EXPECT_EQ(ConnectSocket(path, kPatienceMs).status().code(), ErrorCode::kUnavailable);
  EXPECT_EQ(ConnectSocket("nonsense", kPatienceMs).status().code(), ErrorCode::kInvalidArgument);
}

// -- Servers that are not ours

constexpr uint16_t kNewstyle = kFlagFixedNewstyle | kFlagNoZeroes;

Wire Greeting(uint16_t flags = kNewstyle) {
  Wire wire;
  wire.U64(kNbdMagic).U64(kOptionMagic).U16(flags);
  return wire;
}

Bytes Answer(OptionReply type, const Bytes& data, Option option = Option::kGo) {
  return Wire()
      .U64(kOptionReplyMagic)
      .U32(static_cast<uint32_t>(option))
      .U32(static_cast<uint32_t>(type))
      .U32(static_cast<uint32_t>(data.size()))
      .Append(data)
      .bytes();
}

Bytes ExportInfo(uint64_t size_bytes) {
  return Wire().U16(static_cast<uint16_t>(InfoType::kExport)).U64(size_bytes).U16(1).bytes();
}

// What the handshake comes to when the server says `bytes` and hangs up, whatever it hears.
Result<NegotiatedExport> NegotiateWith(const Bytes& bytes) {
  int ends[2];
  CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const UniqueFd ours(ends[0]);
  UniqueFd theirs(ends[1]);
  std::thread server([&theirs, &bytes] {
    (void)::send(theirs.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    ::shutdown(theirs.get(), SHUT_WR);
    std::byte ignored[4096];
    while (::recv(theirs.get(), ignored, sizeof ignored, 0) > 0) {
    }
  });
  auto found = NegotiateAsClient(ours.get(), "db");
  ::shutdown(ours.get(), SHUT_RDWR);
  server.join();
  return found;
}

ErrorCode CodeOf(const Wire& wire) {
  return NegotiateWith(wire.bytes()).status().code();
}

TEST(NbdClientHandshake, TakesAServerThatTellsNoBlockSize) {
  const auto found = NegotiateWith(Greeting()
                                       .Append(Answer(OptionReply::kInfo, ExportInfo(8 * kMiB)))
                                       .Append(Answer(OptionReply::kAck, {}))
                                       .bytes());
  ASSERT_TRUE(found.ok()) << found.status().ToString();
  EXPECT_EQ(*found, (NegotiatedExport{.size_bytes = 8 * kMiB, .transmission_flags = 1}));
}

TEST(NbdClientHandshake, PassesOverInformationThatItDidNotAskFor) {
  const Bytes name = Wire().U16(static_cast<uint16_t>(InfoType::kName)).Text("db").bytes();
  const Bytes unheard_of = Wire().U16(999).U64(1).bytes();
  EXPECT_TRUE(NegotiateWith(Greeting()
                                .Append(Answer(OptionReply::kInfo, name))
                                .Append(Answer(OptionReply::kInfo, unheard_of))
                                .Append(Answer(OptionReply::kInfo, ExportInfo(kMiB)))
                                .Append(Answer(OptionReply::kAck, {}))
                                .bytes())
                  .ok());
}

TEST(NbdClientHandshake, TellsRefusalsApart) {
  const std::pair<OptionReply, ErrorCode> cases[] = {
      {OptionReply::kErrUnknown, ErrorCode::kNotFound},
      {OptionReply::kErrPolicy, ErrorCode::kPermissionDenied},
      {OptionReply::kErrTlsReqd, ErrorCode::kUnsupported},
      {OptionReply::kErrShutdown, ErrorCode::kUnavailable},
      {OptionReply::kErrUnsup, ErrorCode::kUnsupported},
      {OptionReply::kErrTooBig, ErrorCode::kUnsupported},
  };
  for (const auto& [type, code] : cases) {
    EXPECT_EQ(CodeOf(Greeting().Append(Answer(type, Pattern(10, 1)))), code)
        << static_cast<uint32_t>(type);
  }
}

TEST(NbdClientHandshake, DoesNotBelieveWhatIsMalformed) {
  const Bytes size = ExportInfo(kMiB);
  const Bytes ack = Answer(OptionReply::kAck, {});
  const auto info = [](const Bytes& data) { return Answer(OptionReply::kInfo, data); };
  EXPECT_EQ(CodeOf(Wire().Text("SSH-2.0-OpenSSH_9.2p1\r\n")), ErrorCode::kIo);
  EXPECT_EQ(CodeOf(Greeting(0)), ErrorCode::kUnsupported);
  EXPECT_EQ(CodeOf(Greeting().Append(ack)), ErrorCode::kIo) << "no size";
  EXPECT_EQ(CodeOf(Greeting().Append(info(Wire().U16(0).U32(1).bytes()))), ErrorCode::kIo);
  EXPECT_EQ(CodeOf(Greeting().Append(info(Wire().U16(3).U32(1).bytes()))), ErrorCode::kIo);
  EXPECT_EQ(CodeOf(Greeting().Append(info({std::byte{0}}))), ErrorCode::kIo);
  EXPECT_EQ(CodeOf(Greeting().Append(Answer(OptionReply::kServer, size))), ErrorCode::kIo);
  EXPECT_EQ(CodeOf(Greeting().Append(Answer(OptionReply::kInfo, size, Option::kInfo))),
            ErrorCode::kIo);
  EXPECT_EQ(CodeOf(Greeting().U64(kNbdMagic).U32(7).U32(3).U32(0)), ErrorCode::kIo);
}

TEST(NbdClientHandshake, BoundsWhatItTakes) {
  const Wire too_long = Greeting().U64(kOptionReplyMagic).U32(7).U32(3).U32(kNbdOptionBytesMax + 1);
  EXPECT_EQ(CodeOf(too_long), ErrorCode::kIo);
  Wire too_many = Greeting();
  for (uint32_t i = 0; i < kNbdInfoRepliesMax; ++i) {
    too_many.Append(Answer(OptionReply::kInfo, ExportInfo(kMiB)));
  }
  EXPECT_EQ(CodeOf(too_many.Append(Answer(OptionReply::kAck, {}))), ErrorCode::kIo);
}

TEST(NbdClientHandshake, NoticesAServerThatHangsUpAnywhere) {
  const Bytes all = Greeting()
                        .Append(Answer(OptionReply::kInfo, ExportInfo(kMiB)))
                        .Append(Answer(OptionReply::kAck, {}))
                        .bytes();
  for (size_t length = 0; length < all.size(); ++length) {
    const Bytes part(all.begin(), all.begin() + static_cast<ptrdiff_t>(length));
    EXPECT_EQ(NegotiateWith(part).status().code(), ErrorCode::kUnavailable) << length;
  }
  EXPECT_TRUE(NegotiateWith(all).ok());
}

TEST(NbdClientHandshake, GivesUpOnAServerThatSaysNothing) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  const UniqueFd ours(ends[0]);
  const UniqueFd theirs(ends[1]);
  ASSERT_TRUE(SetSocketTimeouts(ours.get(), 20).ok());
  EXPECT_EQ(NegotiateAsClient(ours.get(), "db").status().code(), ErrorCode::kUnavailable);
}

}  // namespace
}  // namespace aurochs::nbd
