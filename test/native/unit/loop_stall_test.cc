#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "io/directory.h"
#include "io/event_loop.h"
#include "support/loop_test.h"
#include "support/stub_file.h"
#include "support/temp_directory.h"

namespace aurochs {
namespace {

// Its writes wait until the test lets them go on.
class HeldUpFile : public StubFile {
 public:
  Status WriteAt(std::span<const std::byte>, uint64_t) override {
    is_held_up = true;
    is_held_up.notify_all();
    let_go.wait(false);
    return Status::Ok();
  }

  void LetGo() {
    let_go = true;
    let_go.notify_all();
  }

  std::atomic<bool> is_held_up = false;
  std::atomic<bool> let_go = false;
};

// Notes which thread asks for its descriptor last: the one that reads or writes.
class NotingFile : public StubFile {
 public:
  explicit NotingFile(int fd) : fd_(fd) {}
  int fd() const override {
    last_thread = pthread_self();
    return fd_;
  }

  mutable std::atomic<pthread_t> last_thread{};

 private:
  const int fd_;
};

struct Transfer : FileOp {
  Transfer(Kind transfer_kind, File& transfer_file, char fill) : buffer(4096, fill) {
    kind = transfer_kind;
    file = &transfer_file;
    length_bytes = buffer.size();
    entry = {buffer.data(), buffer.size()};
    iov = {&entry, 1};
    complete = [](FileOp* op, ErrorCode code) {
      auto* const self = static_cast<Transfer*>(op);
      if (self->then) self->then();
      self->completed.set_value(code);
    };
  }

  std::string buffer;
  iovec entry;
  std::function<void()> then;  // on the loop
  std::promise<ErrorCode> completed;
};

// Answers each byte with the next letter.
class Echo : public FdHandler {
 public:
  Echo(EventLoop& loop, int fd) : fd_(fd), watch_(loop, fd, *this) {
    watch_.SetInterest(true, false);
  }
  void OnReadable() override {
    char letter;
    if (::read(fd_, &letter, 1) != 1) return;
    ++letter;
    EXPECT_EQ(::write(fd_, &letter, 1), 1);
  }
  void OnWritable() override { FAIL(); }

 private:
  const int fd_;
  FdWatch watch_;
};

class LoopStallTest : public ::testing::TestWithParam<EventLoop::Backend> {
 protected:
  void SetUp() override {
    thread_ = LoopThread::Start({.name = "stalls", .backend = GetParam()}).value();
    thread_->RunAndWait([&] { own_thread_ = pthread_self(); });
  }
  void TearDown() override { held_up_.LetGo(); }

  // Returns once the loop's own thread waits in a write, which is in flight from then on.
  void HoldUp() {
    thread_->loop().Post([&] { thread_->loop().SubmitFileOp(&held_up_write_); });
    held_up_.is_held_up.wait(false);
  }

  // Which thread runs the loop now.
  pthread_t RunningThread() {
    pthread_t running{};
    thread_->RunAndWait([&] {
      EXPECT_TRUE(thread_->loop().InLoopThread());
      running = pthread_self();
    });
    return running;
  }

  HeldUpFile held_up_;
  Transfer held_up_write_{FileOp::Kind::kWrite, held_up_, 'h'};
  std::unique_ptr<LoopThread> thread_;
  pthread_t own_thread_{};
};

TEST_P(LoopStallTest, AStandInRunsTheLoopWhileAWriteHoldsUpItsThread) {
  HoldUp();
  EXPECT_FALSE(pthread_equal(RunningThread(), own_thread_));
}

TEST_P(LoopStallTest, TheOwnThreadHasTheLoopBackOnceTheWriteIsDone) {
  HoldUp();
  RunningThread();
  held_up_.LetGo();
  EXPECT_EQ(held_up_write_.completed.get_future().get(), ErrorCode::kOk);
  EXPECT_TRUE(pthread_equal(RunningThread(), own_thread_));
}

TEST_P(LoopStallTest, OtherFilesAreWrittenAndReadMeanwhile) {
  TempDirectory temp;
  const auto directory = temp.Open();
  const auto file = directory->OpenFile("file", OpenMode::kCreate).value();
  HoldUp();
  Transfer write(FileOp::Kind::kWrite, *file, 'w');
  Transfer read(FileOp::Kind::kRead, *file, '?');
  Transfer sync(FileOp::Kind::kSyncData, *file, '?');
  EventLoop& loop = thread_->loop();
  write.then = [&] { loop.SubmitFileOp(&read); };
  read.then = [&] { loop.SubmitFileOp(&sync); };
  loop.Post([&] { loop.SubmitFileOp(&write); });
  EXPECT_EQ(sync.completed.get_future().get(), ErrorCode::kOk);
  EXPECT_EQ(read.buffer, std::string(4096, 'w'));
}

// Only the loop's own thread can end what is in its io_uring, so that must not be held up then.
TEST_P(LoopStallTest, AWriteLeavesTheOwnThreadToReadsThatNeedIt) {
  int fds[2];
  ASSERT_EQ(::pipe2(fds, O_CLOEXEC), 0);
  const UniqueFd read_end(fds[0]);
  const UniqueFd write_end(fds[1]);
  TempDirectory temp;
  const auto target = temp.Open()->OpenFile("file", OpenMode::kCreate).value();
  NotingFile slow(read_end.get());
  NotingFile written(target->fd());
  EventLoop& loop = thread_->loop();
  const auto is_written_on_the_loop = [&] {
    Transfer write(FileOp::Kind::kWrite, written, 'w');
    loop.Post([&] { loop.SubmitFileOp(&write); });
    EXPECT_EQ(write.completed.get_future().get(), ErrorCode::kOk);
    return pthread_equal(written.last_thread, own_thread_) != 0;
  };
  EXPECT_TRUE(is_written_on_the_loop());
  Transfer read(FileOp::Kind::kRead, slow, '?');
  thread_->RunAndWait([&] { loop.SubmitFileOp(&read); });
  thread_->RunAndWait([] {});  // A turn later the read is under way.
  EXPECT_EQ(is_written_on_the_loop(), GetParam() == EventLoop::Backend::kEpoll);
  const std::string bytes(read.buffer.size(), 'r');
  EXPECT_EQ(::write(write_end.get(), bytes.data(), bytes.size()),
            static_cast<ssize_t>(bytes.size()));
  read.completed.get_future().get();
  EXPECT_TRUE(is_written_on_the_loop());
}

TEST_P(LoopStallTest, SocketsAreServedMeanwhileAndAfterwards) {
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  const UniqueFd ours(fds[0]);
  const UniqueFd loops(fds[1]);
  std::unique_ptr<Echo> echo;
  thread_->RunAndWait([&] { echo = std::make_unique<Echo>(thread_->loop(), loops.get()); });
  const auto answer_to = [&](char letter) {
    EXPECT_EQ(::write(ours.get(), &letter, 1), 1);
    EXPECT_EQ(::read(ours.get(), &letter, 1), 1);
    return letter;
  };
  EXPECT_EQ(answer_to('a'), 'b');
  HoldUp();
  EXPECT_EQ(answer_to('c'), 'd');
  EXPECT_EQ(answer_to('e'), 'f');
  held_up_.LetGo();
  EXPECT_EQ(held_up_write_.completed.get_future().get(), ErrorCode::kOk);
  EXPECT_EQ(answer_to('g'), 'h');
  thread_->RunAndWait([&] { echo.reset(); });
}

TEST_P(LoopStallTest, ASocketClosedMeanwhileIsLetGoOf) {
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  const UniqueFd ours(fds[0]);
  UniqueFd loops(fds[1]);
  std::unique_ptr<Echo> echo;
  thread_->RunAndWait([&] { echo = std::make_unique<Echo>(thread_->loop(), loops.get()); });
  HoldUp();
  thread_->RunAndWait([&] {
    echo.reset();
    loops.Reset();
  });
  held_up_.LetGo();
  EXPECT_EQ(held_up_write_.completed.get_future().get(), ErrorCode::kOk);
  char letter;
  EXPECT_EQ(::read(ours.get(), &letter, 1), 0);  // The end: nobody holds the other side.
}

TEST_P(LoopStallTest, TheLoopEndsOnlyAfterTheWriteThatHoldsUpItsThread) {
  HoldUp();
  RunningThread();
  auto ended = std::async(std::launch::async, [&] { thread_.reset(); });
  held_up_.LetGo();
  ended.get();
  EXPECT_EQ(held_up_write_.completed.get_future().get(), ErrorCode::kOk);
}

TEST_P(LoopStallTest, TheLoopEndsWithASocketClosedMeanwhile) {
  int fds[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
  const UniqueFd ours(fds[0]);
  UniqueFd loops(fds[1]);
  std::unique_ptr<Echo> echo;
  thread_->RunAndWait([&] { echo = std::make_unique<Echo>(thread_->loop(), loops.get()); });
  HoldUp();
  thread_->RunAndWait([&] {
    echo.reset();
    loops.Reset();
    thread_->loop().Stop();
  });
  RunningThread();  // The stand-in has heard of the stop by now.
  held_up_.LetGo();
  thread_.reset();
  char letter;
  EXPECT_EQ(::read(ours.get(), &letter, 1), 0);
}

// Whatever the order in which lendings, stalls and hand-overs meet, no operation is lost.
TEST_P(LoopStallTest, ManyStallsOneAfterAnotherLoseNothing) {
  for (int i = 0; i < 20; ++i) {
    HeldUpFile file;
    Transfer write(FileOp::Kind::kWrite, file, 'w');
    thread_->loop().Post([&] { thread_->loop().SubmitFileOp(&write); });
    file.is_held_up.wait(false);
    if (i % 2 == 0) RunningThread();
    file.LetGo();
    EXPECT_EQ(write.completed.get_future().get(), ErrorCode::kOk);
  }
  held_up_.LetGo();
}

INSTANTIATE_FOR_EVERY_BACKEND(LoopStallTest);

}  // namespace
}  // namespace aurochs
