#include "io/worker_pool.h"

#include <mutex>

#include "base/limits.h"
#include "io/file_op.h"

namespace aurochs {
namespace {

// Writes of one file exclude each other in the kernel anyway. Anything else may wait for the disk,
// and must not make its neighbours wait.
bool WritesOfOneFile(const FileOp& first, const FileOp& candidate) {
  return first.kind == FileOp::Kind::kWrite && candidate.kind == FileOp::Kind::kWrite &&
         first.file == candidate.file && first.inbox == candidate.inbox;
}

bool Never(const BlockingJob&, const BlockingJob&) {
  return false;
}

void RunOps(FileOp* first, FileOp* last) {
  for (FileOp* op = first; op != nullptr; op = op->next) RunFileOp(*op);
  first->inbox->Finish(first, last);
}

void RunJob(BlockingJob* job, BlockingJob*) {
  job->work();
  job->inbox->Finish(job);
}

// A chain under construction.
struct OpList {
  FileOp* first = nullptr;
  FileOp* last = nullptr;

  void Append(FileOp* op) {
    (last == nullptr ? first : last->next) = op;
    last = op;
  }
};

}  // namespace

std::shared_ptr<WorkerPool> WorkerPool::Shared() {
  static std::mutex mutex;
  static std::weak_ptr<WorkerPool> shared;  // Guarded by mutex.
  std::lock_guard lock(mutex);
  std::shared_ptr<WorkerPool> pool = shared.lock();
  if (pool == nullptr) {
    pool.reset(new WorkerPool());
    shared = pool;
  }
  return pool;
}

WorkerPool::WorkerPool()
    : transfers_(
          {"aurochs-file", kTransferThreadsMax, kWritesPerBatchMax, WritesOfOneFile, RunOps}),
      syncs_({"aurochs-sync", kSyncThreadsMax, 1, WritesOfOneFile, RunOps}),
      blocking_({"aurochs-work", kBlockingThreadsMax, 1, Never, RunJob}) {}

void WorkerPool::Submit(FileOp* first) {
  OpList transfers;
  OpList syncs;
  for (FileOp* op = first; op != nullptr;) {
    FileOp* const next = op->next;
    (op->kind == FileOp::Kind::kSyncData ? syncs : transfers).Append(op);
    op = next;
  }
  if (transfers.first != nullptr) transfers_.Submit(transfers.first, transfers.last);
  if (syncs.first != nullptr) syncs_.Submit(syncs.first, syncs.last);
}

void WorkerPool::Submit(BlockingJob* job) {
  blocking_.Submit(job, job);
}

}  // namespace aurochs
