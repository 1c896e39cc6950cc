// The one way from the threads of the core to JavaScript: settled calls and events of one
// environment, delivered in order on its thread.
//
// Thread:    Post and PostEvent: any, they never block. The rest belongs to the environment's
// thread. Bound:     calls are bounded where they start (kCallsInFlightMax). Of events,
// kEventsQueuedMax wait;
//            log lines and sessions beyond are dropped and counted, and the count is delivered. Of
//            each merge and copy only the newest progress waits. The few that must not get lost (a
//            merge's end, a failed replica) are always queued.
// Lifetime:  shared with every callback in the core; after Shut it swallows what comes.
#pragma once

#include <napi.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>

#include "host/host_event.h"

namespace aurochs::addon {

// What was dropped since the last delivery.
struct EventsDropped {
  uint64_t count = 0;
};

using ChannelEvent = std::variant<HostEvent, EventsDropped>;

class EventChannel {
 public:
  // Runs on the environment's thread, in a handle scope.
  using Task = std::function<void(Napi::Env env)>;
  // What receives the events of the host that was created with `source`.
  using Deliver = std::function<void(Napi::Env env, uint64_t source, const ChannelEvent& event)>;

  // Null with a pending JavaScript exception if the environment refuses.
  static std::shared_ptr<EventChannel> Create(Napi::Env env, Deliver deliver);

  void Post(Task task);
  void PostEvent(uint64_t source, HostEvent event);

  // While somebody holds on, the channel keeps the process alive. Starts without.
  void Hold(Napi::Env env);
  void LetGo(Napi::Env env);

  // Drops what waits and what comes. Before the environment goes.
  void Shut();
  // The same without a word to Node, when the process is at its end.
  void Abandon();

 private:
  struct SourcedEvent {
    uint64_t source;
    ChannelEvent event;
  };
  using Entry = std::variant<Task, SourcedEvent>;
  // Source, volume, and the snapshot that is merged; empty for a copy into the volume.
  using ProgressKey = std::tuple<uint64_t, std::string, std::string>;

  // What waits for the environment's thread, in the order of delivery.
  struct Backlog {
    std::vector<Entry> entries;
    std::map<ProgressKey, HostEvent> progress;
    std::map<uint64_t, uint64_t> dropped;  // how many events, by source
    uint32_t events = 0;                   // in `entries`
  };

  explicit EventChannel(Deliver deliver) : deliver_(std::move(deliver)) {}
  static void OnWake(napi_env env, napi_value, void* context, void*);
  static void Enqueue(Backlog& backlog, uint64_t source, HostEvent event);
  void Drain(Napi::Env env);
  void DeliverOne(Napi::Env env, uint64_t source, const ChannelEvent& event);
  // REQUIRES: mutex_ is held.
  void Wake();

  const Deliver deliver_;
  uint32_t holders_ = 0;

  std::mutex mutex_;
  napi_threadsafe_function wake_ = nullptr;  // Guarded by mutex_. Null once shut.
  bool woken_ = false;                       // Guarded by mutex_. A drain is on its way.
  Backlog backlog_;                          // Guarded by mutex_.
};

}  // namespace aurochs::addon
