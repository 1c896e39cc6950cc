// The barrier of a group snapshot: while it is on, nothing changes the volume's data, and reads and
// snapshots go on. It ends when it is released or, so that whoever asked for it and hangs or died
// never blocks an application, after its deadline.
//
// Thread: the replica's loop.
#pragma once

#include <cstdint>

#include "replica/replica_core.h"

namespace aurochs {

class WriteHold {
 public:
  explicit WriteHold(ReplicaCore& core);

  bool on() const { return id_ != 0; }
  // Returns its number, or kUnavailable once Forbid was called.
  // REQUIRES: not on, and nobody is inside the gate.
  Result<uint64_t> Begin(uint32_t deadline_ms);
  // Whether that hold was on until now.
  bool Release(uint64_t id);
  // Ends the hold; there is none after.
  void Forbid();

 private:
  void End();

  ReplicaCore& core_;
  Timer deadline_;
  uint64_t id_ = 0;  // of the hold that is on
  uint64_t next_id_ = 1;
  bool forbidden_ = false;
};

}  // namespace aurochs
