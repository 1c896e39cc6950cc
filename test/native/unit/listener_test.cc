#include "io/listener.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "base/log.h"
#include "support/loop_test.h"
#include "support/temp_directory.h"

namespace aurochs {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// Connects to the address that a listening socket reports; invalid if nobody is there.
UniqueFd ConnectTo(const std::string& address) {
  if (address.starts_with("unix:")) {
    sockaddr_un un{.sun_family = AF_UNIX, .sun_path = {}};
    std::strcpy(un.sun_path, address.c_str() + 5);
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&un), sizeof un) != 0) fd.Reset();
    return fd;
  }
  const auto port = static_cast<uint16_t>(std::stoi(address.substr(address.rfind(':') + 1)));
  UniqueFd fd;
  if (address.starts_with("[")) {
    fd.Reset(::socket(AF_INET6, SOCK_STREAM, 0));
    sockaddr_in6 in6{
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_loopback};
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&in6), sizeof in6) != 0) fd.Reset();
  } else {
    fd.Reset(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in in{
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&in), sizeof in) != 0) fd.Reset();
  }
  return fd;
}

TEST(ListeningSocket, TellsThePortThatWasFree) {
  const auto socket = OpenListeningSocket("127.0.0.1:0");
  ASSERT_TRUE(socket.ok());
  EXPECT_THAT(socket->address, StartsWith("127.0.0.1:"));
  EXPECT_NE(socket->address, "127.0.0.1:0");
  EXPECT_TRUE(ConnectTo(socket->address).valid());
}

TEST(ListeningSocket, TakesIpv6InBracketsAndNames) {
  const auto v6 = OpenListeningSocket("[::1]:0");
  ASSERT_TRUE(v6.ok()) << v6.status().message();
  EXPECT_THAT(v6->address, StartsWith("[::1]:"));
  EXPECT_TRUE(ConnectTo(v6->address).valid());
  EXPECT_TRUE(OpenListeningSocket("localhost:0").ok());
}

TEST(ListeningSocket, RefusesWhatIsNoAddressAndSaysWhatIsOne) {
  for (const char* text : {"", "3260", "127.0.0.1", ":3260", "127.0.0.1:", "127.0.0.1:65536",
                           "127.0.0.1:-1", "127.0.0.1:80x", "::1:3260", "[::1]", "[127.0.0.1]:80",
                           "unix:", "256.0.0.1.:1", "127.0.0.1: 80"}) {
    const Status status = OpenListeningSocket(text).status();
    EXPECT_EQ(status.code(), ErrorCode::kInvalidArgument) << text;
    EXPECT_THAT(status.message(), HasSubstr("HOST:PORT")) << text;
  }
  EXPECT_EQ(OpenListeningSocket("unix:/" + std::string(200, 'x')).status().code(),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(OpenListeningSocket(std::string("unix:/a\0b", 9)).status().code(),
            ErrorCode::kInvalidArgument);
}

TEST(ListeningSocket, NamesTheAddressThatIsTaken) {
  const auto first = OpenListeningSocket("127.0.0.1:0");
  ASSERT_TRUE(first.ok());
  const Status second = OpenListeningSocket(first->address).status();
  EXPECT_EQ(second.code(), ErrorCode::kBusy);
  EXPECT_THAT(second.message(), HasSubstr(first->address));
}

TEST(ListeningSocket, TakesAPortWhoseLastConnectionsStillLinger) {
  auto first = OpenListeningSocket("127.0.0.1:0").value();
  UniqueFd client = ConnectTo(first.address);
  UniqueFd served(::accept(first.fd.get(), nullptr, nullptr));
  ASSERT_TRUE(served.valid());
  served.Reset();  // The server closes first, so TIME_WAIT is on its side.
  client.Reset();
  first.fd.Reset();
  EXPECT_TRUE(OpenListeningSocket(first.address).ok());
}

TEST(ListeningSocket, ReplacesAStaleSocketFileButNotALiveOne) {
  TempDirectory temp;
  const std::string address = "unix:" + temp.path() + "/socket";
  auto live = OpenListeningSocket(address).value();
  const Status refused = OpenListeningSocket(address).status();
  EXPECT_EQ(refused.code(), ErrorCode::kBusy);
  EXPECT_THAT(refused.message(), HasSubstr(address));
  EXPECT_TRUE(ConnectTo(address).valid()) << "the live one is unharmed";
  live.fd.Reset();  // Its process died; the file stays.
  ASSERT_TRUE(std::filesystem::exists(temp.path() + "/socket"));
  const auto again = OpenListeningSocket(address);
  ASSERT_TRUE(again.ok()) << again.status().message();
  EXPECT_TRUE(ConnectTo(address).valid());
}

TEST(ListeningSocket, LeavesAFileThatIsNoSocketAlone) {
  TempDirectory temp;
  std::ofstream(temp.path() + "/precious") << "data";
  EXPECT_EQ(OpenListeningSocket("unix:" + temp.path() + "/precious").status().code(),
            ErrorCode::kBusy);
  EXPECT_EQ(std::filesystem::file_size(temp.path() + "/precious"), 4u);
}

TEST(ListeningSocket, SocketFilesAreForTheirOwner) {
  TempDirectory temp;
  const auto socket = OpenListeningSocket("unix:" + temp.path() + "/socket");
  struct stat info;
  ASSERT_EQ(::stat((temp.path() + "/socket").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
}

class ListenerTest : public LoopTest {
 protected:
  Listener::OnAccept Collect(size_t expected) {
    return [this, expected](UniqueFd socket, std::string peer) {
      peers_.push_back(std::move(peer));
      accepted_.push_back(std::move(socket));
      if (accepted_.size() == expected) loop().Stop();
    };
  }

  TempDirectory temp_;
  std::vector<UniqueFd> accepted_;
  std::vector<std::string> peers_;
};

TEST_P(ListenerTest, HandsOutNonBlockingConnectionsWithoutDelay) {
  Listener listener(loop(), OpenListeningSocket("127.0.0.1:0").value(), Collect(1));
  const UniqueFd client = ConnectTo(listener.address());
  loop().Run();
  ASSERT_EQ(accepted_.size(), 1u);
  const int fd = accepted_[0].get();
  EXPECT_NE(::fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
  EXPECT_NE(::fcntl(fd, F_GETFD) & FD_CLOEXEC, 0);
  int no_delay = 0;
  socklen_t length = sizeof no_delay;
  ASSERT_EQ(::getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &length), 0);
  EXPECT_EQ(no_delay, 1);
  EXPECT_EQ(peers_[0], LocalAddressText(client.get()));
  EXPECT_EQ(LocalAddressText(fd), listener.address());
}

TEST_P(ListenerTest, AcceptsMoreConnectionsThanOneTurnTakes) {
  constexpr size_t kClients = 100;
  Listener listener(loop(), OpenListeningSocket("unix:" + temp_.path() + "/s").value(),
                    Collect(kClients));
  std::vector<UniqueFd> clients;
  for (size_t i = 0; i < kClients; ++i) clients.push_back(ConnectTo(listener.address()));
  loop().Run();
  EXPECT_EQ(accepted_.size(), kClients);
}

TEST_P(ListenerTest, RemovesItsSocketFileButNotThatOfASuccessor) {
  const std::string path = temp_.path() + "/s";
  auto first =
      std::make_unique<Listener>(loop(), OpenListeningSocket("unix:" + path).value(), Collect(1));
  std::filesystem::remove(path);
  auto second =
      std::make_unique<Listener>(loop(), OpenListeningSocket("unix:" + path).value(), Collect(1));
  first.reset();
  EXPECT_TRUE(std::filesystem::exists(path));
  second.reset();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_P(ListenerTest, MayBeDestroyedByItsOwnHandler) {
  std::unique_ptr<Listener> listener;
  int calls = 0;
  listener = std::make_unique<Listener>(loop(), OpenListeningSocket("127.0.0.1:0").value(),
                                        [&](UniqueFd, std::string) {
                                          ++calls;
                                          listener.reset();
                                          loop().Stop();
                                        });
  const std::string address = listener->address();
  const UniqueFd first = ConnectTo(address);
  const UniqueFd second = ConnectTo(address);
  loop().Run();
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(ConnectTo(address).valid());
}

TEST_P(ListenerTest, FreesItsPortAtOnceWhenItIsDestroyed) {
  auto listener =
      std::make_unique<Listener>(loop(), OpenListeningSocket("127.0.0.1:0").value(), Collect(1));
  const std::string address = listener->address();
  bool free = false;
  Timer end(loop(), [&] {
    listener.reset();
    free = OpenListeningSocket(address).ok();
    loop().Stop();
  });
  end.Start(2);
  loop().Run();
  EXPECT_TRUE(free);
}

TEST_P(ListenerTest, SurvivesRunningOutOfDescriptors) {
  int warnings = 0;
  SetLogSink(
      [&](LogLevel level, std::string_view, std::string) { warnings += level == LogLevel::kWarn; });
  Listener listener(loop(), OpenListeningSocket("127.0.0.1:0").value(), Collect(1));
  const UniqueFd client = ConnectTo(listener.address());
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  Timer relief(loop(), [&] { ::setrlimit(RLIMIT_NOFILE, &before); });
  loop().Post([&] {
    const rlimit none{3, before.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
    relief.Start(150);
  });
  loop().Run();
  SetLogSink({});
  EXPECT_EQ(accepted_.size(), 1u);
  EXPECT_EQ(warnings, 1);
}

INSTANTIATE_FOR_EVERY_BACKEND(ListenerTest);

}  // namespace
}  // namespace aurochs
