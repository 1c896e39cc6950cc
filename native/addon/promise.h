// A call into the core as a promise: started on the environment's thread, answered on any, settled
// on the environment's thread exactly once.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <utility>

#include "addon/convert.h"
#include "addon/environment.h"
#include "addon/event_channel.h"
#include "base/status.h"

namespace aurochs::addon {

// A promise that is rejected already.
inline Napi::Value RejectedPromise(Napi::Env env, const Napi::Value& error) {
  const auto deferred = Napi::Promise::Deferred::New(env);
  deferred.Reject(error);
  return deferred.Promise();
}

inline Napi::Value RejectedPromise(Napi::Env env, const Status& status) {
  return RejectedPromise(env, ErrorOf(env, status).Value());
}

inline Napi::Value ResolvedPromise(Napi::Env env) {
  const auto deferred = Napi::Promise::Deferred::New(env);
  deferred.Resolve(env.Undefined());
  return deferred.Promise();
}

// What a call came to: a Status, or a Result<T> with how its value looks in JavaScript.
inline const Status& StatusOf(const Status& status) {
  return status;
}
template <typename T>
const Status& StatusOf(const Result<T>& result) {
  return result.status();
}

template <typename Outcome, typename Convert>
void Settle(Napi::Env env, napi_deferred deferred, const Outcome& outcome, const Convert& convert) {
  if (!StatusOf(outcome).ok()) {
    napi_reject_deferred(env, deferred, ErrorOf(env, StatusOf(outcome)).Value());
    return;
  }
  const Napi::Value value = convert(env, outcome);
  if (env.IsExceptionPending()) {
    napi_reject_deferred(env, deferred, env.GetAndClearPendingException().Value());
    return;
  }
  napi_resolve_deferred(env, deferred, value);
}

// Runs `start` with a callback that takes an Outcome, once, on any thread. The promise resolves to
// what `convert(env, outcome)` makes of it, or rejects with its status. `receiver`, the object
// whose method was called, is not collected before.
template <typename Outcome, typename Start, typename Convert>
Napi::Value StartCall(Napi::Env env, Napi::Reference<Napi::Object>& receiver, Start start,
                      Convert convert) {
  Environment& environment = Environment::Of(env);
  if (!environment.TryBeginCall()) {
    return RejectedPromise(env, Status(ErrorCode::kLimitExceeded, "too many calls are in flight"));
  }
  // The deferred alone may leave this handle scope, its promise may not.
  napi_deferred deferred = nullptr;
  napi_value promise = nullptr;
  if (napi_create_promise(env, &deferred, &promise) != napi_ok) {
    environment.EndCall();
    return Napi::Value();  // The environment is ending.
  }
  receiver.Ref();
  start([channel = environment.channel(), deferred, convert, &receiver](Outcome outcome) {
    auto kept = std::make_shared<Outcome>(std::move(outcome));  // std::function copies.
    channel->Post([deferred, convert, kept, &receiver](Napi::Env on) {
      Environment::Of(on).EndCall();
      Settle(on, deferred, *kept, convert);
      receiver.Unref();
    });
  });
  return Napi::Value(env, promise);
}

// The same for a call that has nothing to tell but how it went.
template <typename Start>
Napi::Value StartCall(Napi::Env env, Napi::Reference<Napi::Object>& receiver, Start start) {
  return StartCall<Status>(env, receiver, std::move(start),
                           [](Napi::Env on, const Status&) { return on.Undefined(); });
}

}  // namespace aurochs::addon
