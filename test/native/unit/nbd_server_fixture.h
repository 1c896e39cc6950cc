// A server with one export of a device in memory, on two loops as in production.
#pragma once

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "block/checked_device.h"
#include "block/fault_device.h"
#include "block/memory_device.h"
#include "nbd/server.h"
#include "support/loop_test.h"
#include "support/temp_directory.h"

namespace aurochs::nbd::test {

class ServerFixture : public testing::TestWithParam<EventLoop::Backend> {
 protected:
  static constexpr uint64_t kSize = 64 * kMiB;

  void SetUp() override {
    listener_loop_ = LoopThread::Start({.name = "listener", .backend = GetParam()}).value();
    device_loop_ = LoopThread::Start({.name = "device", .backend = GetParam()}).value();
    server_ = Server::Create(
        listener_loop_->loop(),
        {.connection_opened = [this](const ConnectionInfo& info) { Note("+", info); },
         .connection_closed = [this](const ConnectionInfo& info) { Note("-", info); }});
    device_loop_->RunAndWait([this] {
      memory_ = std::make_unique<MemoryDevice>(DeviceInfo{.size_bytes = kSize});
      faults_ = std::make_unique<FaultDevice>(*memory_);
      device_ = std::make_unique<CheckedDevice>(*faults_);
    });
    ASSERT_TRUE(AddExport({.name = "db"}).ok());
  }

  void TearDown() override {
    device_loop_->RunAndWait([this] {
      faults_->ClearFaults();
      faults_->ReleaseAll();
    });
    CloseServer();
    device_loop_->RunAndWait([this] {
      device_.reset();
      faults_.reset();
      memory_.reset();
    });
  }

  Status AddExport(ExportConfig config) {
    Status status;
    device_loop_->RunAndWait(
        [&] { status = server_->AddExport(config, *device_, device_loop_->loop()); });
    return status;
  }

  std::string Listen(const std::string& address, std::optional<TlsConfig> tls = std::nullopt) {
    return server_->Listen(address, std::move(tls)).value();
  }
  std::string ListenUnix() { return Listen("unix:" + directory_.path() + "/nbd.sock"); }
  std::string ListenTcp() { return Listen("127.0.0.1:0"); }

  // The result arrives when the callback has run.
  std::future<Status> RemoveExport(const std::string& name) {
    auto promise = std::make_shared<std::promise<Status>>();
    server_->RemoveExport(name, [promise](const Status& status) { promise->set_value(status); });
    return promise->get_future();
  }

  void CloseServer() {
    if (server_ == nullptr) return;
    auto promise = std::make_shared<std::promise<Status>>();
    server_->Close([promise](const Status& status) { promise->set_value(status); });
    EXPECT_TRUE(promise->get_future().get().ok());
    // The callback runs on the listener's loop, which must be through with it.
    listener_loop_->RunAndWait([] {});
    server_.reset();
  }

  void OnDevice(const std::function<void()>& task) { device_loop_->RunAndWait(task); }

  // Looks again until it is so; a test that waits in vain ends by its own time limit.
  void WaitUntil(const std::function<bool()>& is_so) {
    while (!is_so()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  void WaitForHeldBack(size_t count) {
    WaitUntil([&] {
      size_t held_back = 0;
      OnDevice([&] { held_back = faults_->delayed().size(); });
      return held_back == count;
    });
  }

  std::vector<std::string> Events() {
    std::lock_guard lock(mutex_);
    return events_;
  }

  TempDirectory directory_;
  std::unique_ptr<LoopThread> listener_loop_;
  std::unique_ptr<LoopThread> device_loop_;
  std::unique_ptr<MemoryDevice> memory_;
  std::unique_ptr<FaultDevice> faults_;
  std::unique_ptr<CheckedDevice> device_;
  std::unique_ptr<Server> server_;

 private:
  void Note(const std::string& what, const ConnectionInfo& info) {
    std::lock_guard lock(mutex_);
    events_.push_back(what + info.export_name);
  }

  std::mutex mutex_;
  std::vector<std::string> events_;  // Guarded by mutex_.
};

}  // namespace aurochs::nbd::test
