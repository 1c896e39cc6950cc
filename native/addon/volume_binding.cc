#include "addon/volume_binding.h"

#include <utility>

#include "addon/promise.h"
#include "addon/wrap.h"
#include "base/limits.h"
#include "base/log.h"

namespace aurochs::addon {
namespace {

constexpr napi_type_tag kVolumeTag = {0x61d0b92c4e7f4a35, 0xb7a4f03d815ce926};
constexpr uint64_t kExactNumberMax = (uint64_t{1} << 53) - 1;  // Number.MAX_SAFE_INTEGER

// What Wrap hands to the constructor.
struct Parts {
  std::shared_ptr<HostVolume> volume;
  std::shared_ptr<OpenHost> open_host;
  Napi::Object host;
};

}  // namespace

Napi::Function VolumeBinding::DefineVolumeClass(Napi::Env env) {
  return DefineClass(env, "NativeVolume",
                     {InstanceMethod<&VolumeBinding::Describe>("describe"),
                      InstanceMethod<&VolumeBinding::TakeSnapshot>("takeSnapshot"),
                      InstanceMethod<&VolumeBinding::Revert>("revert"),
                      InstanceMethod<&VolumeBinding::DeleteSnapshot>("deleteSnapshot"),
                      InstanceMethod<&VolumeBinding::Expand>("expand"),
                      InstanceMethod<&VolumeBinding::Diff>("diff"),
                      InstanceMethod<&VolumeBinding::CopySnapshot>("copySnapshot"),
                      InstanceMethod<&VolumeBinding::CancelCopy>("cancelCopy"),
                      InstanceMethod<&VolumeBinding::HoldWrites>("holdWrites"),
                      InstanceMethod<&VolumeBinding::ReleaseWrites>("releaseWrites"),
                      InstanceMethod<&VolumeBinding::ExportIscsi>("exportIscsi"),
                      InstanceMethod<&VolumeBinding::SetIscsiAccess>("setIscsiAccess"),
                      InstanceMethod<&VolumeBinding::UnexportIscsi>("unexportIscsi"),
                      InstanceMethod<&VolumeBinding::ExportNbd>("exportNbd"),
                      InstanceMethod<&VolumeBinding::UnexportNbd>("unexportNbd"),
                      InstanceMethod<&VolumeBinding::Close>("close")});
}

Napi::Value VolumeBinding::Wrap(Napi::Env env, std::shared_ptr<HostVolume> volume,
                                std::shared_ptr<OpenHost> open_host, const Napi::Object& host) {
  Parts parts{volume, std::move(open_host), host};
  const Napi::Value wrapped =
      Environment::Of(env).volume_class.New({Napi::External<Parts>::New(env, &parts)});
  if (env.IsExceptionPending()) volume->Close([](const Status&) {});
  return wrapped;
}

VolumeBinding::VolumeBinding(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<VolumeBinding>(info) {
  // JavaScript has no way to make an External, so this refuses `new volume.constructor()`.
  if (info.Length() != 1 || !info[0].IsExternal()) {
    Napi::TypeError::New(info.Env(), "Illegal constructor").ThrowAsJavaScriptException();
    return;
  }
  Parts& parts = *info[0].As<Napi::External<Parts>>().Data();
  volume_ = std::move(parts.volume);
  open_host_ = std::move(parts.open_host);
  host_object_ = Napi::Persistent(parts.host);
  info.This().As<Napi::Object>().TypeTag(&kVolumeTag);
}

VolumeBinding::~VolumeBinding() {
  if (volume_ == nullptr || close_called_ || open_host_->host == nullptr) return;
  Log(LogLevel::kWarn, "addon", "a volume was dropped without close(); closing it");
  volume_->Close([](const Status&) {});
}

template <typename Start>
Napi::Value VolumeBinding::Call(Napi::Env env, const ArgumentError& error, Start start) {
  if (error.any()) return Rejected(env, error);
  return StartCall(env, *this, std::move(start));
}

Napi::Value VolumeBinding::Describe(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kVolumeTag)) return {};
  ArgumentError error;
  CheckCount(info, 0, error);
  if (error.any()) return Rejected(info.Env(), error);
  return StartCall<Result<VolumeDescription>>(
      info.Env(), *this, [this](auto done) { volume_->Describe(std::move(done)); },
      [](Napi::Env env, const auto& description) { return ToJs(env, description.value()); });
}

Napi::Value VolumeBinding::TakeSnapshot(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kVolumeTag)) return {};
  ArgumentError error;
  CheckCount(info, 3, error);
  std::string id = ReadString(info[0], "id", error);
  std::string name = ReadString(info[1], "name", error);
  const uint64_t created_unix_ms = ReadWhole(info[2], "createdUnixMs", 0, kExactNumberMax, error);
  return Call(info.Env(), error, [&](auto done) {
    volume_->TakeSnapshot(std::move(id), std::move(name), created_unix_ms, std::move(done));
  });
}

Napi::Value VolumeBinding::Revert(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kVolumeTag)) return {};
  ArgumentError error;
  CheckCount(info, 1, error);
  std::string id = ReadString(info[0], "id", error);
  return Call(info.Env(), error,
              [&](auto done) { volume_->Revert(std::move(id), std::move(done)); });
}

Napi::Value VolumeBinding::DeleteSnapshot(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kVolumeTag)) return {};
  ArgumentError error;
  CheckCount(info, 1, error);
  std::string id = ReadString(info[0], "id", error);
  return Call(info.Env(), error,
              [&](auto done) { volume_->DeleteSnapshot(std::move(id), std::move(done)); });
}

Napi::Value VolumeBinding::Expand(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kVolumeTag)) return {};
  ArgumentError error;
  CheckCount(info, 1, error);
  const uint64_t size_bytes = ReadUint64(info[0], "sizeBytes", error);
  return Call(info.Env(), error, [&](auto done) { volume_->Expand(size_bytes, std::move(done)); });
}

Napi::Value VolumeBinding::Diff(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kVolumeTag)) return {};
  ArgumentError error;
  CheckCount(info, 4, error);
  std::string older = ReadString(info[0], "older", error);
  std::string newer = ReadString(info[1], "newer", error);
  const uint64_t offset_bytes = ReadUint64(info[2], "offsetBytes", error);
  const auto runs_max =
      static_cast<uint32_t>(ReadWhole(info[3], "runsMax", 1, kDiffRunsPerPageMax, error));
  if (error.any()) return Rejected(info.Env(), error);
  return StartCall<Result<ReplicaDevice::DiffPage>>(
      info.Env(), *this,
      [&](auto done) {
        volume_->Diff(std::move(older), std::move(newer), offset_bytes, runs_max, std::move(done));
      },
      [](Napi::Env env, const auto& page) { return ToJs(env, page.value()); });
}

Napi::Value VolumeBinding::CopySnapshot(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kVolumeTag)) return {};
  ArgumentError error;
  CheckCount(info, 2, error);
  std::string id = ReadString(info[0], "id", error);
  SnapshotCopyConfig copy = ReadSnapshotCopy(info[1], error);
  return Call(info.Env(), error, [&](auto done) {
    volume_->CopySnapshot(std::move(id), std::move(copy), std::move(done));
  });
}

Napi::Value VolumeBinding::CancelCopy(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kVolumeTag)) return {};
  ArgumentError error;
  CheckCount(info, 1, error);
  std::string name = ReadString(info[0], "name", error);
  return Call(info.Env(), error,
              [&](auto done) { volume_->CancelCopy(std::move(name), std::move(done)); });
}

Napi::Value VolumeBinding::HoldWrites(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kVolumeTag)) return {};
  ArgumentError error;
  CheckCount(info, 1, error);
  const auto deadline_ms =
      static_cast<uint32_t>(ReadWhole(info[0], "deadlineMs", 1, kWriteHoldMsMax, error));
  if (error.any()) return Rejected(info.Env(), error);
  return StartCall<Result<uint64_t>>(
      info.Env(), *this, [&](auto done) { volume_->HoldWrites(deadline_ms, std::move(done)); },
      [](Napi::Env env, const auto& hold) -> Napi::Value {
        return Napi::Number::New(env, static_cast<double>(hold.value()));
      });
}

Napi::Value VolumeBinding::ReleaseWrites(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kVolumeTag)) return {};
  ArgumentError error;
  CheckCount(info, 1, error);
  const uint64_t hold = ReadWhole(info[0], "hold", 1, kExactNumberMax, error);
  if (error.any()) return Rejected(info.Env(), error);
  return StartCall<Result<bool>>(
      info.Env(), *this, [&](auto done) { volume_->ReleaseWrites(hold, std::move(done)); },
      [](Napi::Env env, const auto& was_held) -> Napi::Value {
        return Napi::Boolean::New(env, was_held.value());
      });
}

Napi::Value VolumeBinding::ExportIscsi(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kVolumeTag)) return {};
  ArgumentError error;
  CheckCount(info, 1, error);
  IscsiExportConfig config = ReadIscsiExport(info[0], error);
  return Call(info.Env(), error,
              [&](auto done) { volume_->ExportIscsi(std::move(config), std::move(done)); });
}

Napi::Value VolumeBinding::SetIscsiAccess(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kVolumeTag)) return {};
  ArgumentError error;
  CheckCount(info, 1, error);
  iscsi::TargetAccess access = ReadIscsiAccess(info[0], "access", error);
  return Call(info.Env(), error,
              [&](auto done) { volume_->SetIscsiAccess(std::move(access), std::move(done)); });
}

Napi::Value VolumeBinding::UnexportIscsi(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kVolumeTag)) return {};
  ArgumentError error;
  CheckCount(info, 0, error);
  return Call(info.Env(), error, [&](auto done) { volume_->UnexportIscsi(std::move(done)); });
}

Napi::Value VolumeBinding::ExportNbd(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kVolumeTag)) return {};
  ArgumentError error;
  CheckCount(info, 1, error);
  nbd::ExportConfig config = ReadNbdExport(info[0], error);
  return Call(info.Env(), error,
              [&](auto done) { volume_->ExportNbd(std::move(config), std::move(done)); });
}

Napi::Value VolumeBinding::UnexportNbd(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kVolumeTag)) return {};
  ArgumentError error;
  CheckCount(info, 0, error);
  return Call(info.Env(), error, [&](auto done) { volume_->UnexportNbd(std::move(done)); });
}

Napi::Value VolumeBinding::Close(const Napi::CallbackInfo& info) {
  if (!CheckReceiver(info, kVolumeTag)) return {};
  ArgumentError error;
  CheckCount(info, 0, error);
  if (!error.any()) close_called_ = true;
  return Call(info.Env(), error, [&](auto done) { volume_->Close(std::move(done)); });
}

}  // namespace aurochs::addon
