// NativeHost of src/native/binding-types.ts: arguments in, promises out.
//
// Lifetime: an open host keeps the process alive until close() has resolved. An object that is
//           collected without close() is closed in the background.
#pragma once

#include <napi.h>

#include <memory>

#include "addon/convert.h"
#include "addon/environment.h"

namespace aurochs::addon {

class HostBinding : public Napi::ObjectWrap<HostBinding> {
 public:
  static Napi::Function DefineHostClass(Napi::Env env);
  // The object for a host that was just started. Empty with a pending exception if that fails.
  static Napi::Value Wrap(Napi::Env env, std::shared_ptr<OpenHost> open_host);

  explicit HostBinding(const Napi::CallbackInfo& info);  // Only for Wrap.
  ~HostBinding() override;

 private:
  Napi::Value IoBackend(const Napi::CallbackInfo& info);
  Napi::Value ListenIscsi(const Napi::CallbackInfo& info);
  Napi::Value ListenNbd(const Napi::CallbackInfo& info);
  Napi::Value SetDiscoveryAuth(const Napi::CallbackInfo& info);
  Napi::Value CreateReplica(const Napi::CallbackInfo& info);
  Napi::Value RemoveReplica(const Napi::CallbackInfo& info);
  Napi::Value FsckReplica(const Napi::CallbackInfo& info);
  Napi::Value ProbeDisk(const Napi::CallbackInfo& info);
  Napi::Value OpenVolume(const Napi::CallbackInfo& info);
  Napi::Value OpenTestVolume(const Napi::CallbackInfo& info);
  Napi::Value ConnectKernelNbd(const Napi::CallbackInfo& info);
  Napi::Value ReconnectKernelNbd(const Napi::CallbackInfo& info);
  Napi::Value ResizeKernelNbd(const Napi::CallbackInfo& info);
  Napi::Value DisconnectKernelNbd(const Napi::CallbackInfo& info);
  Napi::Value Sessions(const Napi::CallbackInfo& info);
  Napi::Value Ping(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  template <typename Start>
  Napi::Value Call(Napi::Env env, const ArgumentError& error, Start start);
  template <typename Outcome, typename Start, typename Convert>
  Napi::Value Call(Napi::Env env, const ArgumentError& error, Start start, Convert convert);
  Napi::Value WrapVolume(Napi::Env env, const Result<std::shared_ptr<HostVolume>>& volume);

  std::shared_ptr<OpenHost> open_host_;
  EventLoop::Backend backend_ = EventLoop::Backend::kEpoll;
};

}  // namespace aurochs::addon
