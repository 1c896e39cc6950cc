#include "io/loop_backend.h"

namespace aurochs {

Status EventLoop::IoUringAvailable() {
  return {ErrorCode::kUnsupported, "io_uring: this build has no backend for it"};
}

Result<std::unique_ptr<LoopBackend>> CreateUringBackend(LoopInbox&, std::shared_ptr<WorkerPool>) {
  return EventLoop::IoUringAvailable();
}

}  // namespace aurochs
