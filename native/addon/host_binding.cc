#include "addon/host_binding.h"

#include <utility>

#include "addon/promise.h"
#include "addon/volume_binding.h"
#include "addon/wrap.h"
#include "base/limits.h"

namespace aurochs::addon {
namespace {

constexpr napi_type_tag kHostTag = {0x2f0c6a5d7be24b0f, 0x9d3e51c4a8f7b162};

Napi::Value AddressToJs(Napi::Env env, const Result<std::string>& address) {
  return Napi::String::New(env, address.value());
}

uint32_t ReadDeviceIndex(const Napi::Value& value, ArgumentError& error) {
  return static_cast<uint32_t>(ReadWhole(value, "index", 0, kKernelNbdIndexMax, error));
}

}  // namespace

Napi::Function HostBinding::DefineHostClass(Napi::Env env) {
  return DefineClass(
      env, "NativeHost",
      {InstanceAccessor<&HostBinding::IoBackend>("ioBackend", napi_enumerable),
       InstanceMethod<&HostBinding::ListenIscsi>("listenIscsi"),
       InstanceMethod<&HostBinding::ListenNbd>("listenNbd"),
       InstanceMethod<&HostBinding::SetDiscoveryAuth>("setDiscoveryAuth"),
       InstanceMethod<&HostBinding::CreateReplica>("createReplica"),
       InstanceMethod<&HostBinding::RemoveReplica>("removeReplica"),
       InstanceMethod<&HostBinding::FsckReplica>("fsckReplica"),
       InstanceMethod<&HostBinding::ProbeDisk>("probeDisk"),
       InstanceMethod<&HostBinding::OpenVolume>("openVolume"),
       InstanceMethod<&HostBinding::OpenTestVolume>("openTestVolume"),
       InstanceMethod<&HostBinding::ConnectKernelNbd>("connectKernelNbd"),
       InstanceMethod<&HostBinding::ReconnectKernelNbd>("reconnectKernelNbd"),
       InstanceMethod<&HostBinding::ResizeKernelNbd>("resizeKernelNbd"),
       InstanceMethod<&HostBinding::DisconnectKernelNbd>("disconnectKernelNbd"),
       InstanceMethod<&HostBinding::Sessions>("sessions"),
       InstanceMethod<&HostBinding::Ping>("ping"), InstanceMethod<&HostBinding::Close>("close")});
}

Napi::Value HostBinding::Wrap(Napi::Env env, std::shared_ptr<OpenHost> open_host) {
  return Environment::Of(env).host_class.New(
      {Napi::External<std::shared_ptr<OpenHost>>::New(env, &open_host)});
}

HostBinding::HostBinding(const Napi::CallbackInfo& info) : Napi::ObjectWrap<HostBinding>(info) {
  // JavaScript has no way to make an External, so this refuses `new host.constructor()`.
  if (info.Length() != 1 || !info[0].IsExternal()) {
    Napi::TypeError::New(info.Env(), "Illegal constructor").ThrowAsJavaScriptException();
    return;
  }
  open_host_ = std::move(*info[0].As<Napi::External<std::shared_ptr<OpenHost>>>().Data());
  backend_ = open_host_->host->backend();
  info.This().As<Napi::Object>().TypeTag(&kHostTag);
}

HostBinding::~HostBinding() {
  if (open_host_ == nullptr || open_host_->host == nullptr) return;
  Environment::Of(Env()).CloseAbandoned(open_host_);
}

// Starts a call of the open host; `start` takes the host and the callback.
template <typename Outcome, typename Start, typename Convert>
Napi::Value HostBinding::Call(Napi::Env env, const ArgumentError& error, Start start,
                              Convert convert) {
  if (error.any()) return Rejected(env, error);
  NativeHost* host = open_host_->host.get();
  if (host == nullptr) {
    return RejectedPromise(env, Status(ErrorCode::kUnavailable, "the host is closed"));
  }
  return StartCall<Outcome>(
      env, *this, [&](auto done) { start(*host, std::move(done)); }, std::move(convert));
}

template <typename Start>
Napi::Value HostBinding::Call(Napi::Env env, const ArgumentError& error, Start start) {
  return Call<Status>(env, error, std::move(start),
                      [](Napi::Env on, const Status&) { return on.Undefined(); });
}

Napi::Value HostBinding::IoBackend(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kHostTag)) return {};
  return Napi::String::New(info.Env(), std::string(BackendName(backend_)));
}

Napi::Value HostBinding::ListenIscsi(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kHostTag)) return {};
  ArgumentError error;
  CheckCount(info, 1, error);
  std::string portal = ReadString(info[0], "portal", error);
  return Call<Result<std::string>>(
      info.Env(), error,
      [&](NativeHost& host, auto done) { host.ListenIscsi(std::move(portal), std::move(done)); },
      AddressToJs);
}

Napi::Value HostBinding::ListenNbd(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kHostTag)) return {};
  ArgumentError error;
  CheckCount(info, 2, error);
  std::string address = ReadString(info[0], "address", error);
  auto tls = ReadNbdTls(info[1], error);
  return Call<Result<std::string>>(
      info.Env(), error,
      [&](NativeHost& host, auto done) {
        host.ListenNbd(std::move(address), std::move(tls), std::move(done));
      },
      AddressToJs);
}

Napi::Value HostBinding::SetDiscoveryAuth(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kHostTag)) return {};
  ArgumentError error;
  CheckCount(info, 2, error);
  auto chap = ReadChap(info[0], "chap", error);
  auto mutual = ReadChap(info[1], "mutual", error);
  return Call(info.Env(), error, [&](NativeHost& host, auto done) {
    host.SetDiscoveryAuth(std::move(chap), std::move(mutual), std::move(done));
  });
}

Napi::Value HostBinding::CreateReplica(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kHostTag)) return {};
  ArgumentError error;
  CheckCount(info, 3, error);
  std::string disk_path = ReadString(info[0], "diskPath", error);
  std::string name = ReadString(info[1], "name", error);
  ReplicaCreateOptions options = ReadReplicaOptions(info[2], error);
  return Call(info.Env(), error, [&](NativeHost& host, auto done) {
    host.CreateReplica(std::move(disk_path), std::move(name), std::move(options), std::move(done));
  });
}

Napi::Value HostBinding::RemoveReplica(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kHostTag)) return {};
  ArgumentError error;
  CheckCount(info, 2, error);
  std::string disk_path = ReadString(info[0], "diskPath", error);
  std::string name = ReadString(info[1], "name", error);
  return Call(info.Env(), error, [&](NativeHost& host, auto done) {
    host.RemoveReplica(std::move(disk_path), std::move(name), std::move(done));
  });
}

Napi::Value HostBinding::FsckReplica(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kHostTag)) return {};
  ArgumentError error;
  CheckCount(info, 2, error);
  std::string disk_path = ReadString(info[0], "diskPath", error);
  std::string name = ReadString(info[1], "name", error);
  return Call<Result<std::vector<FsckFinding>>>(
      info.Env(), error,
      [&](NativeHost& host, auto done) {
        host.FsckReplica(std::move(disk_path), std::move(name), std::move(done));
      },
      [](Napi::Env env, const auto& findings) { return ToJs(env, findings.value()); });
}

Napi::Value HostBinding::ProbeDisk(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kHostTag)) return {};
  ArgumentError error;
  CheckCount(info, 1, error);
  std::string path = ReadString(info[0], "path", error);
  return Call<Result<DiskProbe>>(
      info.Env(), error,
      [&](NativeHost& host, auto done) { host.ProbeDisk(std::move(path), std::move(done)); },
      [](Napi::Env env, const auto& probe) { return ToJs(env, probe.value()); });
}

Napi::Value HostBinding::WrapVolume(Napi::Env env,
                                    const Result<std::shared_ptr<HostVolume>>& volume) {
  return VolumeBinding::Wrap(env, volume.value(), open_host_, Value());
}

Napi::Value HostBinding::OpenVolume(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kHostTag)) return {};
  ArgumentError error;
  CheckCount(info, 3, error);
  std::string disk_path = ReadString(info[0], "diskPath", error);
  std::string name = ReadString(info[1], "name", error);
  const uint64_t epoch = ReadUint64(info[2], "epoch", error);
  return Call<Result<std::shared_ptr<HostVolume>>>(
      info.Env(), error,
      [&](NativeHost& host, auto done) {
        host.OpenVolume(std::move(disk_path), std::move(name), epoch, std::move(done));
      },
      [this](Napi::Env env, const auto& volume) { return WrapVolume(env, volume); });
}

Napi::Value HostBinding::OpenTestVolume(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kHostTag)) return {};
  ArgumentError error;
  CheckCount(info, 2, error);
  const NativeHost::TestDevice kind = ReadTestDevice(info[0], error);
  const uint64_t size_bytes = ReadUint64(info[1], "sizeBytes", error);
  return Call<Result<std::shared_ptr<HostVolume>>>(
      info.Env(), error,
      [&](NativeHost& host, auto done) { host.OpenTestVolume(kind, size_bytes, std::move(done)); },
      [this](Napi::Env env, const auto& volume) { return WrapVolume(env, volume); });
}

Napi::Value HostBinding::ConnectKernelNbd(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kHostTag)) return {};
  ArgumentError error;
  CheckCount(info, 1, error);
  auto options = ReadKernelNbdOptions(info[0], error);
  return Call<Result<uint32_t>>(
      info.Env(), error,
      [&](NativeHost& host, auto done) {
        host.ConnectKernelNbd(std::move(options), std::move(done));
      },
      [](Napi::Env env, const auto& index) { return Napi::Number::New(env, index.value()); });
}

Napi::Value HostBinding::ReconnectKernelNbd(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kHostTag)) return {};
  ArgumentError error;
  CheckCount(info, 2, error);
  const uint32_t index = ReadDeviceIndex(info[0], error);
  auto options = ReadKernelNbdOptions(info[1], error);
  return Call(info.Env(), error, [&](NativeHost& host, auto done) {
    host.ReconnectKernelNbd(index, std::move(options), std::move(done));
  });
}

Napi::Value HostBinding::ResizeKernelNbd(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kHostTag)) return {};
  ArgumentError error;
  CheckCount(info, 3, error);
  const uint32_t index = ReadDeviceIndex(info[0], error);
  const uint64_t size_bytes = ReadUint64(info[1], "sizeBytes", error);
  std::string identifier = ReadString(info[2], "identifier", error);
  return Call(info.Env(), error, [&](NativeHost& host, auto done) {
    host.ResizeKernelNbd(index, size_bytes, std::move(identifier), std::move(done));
  });
}

Napi::Value HostBinding::DisconnectKernelNbd(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kHostTag)) return {};
  ArgumentError error;
  CheckCount(info, 1, error);
  const uint32_t index = ReadDeviceIndex(info[0], error);
  return Call(info.Env(), error, [&](NativeHost& host, auto done) {
    host.DisconnectKernelNbd(index, std::move(done));
  });
}

Napi::Value HostBinding::Sessions(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kHostTag)) return {};
  const NativeHost* host = open_host_->host.get();
  const auto sessions = host == nullptr ? std::vector<HostSession>{} : host->Sessions();
  Napi::Array array = Napi::Array::New(info.Env(), sessions.size());
  for (uint32_t i = 0; i < sessions.size(); ++i) array.Set(i, ToJs(info.Env(), sessions[i]));
  return array;
}

Napi::Value HostBinding::Ping(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kHostTag)) return {};
  ArgumentError error;
  CheckCount(info, 0, error);
  return Call(info.Env(), error, [](NativeHost& host, auto done) { host.Ping(std::move(done)); });
}

Napi::Value HostBinding::Close(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kHostTag)) return {};
  const Napi::Env env = info.Env();
  ArgumentError error;
  CheckCount(info, 0, error);
  if (!error.any() && open_host_->host == nullptr) return ResolvedPromise(env);
  // The host is retired before the promise is settled: then its threads and descriptors are gone.
  return Call(
      env, error,
      [channel = Environment::Of(env).channel(), open_host = open_host_](NativeHost& host,
                                                                         auto done) {
        host.Close([channel, open_host, done](Status status) {
          channel->Post([open_host](Napi::Env on) { Environment::Of(on).RetireHost(*open_host); });
          done(std::move(status));
        });
      });
}

}  // namespace aurochs::addon
