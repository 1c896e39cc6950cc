// What the classes that JavaScript sees have in common.
#pragma once

#include <napi.h>

#include "addon/convert.h"
#include "addon/promise.h"
#include "base/status.h"

namespace aurochs::addon {

// Whether `info` was called on an object that carries `tag`, and so really is what the method's
// class wraps. Otherwise a TypeError is pending.
inline bool CheckReceiver(const Napi::CallbackInfo& info, const napi_type_tag& tag) {
  const Napi::Value receiver = info.This();
  if (receiver.IsObject() && receiver.As<Napi::Object>().CheckTypeTag(&tag)) return true;
  Napi::TypeError::New(info.Env(), "Illegal invocation").ThrowAsJavaScriptException();
  return false;
}

// Notes when a call has other than `count` arguments.
inline void CheckCount(const Napi::CallbackInfo& info, size_t count, ArgumentError& error) {
  if (info.Length() == count) return;
  error.Note("the call", "made with " + std::to_string(count) + " arguments");
}

inline Napi::Value Rejected(Napi::Env env, const ArgumentError& error) {
  return RejectedPromise(env, error.ToJs(env).Value());
}

}  // namespace aurochs::addon
