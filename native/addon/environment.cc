#include "addon/environment.h"

#include <cstdlib>
#include <mutex>
#include <set>
#include <utility>
#include <variant>

#include "addon/convert.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"

namespace aurochs::addon {
namespace {

// The environments whose exit hook has not run.
struct LiveEnvironments {
  std::mutex mutex;
  std::set<Environment*> environments;
};

LiveEnvironments& AllLive() {
  static auto* live = new LiveEnvironments;  // Needed until the very end of the process.
  return *live;
}

}  // namespace

Environment* Environment::Create(Napi::Env env) {
  std::unique_ptr<Environment> environment(new Environment(env));
  environment->channel_ = EventChannel::Create(
      env, [self = environment.get()](Napi::Env on, uint64_t source, const ChannelEvent& event) {
        self->DeliverEvent(on, source, event);
      });
  if (environment->channel_ == nullptr) return nullptr;
  // Hooks run last first, so this one runs while the channel is still whole.
  CHECK(napi_add_env_cleanup_hook(env, &Environment::OnExit, environment.get()) == napi_ok);
  LiveEnvironments& live = AllLive();
  {
    std::lock_guard lock(live.mutex);
    static const int registered = std::atexit(&Environment::OnProcessExit);
    CHECK(registered == 0);
    live.environments.insert(environment.get());
  }
  Environment* created = environment.release();
  env.SetInstanceData(created);
  return created;
}

Environment& Environment::Of(Napi::Env env) {
  auto* environment = env.GetInstanceData<Environment>();
  CHECK(environment != nullptr);
  return *environment;
}

Environment::~Environment() {
  CHECK(hosts_.empty());
}

void Environment::OnExit(void* data) {
  auto* self = static_cast<Environment*>(data);
  LiveEnvironments& live = AllLive();
  {
    std::lock_guard lock(live.mutex);
    live.environments.erase(self);
  }
  for (auto& [id, open_host] : self->hosts_) {
    open_host->host.reset();  // Blocks until it is closed.
    open_host->on_event.Reset();
  }
  self->hosts_.clear();
  self->channel_->Shut();
}

// process.exit() on the main thread runs no hooks of its environment. JavaScript has ended by now,
// and so have the workers, whose hooks did run.
void Environment::OnProcessExit() {
  LiveEnvironments& live = AllLive();
  std::lock_guard lock(live.mutex);
  for (Environment* environment : live.environments) {
    environment->channel_->Abandon();
    for (auto& [id, open_host] : environment->hosts_) open_host->host.reset();
  }
}

Result<std::shared_ptr<OpenHost>> Environment::StartHost(const HostOptions& options,
                                                         Napi::Function on_event) {
  auto open_host = std::make_shared<OpenHost>();
  open_host->id = next_host_id_++;
  auto host =
      NativeHost::Create(options, [channel = channel_, id = open_host->id](HostEvent event) {
        channel->PostEvent(id, std::move(event));
      });
  if (!host.ok()) return host.status();
  open_host->host = std::move(host).value();
  open_host->on_event = Napi::Persistent(on_event);
  hosts_.emplace(open_host->id, open_host);
  channel_->Hold(env_);
  return open_host;
}

void Environment::RetireHost(OpenHost& open_host) {
  if (open_host.host == nullptr) return;
  open_host.host.reset();
  open_host.on_event.Reset();
  hosts_.erase(open_host.id);
  channel_->LetGo(env_);
}

void Environment::CloseAbandoned(const std::shared_ptr<OpenHost>& open_host) {
  if (open_host->host == nullptr) return;
  Log(LogLevel::kWarn, "addon", "a host was dropped without close(); closing it");
  open_host->host->Close([channel = channel_, open_host](const Status&) {
    channel->Post([open_host](Napi::Env env) { Environment::Of(env).RetireHost(*open_host); });
  });
}

bool Environment::TryBeginCall() {
  if (calls_in_flight_ >= kCallsInFlightMax) return false;
  ++calls_in_flight_;
  return true;
}

void Environment::EndCall() {
  CHECK(calls_in_flight_ > 0);
  --calls_in_flight_;
}

void Environment::DeliverEvent(Napi::Env env, uint64_t source, const ChannelEvent& event) {
  const auto found = hosts_.find(source);
  if (found == hosts_.end()) return;
  const std::shared_ptr<OpenHost> open_host = found->second;  // The listener may close it.
  const Napi::Value value = ToJs(env, event);
  if (env.IsExceptionPending()) return;
  open_host->on_event.Call({value});
}

}  // namespace aurochs::addon
