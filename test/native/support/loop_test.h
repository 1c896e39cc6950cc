// What the tests of event loops share: one run per backend that this machine allows.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "io/event_loop.h"

namespace aurochs {

inline std::vector<EventLoop::Backend> BackendsHere() {
  std::vector<EventLoop::Backend> backends{EventLoop::Backend::kEpoll};
  if (EventLoop::IoUringAvailable().ok()) backends.push_back(EventLoop::Backend::kIoUring);
  return backends;
}

inline std::string BackendName(const testing::TestParamInfo<EventLoop::Backend>& info) {
  return info.param == EventLoop::Backend::kEpoll ? "Epoll" : "IoUring";
}

// A loop that the test's own thread runs.
class LoopTest : public testing::TestWithParam<EventLoop::Backend> {
 protected:
  void SetUp() override {
    loop_ = EventLoop::Create({.name = "", .backend = GetParam()}).value();
    ASSERT_EQ(loop_->backend(), GetParam());
  }

  EventLoop& loop() { return *loop_; }

  std::unique_ptr<EventLoop> loop_;
};

}  // namespace aurochs

#define INSTANTIATE_FOR_EVERY_BACKEND(suite)                                              \
  INSTANTIATE_TEST_SUITE_P(Backends, suite, testing::ValuesIn(::aurochs::BackendsHere()), \
                           ::aurochs::BackendName)
