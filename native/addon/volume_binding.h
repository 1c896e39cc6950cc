// NativeVolume of src/native/binding-types.ts: arguments in, promises out.
//
// Lifetime: an object that is collected without close() is closed in the background. It keeps its
//           host's object from being collected.
#pragma once

#include <napi.h>

#include <memory>

#include "addon/convert.h"
#include "addon/environment.h"
#include "host/host_volume.h"

namespace aurochs::addon {

class VolumeBinding : public Napi::ObjectWrap<VolumeBinding> {
 public:
  static Napi::Function DefineVolumeClass(Napi::Env env);
  // The object for a volume of `open_host`, which `host` wraps. Empty with a pending exception if
  // that fails; the volume is then closed.
  static Napi::Value Wrap(Napi::Env env, std::shared_ptr<HostVolume> volume,
                          std::shared_ptr<OpenHost> open_host, const Napi::Object& host);

  explicit VolumeBinding(const Napi::CallbackInfo& info);  // Only for Wrap.
  ~VolumeBinding() override;

 private:
  Napi::Value Describe(const Napi::CallbackInfo& info);
  Napi::Value TakeSnapshot(const Napi::CallbackInfo& info);
  Napi::Value Revert(const Napi::CallbackInfo& info);
  Napi::Value DeleteSnapshot(const Napi::CallbackInfo& info);
  Napi::Value Expand(const Napi::CallbackInfo& info);
  Napi::Value Diff(const Napi::CallbackInfo& info);
  Napi::Value CopySnapshot(const Napi::CallbackInfo& info);
  Napi::Value CancelCopy(const Napi::CallbackInfo& info);
  Napi::Value HoldWrites(const Napi::CallbackInfo& info);
  Napi::Value ReleaseWrites(const Napi::CallbackInfo& info);
  Napi::Value ExportIscsi(const Napi::CallbackInfo& info);
  Napi::Value SetIscsiAccess(const Napi::CallbackInfo& info);
  Napi::Value UnexportIscsi(const Napi::CallbackInfo& info);
  Napi::Value ExportNbd(const Napi::CallbackInfo& info);
  Napi::Value UnexportNbd(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  template <typename Start>
  Napi::Value Call(Napi::Env env, const ArgumentError& error, Start start);

  std::shared_ptr<HostVolume> volume_;
  std::shared_ptr<OpenHost> open_host_;
  Napi::ObjectReference host_object_;
  bool close_called_ = false;
};

}  // namespace aurochs::addon
