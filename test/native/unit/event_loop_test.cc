#include "io/event_loop.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "support/loop_test.h"

namespace aurochs {
namespace {

using EventLoopTest = LoopTest;

TEST_P(EventLoopTest, RunsPostedTasksInTheOrderOfPosting) {
  std::vector<int> ran;
  for (int i = 0; i < 5; ++i) loop().Post([&, i] { ran.push_back(i); });
  loop().Post([&] { loop().Stop(); });
  loop().Run();
  EXPECT_EQ(ran, (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST_P(EventLoopTest, RunsWhatWasPostedBeforeStop) {
  bool ran = false;
  loop().Post([&] { ran = true; });
  loop().Stop();
  loop().Run();
  EXPECT_TRUE(ran);
}

TEST_P(EventLoopTest, DestroysTasksThatAreStillPostedAtItsEnd) {
  auto owned = std::make_shared<int>(1);
  loop().Stop();
  loop().Run();
  loop().Post([owned] { FAIL(); });
  loop_.reset();
  EXPECT_EQ(owned.use_count(), 1);
}

TEST_P(EventLoopTest, KnowsItsThread) {
  bool inside = false;
  bool elsewhere = true;
  loop().Post([&] {
    inside = loop().InLoopThread();
    std::thread([&] { elsewhere = loop().InLoopThread(); }).join();
    loop().Stop();
  });
  loop().Run();
  EXPECT_TRUE(inside);
  EXPECT_FALSE(elsewhere);
  EXPECT_FALSE(loop().InLoopThread());
}

TEST_P(EventLoopTest, LosesNoTaskOfSeveralThreadsThatPostAtOnce) {
  constexpr int kThreads = 4;
  constexpr int kTasks = 5000;
  auto started = LoopThread::Start({.name = "storm", .backend = GetParam()});
  ASSERT_TRUE(started.ok());
  std::vector<int> last_seen(kThreads, -1);  // Only touched on the loop.
  int count = 0;
  bool in_order = true;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < kTasks; ++i) {
        (*started)->loop().Post([&, t, i] {
          in_order &= last_seen[t] == i - 1;
          last_seen[t] = i;
          ++count;
        });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  int seen = 0;
  (*started)->RunAndWait([&] { seen = count; });
  EXPECT_EQ(seen, kThreads * kTasks);
  EXPECT_TRUE(in_order);
}

TEST_P(EventLoopTest, RunsATaskThatATaskPosts) {
  int left = 1000;
  std::function<void()> again = [&] {
    if (--left == 0) {
      loop().Stop();
    } else {
      loop().Post(again);
    }
  };
  loop().Post(again);
  loop().Run();
  EXPECT_EQ(left, 0);
}

struct RecordingTask : TurnEndTask {
  explicit RecordingTask(std::function<void()> on_turn_end) : body(std::move(on_turn_end)) {}
  void OnTurnEnd() override { body(); }
  std::function<void()> body;
};

TEST_P(EventLoopTest, RunsTurnEndTasksOnceAfterEverythingElseOfTheTurn) {
  std::vector<std::string> ran;
  RecordingTask at_end([&] { ran.push_back("end"); });
  loop().Post([&] {
    loop().RunAtTurnEnd(at_end);
    loop().RunAtTurnEnd(at_end);
    ran.push_back("first");
  });
  loop().Post([&] {
    ran.push_back("second");
    loop().Post([&] { loop().Stop(); });
  });
  loop().Run();
  EXPECT_EQ(ran, (std::vector<std::string>{"first", "second", "end"}));
}

TEST_P(EventLoopTest, RunsATurnEndTaskThatAnotherOneAsksForInTheSameTurn) {
  std::vector<std::string> ran;
  RecordingTask answers([&] { ran.push_back("answers"); });
  RecordingTask reads([&] {
    ran.push_back("reads");
    loop().RunAtTurnEnd(answers);
    loop().Post([&] {
      ran.push_back("next turn");
      loop().Stop();
    });
  });
  loop().Post([&] { loop().RunAtTurnEnd(reads); });
  loop().Run();
  EXPECT_EQ(ran, (std::vector<std::string>{"reads", "answers", "next turn"}));
}

TEST_P(EventLoopTest, ServesOthersWhileATurnEndTaskKeepsAskingForItself) {
  int rounds = 0;
  bool stopping = false;
  RecordingTask again([&] {
    ++rounds;
    if (!stopping) loop().RunAtTurnEnd(again);
  });
  Timer stop(loop(), [&] {
    stopping = true;
    loop().Stop();
  });
  stop.Start(5);
  loop().RunAtTurnEnd(again);
  loop().Run();
  EXPECT_GT(rounds, 8);
}

TEST_P(EventLoopTest, DoesNotRunACancelledTurnEndTask) {
  std::vector<int> ran;
  RecordingTask first([&] { ran.push_back(1); });
  RecordingTask second([&] { ran.push_back(2); });
  RecordingTask third([&] { ran.push_back(3); });
  loop().Post([&] {
    loop().RunAtTurnEnd(first);
    loop().RunAtTurnEnd(second);
    loop().RunAtTurnEnd(third);
    loop().CancelTurnEnd(second);
    loop().CancelTurnEnd(second);
    loop().Stop();
  });
  loop().Run();
  EXPECT_EQ(ran, (std::vector<int>{1, 3}));
}

TEST_P(EventLoopTest, RunsBlockingWorkElsewhereAndItsEndOnTheLoop) {
  bool worked_on_loop = true;
  bool done_on_loop = false;
  loop().Post([&] {
    loop().RunBlocking([&] { worked_on_loop = loop().InLoopThread(); },
                       [&] {
                         done_on_loop = loop().InLoopThread();
                         loop().Stop();
                       });
  });
  loop().Run();
  EXPECT_FALSE(worked_on_loop);
  EXPECT_TRUE(done_on_loop);
}

TEST_P(EventLoopTest, WaitsForBlockingWorkBeforeItStops) {
  bool done = false;
  std::atomic<bool> stop_asked = false;
  loop().Post([&] {
    loop().RunBlocking([&] { stop_asked.wait(false); }, [&] { done = true; });
    loop().Stop();
    stop_asked = true;
    stop_asked.notify_one();
  });
  loop().Run();
  EXPECT_TRUE(done);
}

TEST_P(EventLoopTest, RunsBlockingWorkInlineWhenASimulationAsksForIt) {
  loop_ = EventLoop::Create({.name = "", .backend = GetParam(), .blocking_inline = true}).value();
  bool worked = false;
  bool worked_on_loop = false;
  loop().Post([&] {
    loop().RunBlocking(
        [&] {
          worked = true;
          worked_on_loop = loop().InLoopThread();
        },
        [&] { loop().Stop(); });
    EXPECT_FALSE(worked);
  });
  loop().Run();
  EXPECT_TRUE(worked_on_loop);
}

// -- Timers

TEST_P(EventLoopTest, CallsTimersInTheOrderOfTheirDeadlinesAndNeverEarly) {
  std::vector<uint64_t> fired;
  const auto begin = std::chrono::steady_clock::now();
  std::vector<std::unique_ptr<Timer>> timers;
  for (uint64_t delay_ms : {15u, 5u, 10u, 1u, 20u}) {
    timers.push_back(std::make_unique<Timer>(loop(), [&, delay_ms] {
      const auto elapsed = std::chrono::steady_clock::now() - begin;
      EXPECT_GE(elapsed, std::chrono::milliseconds(delay_ms));
      fired.push_back(delay_ms);
      if (delay_ms == 20) loop().Stop();
    }));
    timers.back()->Start(delay_ms);
  }
  loop().Run();
  EXPECT_EQ(fired, (std::vector<uint64_t>{1, 5, 10, 15, 20}));
}

TEST_P(EventLoopTest, DoesNotCallACancelledOrDestroyedTimer) {
  Timer cancelled(loop(), [] { FAIL(); });
  auto destroyed = std::make_unique<Timer>(loop(), [] { FAIL(); });
  Timer stop(loop(), [&] { loop().Stop(); });
  cancelled.Start(1);
  destroyed->Start(1);
  stop.Start(5);
  EXPECT_TRUE(cancelled.active());
  cancelled.Cancel();
  EXPECT_FALSE(cancelled.active());
  destroyed.reset();
  loop().Run();
}

TEST_P(EventLoopTest, StartingATimerAgainReplacesItsDeadline) {
  int fired = 0;
  Timer timer(loop(), [&] {
    ++fired;
    loop().Stop();
  });
  timer.Start(60'000);
  timer.Start(1);
  loop().Run();
  EXPECT_EQ(fired, 1);
  EXPECT_FALSE(timer.active());
}

TEST_P(EventLoopTest, ATimerMayStartItselfAgain) {
  int fired = 0;
  Timer* self = nullptr;
  Timer timer(loop(), [&] {
    if (++fired == 3) {
      loop().Stop();
    } else {
      self->Start(0);
    }
  });
  self = &timer;
  timer.Start(0);
  loop().Run();
  EXPECT_EQ(fired, 3);
}

TEST_P(EventLoopTest, ATimerMayBeDestroyedInItsOwnHandler) {
  std::unique_ptr<Timer> timer;
  const auto captured = std::make_shared<int>(7);
  int seen = 0;
  timer = std::make_unique<Timer>(loop(), [&, captured] {
    timer.reset();
    seen = *captured;  // What the handler owns must outlive it.
    loop().Stop();
  });
  timer->Start(1);
  loop().Run();
  EXPECT_EQ(seen, 7);
  EXPECT_EQ(captured.use_count(), 1);
}

TEST_P(EventLoopTest, KeepsManyTimersApart) {
  constexpr int kTimers = 300;
  std::vector<std::unique_ptr<Timer>> timers;
  std::vector<bool> fired(kTimers);
  for (int i = 0; i < kTimers; ++i) {
    timers.push_back(std::make_unique<Timer>(loop(), [&, i] { fired[i] = true; }));
    timers.back()->Start((i * 7919) % 20);
  }
  for (int i = 0; i < kTimers; i += 3) timers[i]->Cancel();
  Timer stop(loop(), [&] { loop().Stop(); });
  stop.Start(25);
  loop().Run();
  for (int i = 0; i < kTimers; ++i) EXPECT_EQ(fired[i], i % 3 != 0) << "timer " << i;
}

// -- Descriptors

struct Handler : FdHandler {
  void OnReadable() override {
    if (on_readable) on_readable();
  }
  void OnWritable() override {
    if (on_writable) on_writable();
  }
  std::function<void()> on_readable;
  std::function<void()> on_writable;
};

struct SocketPair {
  SocketPair() {
    int fds[2];
    CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    here.Reset(fds[0]);
    there.Reset(fds[1]);
  }
  UniqueFd here;
  UniqueFd there;
};

void Send(const UniqueFd& fd, char byte) {
  CHECK(::write(fd.get(), &byte, 1) == 1);
}
char Receive(const UniqueFd& fd) {
  char byte = 0;
  CHECK(::read(fd.get(), &byte, 1) == 1);
  return byte;
}

TEST_P(EventLoopTest, TellsWhenADescriptorBecomesReadable) {
  SocketPair pair;
  Handler handler;
  char received = 0;
  handler.on_readable = [&] {
    received = Receive(pair.here);
    loop().Stop();
  };
  FdWatch watch(loop(), pair.here.get(), handler);
  watch.SetInterest(true, false);
  std::thread peer;
  Timer later(loop(), [&] { peer = std::thread([&] { Send(pair.there, 'x'); }); });
  later.Start(2);
  loop().Run();
  peer.join();
  EXPECT_EQ(received, 'x');
}

TEST_P(EventLoopTest, KeepsTellingWhileADescriptorStaysReadable) {
  SocketPair pair;
  for (char byte : {'a', 'b', 'c'}) Send(pair.there, byte);
  Handler handler;
  std::string received;
  handler.on_readable = [&] {
    received += Receive(pair.here);
    if (received.size() == 3) loop().Stop();
  };
  FdWatch watch(loop(), pair.here.get(), handler);
  watch.SetInterest(true, false);
  loop().Run();
  EXPECT_EQ(received, "abc");
}

TEST_P(EventLoopTest, TellsNothingWithoutInterestAndAgainOnceItIsBack) {
  SocketPair pair;
  Send(pair.there, 'a');
  Handler handler;
  int calls = 0;
  FdWatch watch(loop(), pair.here.get(), handler);
  Timer back(loop(), [&] {
    EXPECT_EQ(calls, 1);
    watch.SetInterest(true, false);
  });
  handler.on_readable = [&] {
    if (++calls == 1) {
      watch.SetInterest(false, false);  // Leaves the byte where it is.
      back.Start(5);
    } else {
      loop().Stop();
    }
  };
  watch.SetInterest(true, false);
  loop().Run();
  EXPECT_EQ(calls, 2);
}

TEST_P(EventLoopTest, TellsWhenADescriptorBecomesWritableAgain) {
  SocketPair pair;
  std::vector<char> block(4096);
  while (::write(pair.here.get(), block.data(), block.size()) > 0) {
  }
  Handler handler;
  bool drained = false;
  handler.on_writable = [&] {
    EXPECT_TRUE(drained);
    loop().Stop();
  };
  FdWatch watch(loop(), pair.here.get(), handler);
  watch.SetInterest(false, true);
  Timer drain(loop(), [&] {
    drained = true;
    while (::read(pair.there.get(), block.data(), block.size()) > 0) {
    }
  });
  drain.Start(3);
  loop().Run();
}

TEST_P(EventLoopTest, TellsBothInterestsInOneTurn) {
  SocketPair pair;
  Send(pair.there, 'x');
  Handler handler;
  bool readable = false;
  bool writable = false;
  const auto stop_when_both = [&] {
    if (readable && writable) loop().Stop();
  };
  handler.on_readable = [&] {
    readable = true;
    stop_when_both();
  };
  handler.on_writable = [&] {
    writable = true;
    stop_when_both();
  };
  FdWatch watch(loop(), pair.here.get(), handler);
  watch.SetInterest(true, true);
  loop().Run();
}

TEST_P(EventLoopTest, ReportsAHangUpAsReadyForWhateverIsOfInterest) {
  for (const bool readable : {true, false}) {
    loop_ = EventLoop::Create({.name = "", .backend = GetParam()}).value();
    SocketPair pair;
    std::vector<char> block(4096);
    while (::write(pair.here.get(), block.data(), block.size()) > 0) {
    }
    Handler handler;
    int calls = 0;
    handler.on_readable = handler.on_writable = [&] {
      ++calls;
      loop().Stop();
    };
    FdWatch watch(loop(), pair.here.get(), handler);
    watch.SetInterest(readable, !readable);
    pair.there.Reset();
    loop().Run();
    EXPECT_EQ(calls, 1);
  }
}

TEST_P(EventLoopTest, DoesNotSpinOnAHangUpThatInterestsNobody) {
  SocketPair pair;
  Handler handler;
  handler.on_readable = handler.on_writable = [] { FAIL(); };
  FdWatch watch(loop(), pair.here.get(), handler);
  watch.SetInterest(true, false);
  int turns = 0;
  RecordingTask count([&] { ++turns; });
  Timer stop(loop(), [&] { loop().Stop(); });
  loop().Post([&] {
    watch.SetInterest(false, false);
    pair.there.Reset();
    stop.Start(20);
  });
  const clock_t cpu_before = clock();
  loop().Run();
  EXPECT_LT(clock() - cpu_before, CLOCKS_PER_SEC / 100);
}

TEST_P(EventLoopTest, AWatchMayBeDestroyedInItsOwnHandler) {
  SocketPair pair;
  Send(pair.there, 'x');
  Handler handler;
  int calls = 0;
  auto watch = std::make_unique<FdWatch>(loop(), pair.here.get(), handler);
  handler.on_readable = [&] {
    ++calls;
    watch.reset();
    pair.here.Reset();
  };
  handler.on_writable = [&] { FAIL(); };
  watch->SetInterest(true, true);
  // The order of the two is not promised; the writable one must not follow the end.
  handler.on_writable = [&] { handler.on_readable(); };
  Timer stop(loop(), [&] { loop().Stop(); });
  stop.Start(5);
  loop().Run();
  EXPECT_EQ(calls, 1);
}

TEST_P(EventLoopTest, AWatchMayBeDestroyedInTheHandlerOfAnother) {
  SocketPair pairs[2];
  Handler handlers[2];
  std::unique_ptr<FdWatch> watches[2];
  int calls = 0;
  for (int i = 0; i < 2; ++i) {
    Send(pairs[i].there, 'x');
    handlers[i].on_readable = [&, i] {
      ++calls;
      watches[1 - i].reset();
      pairs[1 - i].here.Reset();
      watches[i]->SetInterest(false, false);
    };
    watches[i] = std::make_unique<FdWatch>(loop(), pairs[i].here.get(), handlers[i]);
    watches[i]->SetInterest(true, false);
  }
  Timer stop(loop(), [&] { loop().Stop(); });
  stop.Start(5);
  loop().Run();
  EXPECT_EQ(calls, 1);
}

TEST_P(EventLoopTest, LetsGoOfADescriptorWhenTheWatchEnds) {
  SocketPair pair;
  Handler handler;
  auto watch = std::make_unique<FdWatch>(loop(), pair.here.get(), handler);
  watch->SetInterest(true, false);
  ssize_t end_of_stream = -1;
  Timer end(loop(), [&] {
    watch.reset();
    pair.here.Reset();
    char byte;
    end_of_stream = ::read(pair.there.get(), &byte, 1);  // EAGAIN if the kernel still held it.
    loop().Stop();
  });
  end.Start(2);
  loop().Run();
  EXPECT_EQ(end_of_stream, 0);
}

TEST_P(EventLoopTest, CallsNoDescriptorHandlerAfterTheTurnThatStops) {
  SocketPair pair;
  Handler handler;
  handler.on_readable = [] { FAIL(); };
  FdWatch watch(loop(), pair.here.get(), handler);
  std::atomic<bool> go = false;
  loop().Post([&] {
    loop().RunBlocking([&] { go.wait(false); },
                       [&] {
                         // This turn comes after the one that was stopped.
                         loop().RunBlocking([] {}, [] {});
                       });
    watch.SetInterest(true, false);
    loop().Stop();
    Send(pair.there, 'x');
    go = true;
    go.notify_one();
  });
  loop().Run();
}

TEST_P(EventLoopTest, ManyDescriptorsMoreThanOneTurnReportsAreAllServed) {
  constexpr int kPairs = 400;
  std::vector<std::unique_ptr<SocketPair>> pairs;
  std::vector<std::unique_ptr<Handler>> handlers;
  std::vector<std::unique_ptr<FdWatch>> watches;
  int served = 0;
  for (int i = 0; i < kPairs; ++i) {
    pairs.push_back(std::make_unique<SocketPair>());
    handlers.push_back(std::make_unique<Handler>());
    handlers[i]->on_readable = [&, i] {
      Receive(pairs[i]->here);
      if (++served == kPairs) loop().Stop();
    };
    watches.push_back(std::make_unique<FdWatch>(loop(), pairs[i]->here.get(), *handlers[i]));
    watches[i]->SetInterest(true, false);
    Send(pairs[i]->there, 'x');
  }
  loop().Run();
  EXPECT_EQ(served, kPairs);
}

INSTANTIATE_FOR_EVERY_BACKEND(EventLoopTest);

TEST(IoUring, IsUsedByDefaultWhereItIsAvailableAndSaysWhyNotElsewhere) {
  const Status available = EventLoop::IoUringAvailable();
  auto loop = EventLoop::Create({});
  ASSERT_TRUE(loop.ok());
  EXPECT_EQ((*loop)->backend() == EventLoop::Backend::kIoUring, available.ok());
  if (!available.ok()) {
    EXPECT_NE(available.message().find("io_uring"), std::string::npos);
  }
}

}  // namespace
}  // namespace aurochs
