// The threads of this process that block so that event loops need not. Three lanes, so that none of
// them can take the threads of another: file transfers, fdatasyncs, and everything else.
//
// Threads start when there is work and no idle thread, and end with the pool; the pool ends with
// the last loop that uses it. What may be queued is bounded by those who submit. Private to io/.
//
// Thread: any.
#pragma once

#include <memory>

#include "io/loop_inbox.h"
#include "io/worker_lane.h"

namespace aurochs {

class WorkerPool {
 public:
  // The pool of the process, made when nobody has it yet.
  static std::shared_ptr<WorkerPool> Shared();

  // Runs operations with blocking calls and delivers each to its inbox.
  void Submit(FileOpList ops);
  void Submit(BlockingJob* job);

 private:
  WorkerPool();

  WorkerLane<FileOp> transfers_;
  WorkerLane<FileOp> syncs_;
  WorkerLane<BlockingJob> blocking_;
};

}  // namespace aurochs
