// A server with one target on a loop of its own, for tests that talk to it over a socket.
#pragma once

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/log.h"
#include "block/memory_device.h"
#include "io/event_loop.h"
#include "iscsi/server.h"
#include "iscsi_initiator.h"
#include "support/loop_test.h"

namespace aurochs::iscsi::test {

// A memory device that can hold back its writes.
class HoldingDevice : public BlockDevice {
 public:
  explicit HoldingDevice(const DeviceInfo& info) : memory_(info) {}

  const DeviceInfo& info() const override { return memory_.info(); }
  void Submit(IoRequest* request) override {
    if (hold_ && request->op == IoOp::kWrite) {
      held_.push_back(request);
    } else {
      memory_.Submit(request);
    }
  }
  void Submit(AllocationQuery* query) override { memory_.Submit(query); }

  // On the device's loop.
  void Hold() { hold_ = true; }
  size_t held() const { return held_.size(); }
  void Release() {
    hold_ = false;
    for (IoRequest* request : std::exchange(held_, {})) memory_.Submit(request);
  }

 private:
  MemoryDevice memory_;
  bool hold_ = false;
  std::vector<IoRequest*> held_;
};

class ServerTest : public testing::TestWithParam<EventLoop::Backend> {
 protected:
  static constexpr char kTarget[] = "iqn.2026-11.io.aurochs:vol";

  void SetUp() override {
    SetLogSink([](LogLevel, std::string_view, std::string) {});
    portal_ = LoopThread::Start({.name = "portal", .backend = GetParam()}).value();
    loop_ = LoopThread::Start({.name = "device", .backend = GetParam()}).value();
    StartServer({.logout_grace_ms = 50});
  }

  void StartServer(const Timeouts& timeouts) {
    if (server_ != nullptr) CloseServer();
    server_ = Server::Create(portal_->loop(), {}, timeouts);
    address_ = server_->Listen("127.0.0.1:0").value();
    ASSERT_TRUE(AddTarget({.name = kTarget}).ok());
  }

  void TearDown() override {
    ReleaseWrites();
    if (server_ != nullptr) CloseServer();
    SetLogSink({});
  }

  void CloseServer() {
    std::promise<void> closed;
    server_->Close([&closed](aurochs::Status) { closed.set_value(); });
    closed.get_future().wait();
    server_ = nullptr;
  }

  aurochs::Status AddTarget(TargetConfig config) {
    return server_->AddTarget(std::move(config), device_, loop_->loop());
  }
  aurochs::Status RemoveTarget(const std::string& name) {
    std::promise<aurochs::Status> removed;
    server_->RemoveTarget(name, [&removed](aurochs::Status status) { removed.set_value(status); });
    return removed.get_future().get();
  }

  // A session that is ready for commands.
  std::unique_ptr<Initiator> OpenSession(const LoginOptions& options = {}) {
    auto initiator = std::make_unique<Initiator>(address_);
    EXPECT_EQ(initiator->LoginTo(options), LoginStatus::kSuccess);
    initiator->ClearUnitAttentions();
    return initiator;
  }

  void HoldWrites() {
    loop_->RunAndWait([this] { device_.Hold(); });
  }
  void ReleaseWrites() {
    loop_->RunAndWait([this] { device_.Release(); });
  }
  // Returns once the device has `count` writes that it holds back.
  void AwaitHeldWrites(size_t count) {
    size_t held = 0;
    while (held < count) loop_->RunAndWait([this, &held] { held = device_.held(); });
  }
  // Returns once there are `count` sessions.
  void AwaitSessions(size_t count) {
    while (server_->Sessions().size() != count) loop_->RunAndWait([] {});
  }

  HoldingDevice device_{DeviceInfo{.size_bytes = 64 * kMiB}};
  std::unique_ptr<LoopThread> portal_;
  std::unique_ptr<LoopThread> loop_;
  std::unique_ptr<Server> server_;
  std::string address_;
};

}  // namespace aurochs::iscsi::test
