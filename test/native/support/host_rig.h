// A host whose calls are waited for, and what it tells without being asked.
#pragma once

#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "host/native_host.h"

namespace aurochs::test {

// Starts a call with a callback and waits for what it is called with.
template <typename Outcome, typename Start>
Outcome Await(Start start) {
  auto promise = std::make_shared<std::promise<Outcome>>();
  auto future = promise->get_future();
  start([promise](Outcome outcome) { promise->set_value(std::move(outcome)); });
  return future.get();
}

class EventLog {
 public:
  EventSink Sink() {
    return [this](HostEvent event) {
      std::lock_guard lock(mutex_);
      events_.push_back(std::move(event));
      changed_.notify_all();
    };
  }

  // Waits until an event of that kind is there that `wanted` accepts.
  template <typename Event, typename Wanted>
  Event WaitFor(Wanted wanted) {
    std::unique_lock lock(mutex_);
    std::optional<Event> found;
    changed_.wait(lock, [&] {
      for (const HostEvent& event : events_) {
        const auto* candidate = std::get_if<Event>(&event);
        if (candidate != nullptr && wanted(*candidate)) found = *candidate;
      }
      return found.has_value();
    });
    return *found;
  }

  template <typename Event>
  size_t Count() {
    std::lock_guard lock(mutex_);
    size_t count = 0;
    for (const HostEvent& event : events_) count += std::holds_alternative<Event>(event) ? 1 : 0;
    return count;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<HostEvent> events_;  // Guarded by mutex_.
};

using VolumeResult = Result<std::shared_ptr<HostVolume>>;

class HostRig {
 public:
  explicit HostRig(uint32_t loops = 2)
      : host_(std::move(NativeHost::Create({.loops = loops, .backend = {}}, events_.Sink()))
                  .value()) {}

  NativeHost& host() { return *host_; }
  EventLog& events() { return events_; }
  // As when an environment ends.
  void Destroy() { host_.reset(); }

  Status Create(const std::string& disk, const std::string& name, uint64_t size_bytes) {
    const ReplicaCreateOptions options{"volume-" + name, "replica-" + name, size_bytes};
    return Await<Status>(
        [&](auto done) { host_->CreateReplica(disk, name, options, std::move(done)); });
  }
  VolumeResult Open(const std::string& disk, const std::string& name, uint64_t epoch) {
    return Await<VolumeResult>(
        [&](auto done) { host_->OpenVolume(disk, name, epoch, std::move(done)); });
  }
  VolumeResult OpenMemory(uint64_t size_bytes) {
    return Await<VolumeResult>([&](auto done) {
      host_->OpenTestVolume(NativeHost::TestDevice::kMemory, size_bytes, std::move(done));
    });
  }
  Status Close() {
    return Await<Status>([&](auto done) { host_->Close(std::move(done)); });
  }

 private:
  EventLog events_;  // Outlives the host.
  std::unique_ptr<NativeHost> host_;
};

inline Status Close(HostVolume& volume) {
  return Await<Status>([&](auto done) { volume.Close(std::move(done)); });
}

inline Result<VolumeDescription> Describe(HostVolume& volume) {
  return Await<Result<VolumeDescription>>([&](auto done) { volume.Describe(std::move(done)); });
}

}  // namespace aurochs::test
