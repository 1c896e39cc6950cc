#include "io/uring_setup.h"

#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstdlib>

#include "io/event_loop.h"

namespace aurochs {
namespace {

TEST(IoUring, IsUsedByDefaultWhereItIsAvailableAndSaysWhyNotElsewhere) {
  const Status available = EventLoop::IoUringAvailable();
  auto loop = EventLoop::Create({});
  ASSERT_TRUE(loop.ok());
  EXPECT_EQ((*loop)->backend() == EventLoop::Backend::kIoUring, available.ok());
  if (!available.ok()) {
    EXPECT_NE(available.message().find("io_uring"), std::string::npos);
  }
}

// As a container's default profile does.
void ForbidIoUring(uint32_t error_number) {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error_number),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{std::size(program), program};
  CHECK(::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  CHECK(::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0);
}

TEST(IoUringDeathTest, AProcessThatMayNotUseItSaysWhyAndRunsOnEpoll) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  for (const int error_number : {EPERM, ENOSYS}) {
    const auto run_without = [error_number] {
      ForbidIoUring(static_cast<uint32_t>(error_number));
      const Status status = ProbeIoUring();
      auto loop = EventLoop::Create({});
      if (!loop.ok() || (*loop)->backend() != EventLoop::Backend::kEpoll) std::exit(1);
      (*loop)->Stop();
      (*loop)->Run();
      std::fprintf(stderr, "reason %s\n", status.message().c_str());
      std::exit(status.ok() ? 1 : 0);
    };
    EXPECT_EXIT(run_without(), testing::ExitedWithCode(0), "reason io_uring: .*seccomp filter");
  }
}

}  // namespace
}  // namespace aurochs
