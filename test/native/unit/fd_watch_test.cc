#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "io/event_loop.h"
#include "support/loop_test.h"

namespace aurochs {
namespace {

using FdWatchTest = LoopTest;

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

TEST_P(FdWatchTest, TellsWhenADescriptorBecomesReadable) {
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

TEST_P(FdWatchTest, KeepsTellingWhileADescriptorStaysReadable) {
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

TEST_P(FdWatchTest, TellsNothingWithoutInterestAndAgainOnceItIsBack) {
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

TEST_P(FdWatchTest, TellsWhenADescriptorBecomesWritableAgain) {
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

TEST_P(FdWatchTest, TellsBothInterestsInOneTurn) {
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

TEST_P(FdWatchTest, ReportsAHangUpAsReadyForWhateverIsOfInterest) {
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

TEST_P(FdWatchTest, DoesNotSpinOnAHangUpThatInterestsNobody) {
  SocketPair pair;
  Handler handler;
  handler.on_readable = handler.on_writable = [] { FAIL(); };
  FdWatch watch(loop(), pair.here.get(), handler);
  watch.SetInterest(true, false);
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

TEST_P(FdWatchTest, AWatchMayBeDestroyedInItsOwnHandler) {
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

TEST_P(FdWatchTest, AWatchMayBeDestroyedInTheHandlerOfAnother) {
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

TEST_P(FdWatchTest, LetsGoOfADescriptorWhenTheWatchEnds) {
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

TEST_P(FdWatchTest, CallsNoDescriptorHandlerAfterTheTurnThatStops) {
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

TEST_P(FdWatchTest, ManyDescriptorsMoreThanOneTurnReportsAreAllServed) {
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

INSTANTIATE_FOR_EVERY_BACKEND(FdWatchTest);

}  // namespace
}  // namespace aurochs
