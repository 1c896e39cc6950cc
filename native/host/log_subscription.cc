#include "host/log_subscription.h"

#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/log.h"

namespace aurochs {
namespace {

struct Subscribers {
  std::mutex mutex;
  std::map<uint64_t, EventSink> sinks;
  uint64_t next_id = 1;
};

Subscribers& AllSubscribers() {
  static auto* subscribers = new Subscribers;  // Outlives every thread that may still log.
  return *subscribers;
}

// REQUIRES: subscribers.mutex is held. The installed sink has a copy of the list and never takes
// that mutex, because the log calls it under a lock of its own.
void Install(const Subscribers& subscribers) {
  if (subscribers.sinks.empty()) {
    SetLogSink({});
    return;
  }
  std::vector<EventSink> sinks;
  for (const auto& [id, sink] : subscribers.sinks) sinks.push_back(sink);
  SetLogSink(
      [sinks = std::move(sinks)](LogLevel level, std::string_view component, std::string message) {
        for (const EventSink& sink : sinks) sink(LogEvent{level, std::string(component), message});
      });
}

}  // namespace

LogSubscription::LogSubscription(EventSink sink) {
  Subscribers& subscribers = AllSubscribers();
  std::lock_guard lock(subscribers.mutex);
  id_ = subscribers.next_id++;
  subscribers.sinks.emplace(id_, std::move(sink));
  Install(subscribers);
}

LogSubscription::~LogSubscription() {
  Subscribers& subscribers = AllSubscribers();
  std::lock_guard lock(subscribers.mutex);
  subscribers.sinks.erase(id_);
  Install(subscribers);
}

}  // namespace aurochs
