#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <vector>

#include "io/event_loop.h"
#include "support/loop_test.h"

namespace aurochs {
namespace {

using TimerTest = LoopTest;

TEST_P(TimerTest, CallsTimersInTheOrderOfTheirDeadlinesAndNeverEarly) {
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

TEST_P(TimerTest, DoesNotCallACancelledOrDestroyedTimer) {
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

TEST_P(TimerTest, StartingATimerAgainReplacesItsDeadline) {
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

TEST_P(TimerTest, ATimerMayStartItselfAgain) {
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

TEST_P(TimerTest, ATimerMayBeDestroyedInItsOwnHandler) {
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

TEST_P(TimerTest, KeepsManyTimersApart) {
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

INSTANTIATE_FOR_EVERY_BACKEND(TimerTest);

}  // namespace
}  // namespace aurochs
