// The module that src/native/binding.ts loads: NativeBinding of src/native/binding-types.ts.
#include <napi.h>

#include "addon/convert.h"
#include "addon/environment.h"
#include "addon/host_binding.h"
#include "addon/volume_binding.h"
#include "addon/wrap.h"
#include "base/systemd_notify.h"

namespace aurochs::addon {
namespace {

Napi::Value CreateHost(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  ArgumentError error;
  CheckCount(info, 2, error);
  const HostOptions options = ReadHostOptions(info[0], error);
  if (!info[1].IsFunction()) error.Note("onEvent", "a function");
  if (error.any()) {
    error.ToJs(env).ThrowAsJavaScriptException();
    return {};
  }
  auto open_host = Environment::Of(env).StartHost(options, info[1].As<Napi::Function>());
  if (!open_host.ok()) {
    ErrorOf(env, open_host.status()).ThrowAsJavaScriptException();
    return {};
  }
  const Napi::Value host = HostBinding::Wrap(env, *open_host);
  if (env.IsExceptionPending()) Environment::Of(env).RetireHost(**open_host);
  return host;
}

// Null if it is available.
Napi::Value ProblemToJs(Napi::Env env, const Status& available) {
  if (available.ok()) return env.Null();
  return Napi::String::New(env, available.message());
}

Napi::Value IoUringProblem(const Napi::CallbackInfo& info) {
  return ProblemToJs(info.Env(), NativeHost::IoUringAvailable());
}

Napi::Value IoFlusherProblem(const Napi::CallbackInfo& info) {
  return ProblemToJs(info.Env(), NativeHost::IoFlusherAvailable());
}

Napi::Value NotifySystemdOf(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  ArgumentError error;
  CheckCount(info, 1, error);
  const std::string state = ReadString(info[0], "state", error);
  if (error.any()) {
    error.ToJs(env).ThrowAsJavaScriptException();
    return {};
  }
  const Result<bool> sent = NotifySystemd(state);
  if (!sent.ok()) {
    ErrorOf(env, sent.status()).ThrowAsJavaScriptException();
    return {};
  }
  return Napi::Boolean::New(env, *sent);
}

Napi::Object Initialise(Napi::Env env, Napi::Object exports) {
  Environment* environment = Environment::Create(env);
  if (environment == nullptr) return exports;
  environment->host_class = Napi::Persistent(HostBinding::DefineHostClass(env));
  environment->volume_class = Napi::Persistent(VolumeBinding::DefineVolumeClass(env));
  exports.Set("createHost", Napi::Function::New<CreateHost>(env, "createHost"));
  exports.Set("ioUringProblem", Napi::Function::New<IoUringProblem>(env, "ioUringProblem"));
  exports.Set("ioFlusherProblem", Napi::Function::New<IoFlusherProblem>(env, "ioFlusherProblem"));
  exports.Set("notifySystemd", Napi::Function::New<NotifySystemdOf>(env, "notifySystemd"));
  return exports;
}

}  // namespace

NODE_API_MODULE(aurochs, Initialise)

}  // namespace aurochs::addon
