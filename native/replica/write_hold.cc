#include "replica/write_hold.h"

#include "base/log.h"

namespace aurochs {

WriteHold::WriteHold(ReplicaCore& core)
    : core_(core), deadline_(core.loop(), [this] {
        Log(LogLevel::kWarn, "replica",
            core_.name() + ": nobody let held writes go on in time; they go on");
        End();
      }) {}

Result<uint64_t> WriteHold::Begin(uint32_t deadline_ms) {
  CHECK(!on());
  if (forbidden_) return Status(ErrorCode::kUnavailable, "the replica is being closed");
  id_ = next_id_++;
  core_.path().HoldWrites();
  deadline_.Start(deadline_ms);
  return id_;
}

bool WriteHold::Release(uint64_t id) {
  if (!on() || id != id_) return false;
  End();
  return true;
}

void WriteHold::Forbid() {
  forbidden_ = true;
  if (on()) End();
}

void WriteHold::End() {
  id_ = 0;
  deadline_.Cancel();
  core_.path().LetWritesGo();
}

}  // namespace aurochs
