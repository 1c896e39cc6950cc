#include "addon/convert.h"
#include "base/check.h"

namespace aurochs::addon {
namespace {

Napi::Value BigInt(Napi::Env env, uint64_t value) {
  return Napi::BigInt::New(env, value);
}

Napi::Value Number(Napi::Env env, uint64_t value) {
  return Napi::Number::New(env, static_cast<double>(value));
}

const char* LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return "debug";
    case LogLevel::kInfo: return "info";
    case LogLevel::kWarn: return "warn";
    case LogLevel::kError: return "error";
  }
  Unreachable("LevelName");
}

Napi::Object EventOf(Napi::Env env, const char* type) {
  Napi::Object event = Napi::Object::New(env);
  event.Set("type", type);
  return event;
}

Napi::Object SessionToJs(Napi::Env env, const HostSession& session) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("frontend", session.frontend == Frontend::kIscsi ? "iscsi" : "nbd");
  object.Set("export", session.export_name);
  object.Set("initiator", session.initiator);
  object.Set("address", session.address);
  return object;
}

Napi::Value EventToJs(Napi::Env env, const LogEvent& log) {
  Napi::Object event = EventOf(env, "log");
  event.Set("level", LevelName(log.level));
  event.Set("component", log.component);
  event.Set("message", log.message);
  return event;
}

Napi::Value EventToJs(Napi::Env env, const SessionEvent& session) {
  Napi::Object event = EventOf(env, session.opened ? "sessionOpened" : "sessionClosed");
  event.Set("session", SessionToJs(env, session.session));
  return event;
}

Napi::Value EventToJs(Napi::Env env, const MergeProgressEvent& progress) {
  Napi::Object event = EventOf(env, "mergeProgress");
  event.Set("volumeId", progress.volume_id);
  event.Set("snapshotId", progress.snapshot_id);
  event.Set("share", progress.share);
  return event;
}

Napi::Value EventToJs(Napi::Env env, const MergeDoneEvent& done) {
  Napi::Object event = EventOf(env, "mergeDone");
  event.Set("volumeId", done.volume_id);
  event.Set("snapshotId", done.snapshot_id);
  if (done.status.ok()) {
    event.Set("error", env.Null());
  } else {
    event.Set("error", done.status.ToString());
  }
  return event;
}

Napi::Value EventToJs(Napi::Env env, const CopyProgressEvent& progress) {
  Napi::Object event = EventOf(env, "copyProgress");
  event.Set("volumeId", progress.volume_id);
  event.Set("share", progress.share);
  return event;
}

Napi::Value EventToJs(Napi::Env env, const ReplicaFailedEvent& failed) {
  Napi::Object event = EventOf(env, "replicaFailed");
  event.Set("volumeId", failed.volume_id);
  event.Set("message", failed.message);
  return event;
}

Napi::Value EventToJs(Napi::Env env, const EventsDropped& dropped) {
  Napi::Object event = EventOf(env, "eventsDropped");
  event.Set("count", Number(env, dropped.count));
  return event;
}

Napi::Value EventToJs(Napi::Env env, const HostEvent& event) {
  return std::visit([env](const auto& kind) { return EventToJs(env, kind); }, event);
}

Napi::Value SnapshotToJs(Napi::Env env, const SnapshotInfo& info) {
  Napi::Object snapshot = Napi::Object::New(env);
  snapshot.Set("id", info.id);
  snapshot.Set("name", info.name);
  snapshot.Set("parent", info.parent);
  snapshot.Set("createdUnixMs", Number(env, info.created_unix_ms));
  snapshot.Set("sizeBytes", BigInt(env, info.size_bytes));
  snapshot.Set("allocatedBytes", BigInt(env, info.allocated_bytes));
  snapshot.Set("removing", info.removing);
  return snapshot;
}

template <typename T>
Napi::Array ArrayOf(Napi::Env env, const std::vector<T>& elements,
                    Napi::Value (*to_js)(Napi::Env env, const T& element)) {
  Napi::Array array = Napi::Array::New(env, elements.size());
  uint32_t index = 0;
  for (const T& element : elements) {
    Napi::HandleScope scope(env);  // There may be thousands.
    array.Set(index++, to_js(env, element));
  }
  return array;
}

Napi::Value RunToJs(Napi::Env env, const DiffRun& diff_run) {
  Napi::Object run = Napi::Object::New(env);
  run.Set("offsetBytes", BigInt(env, diff_run.extent.offset_bytes));
  run.Set("lengthBytes", BigInt(env, diff_run.extent.length_bytes));
  run.Set("state", diff_run.state == AllocationState::kData ? "data" : "hole");
  return run;
}

Napi::Value FindingToJs(Napi::Env env, const FsckFinding& found) {
  Napi::Object finding = Napi::Object::New(env);
  const bool is_error = found.severity == FsckFinding::Severity::kError;
  finding.Set("severity", is_error ? "error" : "warning");
  finding.Set("message", found.message);
  return finding;
}

}  // namespace

Napi::Error ErrorOf(Napi::Env env, const Status& status) {
  Napi::Error error = Napi::Error::New(env, status.message());
  error.Set("code", Napi::String::New(env, std::string(ErrorCodeName(status.code()))));
  return error;
}

std::string_view BackendName(EventLoop::Backend backend) {
  switch (backend) {
    case EventLoop::Backend::kIoUring: return "io_uring";
    case EventLoop::Backend::kEpoll: return "epoll";
  }
  Unreachable("BackendName");
}

Napi::Value ToJs(Napi::Env env, const ChannelEvent& event) {
  return std::visit([env](const auto& kind) { return EventToJs(env, kind); }, event);
}

Napi::Value ToJs(Napi::Env env, const HostSession& session) {
  return SessionToJs(env, session);
}

Napi::Value ToJs(Napi::Env env, const VolumeDescription& description) {
  const ReplicaInfo& info = description.replica;
  Napi::Object object = Napi::Object::New(env);
  object.Set("volumeId", info.volume_id);
  object.Set("replicaId", info.replica_id);
  object.Set("sizeBytes", BigInt(env, info.size_bytes));
  object.Set("epoch", BigInt(env, info.epoch));
  object.Set("headParent", info.head_parent);
  object.Set("headAllocatedBytes", BigInt(env, info.head_allocated_bytes));
  object.Set("snapshots", ArrayOf(env, info.snapshots, SnapshotToJs));
  object.Set("failed", description.failed);
  return object;
}

Napi::Value ToJs(Napi::Env env, const ReplicaDevice::DiffPage& page) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("runs", ArrayOf(env, page.runs, RunToJs));
  if (page.next_offset_bytes.has_value()) {
    object.Set("nextOffsetBytes", BigInt(env, *page.next_offset_bytes));
  } else {
    object.Set("nextOffsetBytes", env.Null());
  }
  return object;
}

Napi::Value ToJs(Napi::Env env, const std::vector<FsckFinding>& findings) {
  return ArrayOf(env, findings, FindingToJs);
}

Napi::Value ToJs(Napi::Env env, const DiskProbe& probe) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("fileSystem", probe.file_system);
  object.Set("freeBytes", BigInt(env, probe.free_bytes));
  object.Set("totalBytes", BigInt(env, probe.total_bytes));
  object.Set("fileBytesMax", BigInt(env, probe.file_bytes_max));
  object.Set("canShareExtents", probe.can_share_extents);
  return object;
}

}  // namespace aurochs::addon
