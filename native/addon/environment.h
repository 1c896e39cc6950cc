// What the addon keeps for one JavaScript environment (the main thread or a worker): its channel,
// its open hosts, its classes. When the environment goes, at whatever moment, the hosts are closed
// first.
//
// Thread: the environment's.
#pragma once

#include <napi.h>

#include <cstdint>
#include <map>
#include <memory>

#include "addon/event_channel.h"
#include "host/native_host.h"

namespace aurochs::addon {

// A host that JavaScript has created. `host` is null once it is closed.
struct OpenHost {
  uint64_t id = 0;
  std::unique_ptr<NativeHost> host;
  Napi::FunctionReference on_event;
};

class Environment {
 public:
  // Makes this the environment's instance data. Null with a pending exception if that fails.
  static Environment* Create(Napi::Env env);
  static Environment& Of(Napi::Env env);
  ~Environment();

  const std::shared_ptr<EventChannel>& channel() const { return channel_; }

  // Starts a host; from now until it has closed it keeps the process alive.
  Result<std::shared_ptr<OpenHost>> StartHost(const HostOptions& options, Napi::Function on_event);
  // Frees a host that has called back from Close; its threads are gone when this returns.
  void RetireHost(OpenHost& open_host);
  // Of a handle that was collected without having been closed.
  void CloseAbandoned(const std::shared_ptr<OpenHost>& open_host);

  // Calls whose promises are not settled. False at kCallsInFlightMax.
  bool TryBeginCall();
  void EndCall();

  // The constructors of the wrapping classes; set once, by them.
  Napi::FunctionReference host_class;
  Napi::FunctionReference volume_class;

 private:
  explicit Environment(Napi::Env env) : env_(env) {}
  static void OnExit(void* environment);
  static void OnProcessExit();
  void DeliverEvent(Napi::Env env, uint64_t source, const ChannelEvent& event);

  const Napi::Env env_;
  std::shared_ptr<EventChannel> channel_;
  std::map<uint64_t, std::shared_ptr<OpenHost>> hosts_;
  uint64_t next_host_id_ = 1;
  uint32_t calls_in_flight_ = 0;
};

}  // namespace aurochs::addon
