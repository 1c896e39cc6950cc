#include "io/worker_pool.h"

#include <mutex>

#include "base/limits.h"
#include "io/file_op.h"

namespace aurochs {
namespace {

// Writes and punches of one file exclude each other in the kernel anyway, so several threads would
// only wait for each other.
const void* FileOfChange(const FileOp& op) {
  return op.kind == FileOp::Kind::kWrite || op.kind == FileOp::Kind::kPunchHole ? op.file : nullptr;
}

// A punch may wait for the disk, and the writes before it must not wait for it to be delivered.
bool BothWrite(const FileOp& first, const FileOp& candidate) {
  return first.kind == FileOp::Kind::kWrite && candidate.kind == FileOp::Kind::kWrite &&
         first.inbox == candidate.inbox;
}

template <typename Item>
const void* NoKey(const Item&) {
  return nullptr;
}

template <typename Item>
bool Never(const Item&, const Item&) {
  return false;
}

void RunOps(FileOp* first, FileOp* last) {
  RunFileOps(first);
  first->inbox->Finish(FileOpList(first, last));
}

void RunJob(BlockingJob* job, BlockingJob*) {
  job->work();
  job->inbox->Finish(job);
}

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
    : transfers_({.thread_name = "aurochs-file",
                  .threads_max = kTransferThreadsMax,
                  .batch_max = kWritesPerBatchMax,
                  .key = FileOfChange,
                  .joins = BothWrite,
                  .run = RunOps}),
      syncs_({.thread_name = "aurochs-sync",
              .threads_max = kSyncThreadsMax,
              .batch_max = 1,
              .key = NoKey<FileOp>,
              .joins = Never<FileOp>,
              .run = RunOps}),
      blocking_({.thread_name = "aurochs-work",
                 .threads_max = kBlockingThreadsMax,
                 .batch_max = 1,
                 .key = NoKey<BlockingJob>,
                 .joins = Never<BlockingJob>,
                 .run = RunJob}) {}

void WorkerPool::Submit(FileOpList ops) {
  FileOpList transfers;
  FileOpList syncs;
  while (!ops.empty()) {
    FileOp* const op = ops.PopFirst();
    (op->kind == FileOp::Kind::kSyncData ? syncs : transfers).Append(op);
  }
  if (!transfers.empty()) transfers_.Submit(transfers.first(), transfers.last());
  if (!syncs.empty()) syncs_.Submit(syncs.first(), syncs.last());
}

void WorkerPool::Submit(BlockingJob* job) {
  blocking_.Submit(job, job);
}

}  // namespace aurochs
