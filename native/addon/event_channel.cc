#include "addon/event_channel.h"

#include <string>

#include "base/check.h"
#include "base/limits.h"

namespace aurochs::addon {
namespace {

bool MayBeDropped(const HostEvent& event) {
  return std::holds_alternative<LogEvent>(event) || std::holds_alternative<SessionEvent>(event);
}

// Not when the environment is being ended from outside or runs its last turn. Any call that could
// run JavaScript tells; this one would, were there a getter.
bool CanRunJavaScript(Napi::Env env) {
  const Napi::Object object = Napi::Object::New(env);
  bool has = false;
  const napi_status status = napi_has_named_property(env, object, "aurochs", &has);
  return status == napi_ok;
}

// An exception out of a listener is the program's, not the channel's: it goes where those of timers
// go, and the next entry is delivered if the program lives on.
void ReportException(Napi::Env env) {
  if (!env.IsExceptionPending()) return;
  napi_value exception = nullptr;
  if (napi_get_and_clear_last_exception(env, &exception) == napi_ok) {
    napi_fatal_exception(env, exception);
  }
}

}  // namespace

std::shared_ptr<EventChannel> EventChannel::Create(Napi::Env env, Deliver deliver) {
  std::shared_ptr<EventChannel> channel(new EventChannel(std::move(deliver)));
  napi_threadsafe_function wake = nullptr;
  const Napi::String name = Napi::String::New(env, "aurochs");
  // The function carries no data, only the news that there is some: its queue holds one call at
  // most.
  const napi_status created =
      napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr,
                                      channel.get(), &EventChannel::OnWake, &wake);
  if (created != napi_ok) {
    Napi::Error::New(env, "the environment gives no channel to its thread")
        .ThrowAsJavaScriptException();
    return nullptr;
  }
  CHECK(napi_unref_threadsafe_function(env, wake) == napi_ok);
  channel->wake_ = wake;
  return channel;
}

void EventChannel::Post(Task task) {
  std::lock_guard lock(mutex_);
  if (wake_ == nullptr) return;
  backlog_.entries.emplace_back(std::move(task));
  Wake();
}

void EventChannel::PostEvent(uint64_t source, HostEvent event) {
  std::lock_guard lock(mutex_);
  if (wake_ == nullptr) return;
  Enqueue(backlog_, source, std::move(event));
  Wake();
}

void EventChannel::Enqueue(Backlog& backlog, uint64_t source, HostEvent event) {
  if (const auto* progress = std::get_if<MergeProgressEvent>(&event)) {
    backlog.progress[{source, progress->volume_id, progress->snapshot_id}] = std::move(event);
    return;
  }
  if (const auto* progress = std::get_if<CopyProgressEvent>(&event)) {
    backlog.progress[{source, progress->volume_id, ""}] = std::move(event);
    return;
  }
  if (const auto* merged = std::get_if<MergeDoneEvent>(&event)) {
    backlog.progress.erase({source, merged->volume_id, merged->snapshot_id});
  }
  if (auto* log = std::get_if<LogEvent>(&event)) {
    if (log->message.size() > kEventTextBytesMax) log->message.resize(kEventTextBytesMax);
  }
  if (backlog.events >= kEventsQueuedMax && MayBeDropped(event)) {
    ++backlog.dropped[source];
    return;
  }
  ++backlog.events;
  backlog.entries.emplace_back(SourcedEvent{source, ChannelEvent(std::move(event))});
}

void EventChannel::Wake() {
  if (woken_) return;
  woken_ = napi_call_threadsafe_function(wake_, nullptr, napi_tsfn_nonblocking) == napi_ok;
}

void EventChannel::OnWake(napi_env env, napi_value, void* context, void*) {
  if (env == nullptr) return;  // The environment is going; Shut has dropped the queue.
  static_cast<EventChannel*>(context)->Drain(env);
}

void EventChannel::Drain(Napi::Env env) {
  {
    Napi::HandleScope scope(env);
    if (!CanRunJavaScript(env)) return;  // Shut drops what waits.
  }
  Backlog backlog;
  {
    std::lock_guard lock(mutex_);
    woken_ = false;
    std::swap(backlog, backlog_);
  }
  for (const Entry& entry : backlog.entries) {
    if (const auto* sourced = std::get_if<SourcedEvent>(&entry)) {
      DeliverOne(env, sourced->source, sourced->event);
      continue;
    }
    Napi::HandleScope scope(env);
    std::get<Task>(entry)(env);
    ReportException(env);
  }
  for (const auto& [key, event] : backlog.progress) DeliverOne(env, std::get<0>(key), event);
  for (const auto& [source, count] : backlog.dropped) {
    DeliverOne(env, source, EventsDropped{count});
  }
}

void EventChannel::DeliverOne(Napi::Env env, uint64_t source, const ChannelEvent& event) {
  Napi::HandleScope scope(env);
  deliver_(env, source, event);
  ReportException(env);
}

void EventChannel::Hold(Napi::Env env) {
  if (holders_++ == 0) CHECK(napi_ref_threadsafe_function(env, wake_) == napi_ok);
}

void EventChannel::LetGo(Napi::Env env) {
  CHECK(holders_ > 0);
  if (--holders_ == 0) CHECK(napi_unref_threadsafe_function(env, wake_) == napi_ok);
}

void EventChannel::Shut() {
  Backlog dropped;  // Destroyed after the lock is let go: an entry may own anything.
  std::lock_guard lock(mutex_);
  if (wake_ == nullptr) return;
  napi_release_threadsafe_function(wake_, napi_tsfn_abort);
  wake_ = nullptr;
  std::swap(dropped, backlog_);
}

void EventChannel::Abandon() {
  std::lock_guard lock(mutex_);
  wake_ = nullptr;
}

}  // namespace aurochs::addon
