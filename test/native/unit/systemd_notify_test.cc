#include "base/systemd_notify.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <string>

#include "base/check.h"
#include "base/unique_fd.h"
#include "support/temp_directory.h"

namespace aurochs {
namespace {

// What the service manager has: a bound datagram socket. A name that begins with NUL is abstract.
class Manager {
 public:
  explicit Manager(const std::string& name)
      : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    CHECK(name.size() < sizeof address.sun_path);
    std::copy(name.begin(), name.end(), address.sun_path);
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
    CHECK(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), length) == 0);
  }

  // The next datagram; empty if there is none.
  std::string Take() {
    char text[256];
    const ssize_t size = ::recv(socket_.get(), text, sizeof text, MSG_DONTWAIT);
    return size < 0 ? "" : std::string(text, static_cast<size_t>(size));
  }

 private:
  const UniqueFd socket_;
};

class SystemdNotify : public testing::Test {
 protected:
  void SetUp() override { ::unsetenv("NOTIFY_SOCKET"); }
  void TearDown() override { ::unsetenv("NOTIFY_SOCKET"); }
  static void Name(const std::string& socket) { ::setenv("NOTIFY_SOCKET", socket.c_str(), 1); }

  const TempDirectory directory_;
};

TEST_F(SystemdNotify, SendsEachStateAsOneDatagramToThePath) {
  const std::string path = directory_.path() + "/notify";
  Manager manager(path);
  Name(path);
  EXPECT_TRUE(NotifySystemd("READY=1\nSTATUS=2 volumes").value());
  EXPECT_TRUE(NotifySystemd("WATCHDOG=1").value());
  EXPECT_EQ(manager.Take(), "READY=1\nSTATUS=2 volumes");
  EXPECT_EQ(manager.Take(), "WATCHDOG=1");
  EXPECT_EQ(manager.Take(), "");
}

TEST_F(SystemdNotify, KnowsAbstractNames) {
  const std::string name = directory_.path();  // As good as any that nobody else has.
  Manager manager('\0' + name);
  Name("@" + name);
  EXPECT_TRUE(NotifySystemd("STOPPING=1").value());
  EXPECT_EQ(manager.Take(), "STOPPING=1");
}

TEST_F(SystemdNotify, TellsNobodyWithoutTheVariable) {
  EXPECT_FALSE(NotifySystemd("READY=1").value());
  Name("");
  EXPECT_FALSE(NotifySystemd("READY=1").value());
}

TEST_F(SystemdNotify, SaysWhyAStateCannotBeSent) {
  Name(directory_.path() + "/nobody");
  EXPECT_EQ(NotifySystemd("READY=1").status().code(), ErrorCode::kNotFound);
  Name("vsock:2:1234");
  EXPECT_EQ(NotifySystemd("READY=1").status().code(), ErrorCode::kInvalidArgument);
  Name("/" + std::string(sizeof(sockaddr_un::sun_path), 'x'));
  EXPECT_EQ(NotifySystemd("READY=1").status().code(), ErrorCode::kInvalidArgument);
}

TEST_F(SystemdNotify, DoesNotWaitForAManagerThatDoesNotRead) {
  const std::string path = directory_.path() + "/notify";
  Manager manager(path);
  Name(path);
  Result<bool> sent = true;
  while (sent.ok()) sent = NotifySystemd("WATCHDOG=1");
  EXPECT_EQ(sent.status().code(), ErrorCode::kBusy);
}

}  // namespace
}  // namespace aurochs
