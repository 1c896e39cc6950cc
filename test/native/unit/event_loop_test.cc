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

INSTANTIATE_FOR_EVERY_BACKEND(EventLoopTest);

}  // namespace
}  // namespace aurochs
