#include "base/native_thread.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <sys/prctl.h>

#include <csignal>

namespace aurochs {
namespace {

TEST(NativeThread, RunsItsBodyUnderItsNameWithoutSignals) {
  char name[16] = "";
  bool blocks_terminate = false;
  auto thread = NativeThread::Start("worker", [&] {
    pthread_getname_np(pthread_self(), name, sizeof name);
    sigset_t blocked;
    pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
    blocks_terminate = sigismember(&blocked, SIGTERM) == 1;
  });
  ASSERT_TRUE(thread.ok());
  (*thread)->Join();
  EXPECT_STREQ(name, "worker");
  EXPECT_TRUE(blocks_terminate);
  sigset_t blocked;
  pthread_sigmask(SIG_SETMASK, nullptr, &blocked);
  EXPECT_EQ(sigismember(&blocked, SIGTERM), 0) << "the starting thread's mask is as before";
}

TEST(NativeThread, IsAnIoFlusherWhereTheKernelAllowsIt) {
  int is_flusher = 0;
  auto thread =
      NativeThread::Start("worker", [&] { is_flusher = ::prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0); });
  ASSERT_TRUE(thread.ok());
  (*thread)->Join();
  EXPECT_EQ(is_flusher == 1, NativeThread::IoFlusherAvailable().ok());
}

}  // namespace
}  // namespace aurochs
