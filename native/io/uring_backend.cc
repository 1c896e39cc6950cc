#include <liburing.h>
#include <poll.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "io/file.h"
#include "io/file_op.h"
#include "io/loop_backend.h"
#include "io/uring_setup.h"

namespace aurochs {
namespace {

// What a completion is about, in the low bits of its user data; the rest is a pointer.
enum class Tag : uint64_t { kReadable = 0, kWritable = 1, kFileOp = 2, kWake = 3, kIgnored = 4 };
constexpr uint64_t kTagMask = 7;
static_assert(alignof(WatchState) > kTagMask - 3 && alignof(FileOp) >= 8 &&
              alignof(WatchState) >= 8);

constexpr int kStandInWaitMs = 1;

uint64_t UserData(const void* pointer, Tag tag) {
  return reinterpret_cast<uint64_t>(pointer) | static_cast<uint64_t>(tag);
}

class UringBackend : public LoopBackend {
 public:
  UringBackend(io_uring ring, LoopInbox& inbox, std::shared_ptr<WorkerPool> pool)
      : ring_(ring), inbox_(inbox), pool_(std::move(pool)) {}

  ~UringBackend() override { io_uring_queue_exit(&ring_); }

  Status Start() override {
    // The thread that enables the ring is the one that may submit from then on.
    const int rc = io_uring_enable_rings(&ring_);
    if (rc != 0) return Status::FromErrno(-rc, "enable an io_uring");
    running_ = true;
    ReadWakeFd();
    return Status::Ok();
  }

  void InterestChanged(WatchState& watch) override {
    if (!std::exchange(watch.known, true)) {
      watch.index = watches_.size();
      watches_.push_back(&watch);
    }
    if (std::exchange(watch.changed, true)) return;
    changed_.push_back(&watch);
  }

  void Release(std::unique_ptr<WatchState> watch) override {
    if (watch->changed) std::erase(changed_, watch.get());
    if (watch->known) {
      watches_.back()->index = watch->index;
      std::swap(watches_[watch->index], watches_.back());
      watches_.pop_back();
    }
    // At once and not with the turn's end: until it is cancelled a poll keeps the file open.
    if (standing_in_) {
      cancel_released_ = true;
    } else if (running_ && CancelPolls(*watch)) {
      io_uring_submit_and_get_events(&ring_);
    }
    released_.push_back(std::move(watch));
  }

  void SubmitFileOps(FileOpList ops) override;
  void Wait(int timeout_ms, bool only_deliveries) override;
  void Dispatch() override;
  FileOpList TakeFinished() override { return finished_.TakeAll(); }
  bool NeedsOwnThread() const override { return ops_in_ring_ > 0; }
  void SetStandIn(bool standing_in) override;

  void Finish() override;

 private:
  struct Ready {
    WatchState* watch;
    bool readable;  // else writable
  };

  io_uring_sqe* NextSqe();
  void ReadWakeFd();
  void ArmPolls(WatchState& watch);
  bool CancelPolls(WatchState& watch);
  void CancelReleased();
  void StartWaitingOps();
  void StartRead(FileOp* op);
  void EnterKernel(int timeout_ms);
  void CollectCompletions();
  void WaitByPoll(int timeout_ms, bool only_deliveries);
  void CompleteOp(FileOp* op, int result);

  io_uring ring_;
  LoopInbox& inbox_;
  const std::shared_ptr<WorkerPool> pool_;
  bool running_ = false;  // between Start and Finish
  bool wake_armed_ = false;
  bool standing_in_ = false;
  bool cancel_released_ = false;  // watches ended while another thread stood in

  std::vector<WatchState*> watches_;
  std::vector<WatchState*> changed_;
  std::vector<std::unique_ptr<WatchState>> released_;
  std::vector<Ready> ready_;    // found by Wait
  std::vector<pollfd> polled_;  // one for each of watches_, while another thread stands in

  FileOpList waiting_;  // for a place in the ring
  FileOpList finished_;
  uint32_t ops_in_ring_ = 0;
};

// A full submission queue is handed over early.
io_uring_sqe* UringBackend::NextSqe() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  while (sqe == nullptr) {
    const int rc = io_uring_submit(&ring_);
    CHECK(rc >= 0 || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY);
    sqe = io_uring_get_sqe(&ring_);
  }
  return sqe;
}

void UringBackend::ReadWakeFd() {
  static uint64_t count;  // Of no interest, and the same for every loop.
  io_uring_sqe* const sqe = NextSqe();
  io_uring_prep_read(sqe, inbox_.wake_fd(), &count, sizeof count, 0);
  sqe->user_data = UserData(nullptr, Tag::kWake);
  wake_armed_ = true;
}

// Polls fire once, so that one that is armed again after its handler ran is level-triggered. A poll
// whose interest has gone stays armed and is ignored when it fires.
void UringBackend::ArmPolls(WatchState& watch) {
  watch.changed = false;
  if (watch.want_readable && !std::exchange(watch.armed_readable, true)) {
    io_uring_sqe* const sqe = NextSqe();
    io_uring_prep_poll_add(sqe, watch.fd, POLLIN);
    sqe->user_data = UserData(&watch, Tag::kReadable);
  }
  if (watch.want_writable && !std::exchange(watch.armed_writable, true)) {
    io_uring_sqe* const sqe = NextSqe();
    io_uring_prep_poll_add(sqe, watch.fd, POLLOUT);
    sqe->user_data = UserData(&watch, Tag::kWritable);
  }
}

// Whether there were any.
bool UringBackend::CancelPolls(WatchState& watch) {
  const auto cancel = [&](Tag tag) {
    io_uring_sqe* const sqe = NextSqe();
    // Not a poll removal: that one misses a poll whose wake-up is on its way, which then stays.
    io_uring_prep_cancel64(sqe, UserData(&watch, tag), 0);
    sqe->user_data = UserData(nullptr, Tag::kIgnored);
  };
  if (watch.armed_readable) cancel(Tag::kReadable);
  if (watch.armed_writable) cancel(Tag::kWritable);
  return watch.armed_readable || watch.armed_writable;
}

// What a stand-in could not cancel.
void UringBackend::CancelReleased() {
  if (!std::exchange(cancel_released_, false)) return;
  for (const auto& watch : released_) CancelPolls(*watch);
}

// The ring gets the reads, for which the kernel needs no thread. For what may block otherwise
// (buffered writes of ext4, fdatasync, punching) it has threads of its own, few for each ring, so
// that a fdatasync would hold up other volumes' writes: that is the pool's.
void UringBackend::SubmitFileOps(FileOpList ops) {
  FileOpList for_pool;
  while (!ops.empty()) {
    FileOp* const op = ops.PopFirst();
    const bool in_ring = op->kind == FileOp::Kind::kRead && !standing_in_;
    (in_ring ? waiting_ : for_pool).Append(op);
  }
  pool_->Submit(for_pool);
}

void UringBackend::StartWaitingOps() {
  while (!waiting_.empty() && ops_in_ring_ < kRingFileOpsMax) {
    StartRead(waiting_.PopFirst());
    ++ops_in_ring_;
  }
}

void UringBackend::StartRead(FileOp* op) {
  io_uring_sqe* const sqe = NextSqe();
  const int fd = op->file->fd();
  const uint64_t at = op->offset_bytes + op->done_bytes;
  // Without a vector where one buffer is left; so a cut entry needs no memory of its own.
  iovec first;
  const RemainingIov left = RemainingOf(*op, first);
  if (left.count == 1) {
    const auto length = static_cast<unsigned>(left.entries->iov_len);
    io_uring_prep_read(sqe, fd, left.entries->iov_base, length, at);
  } else {
    io_uring_prep_readv(sqe, fd, left.entries, static_cast<unsigned>(left.count), at);
  }
  sqe->user_data = UserData(op, Tag::kFileOp);
}

void UringBackend::Wait(int timeout_ms, bool only_deliveries) {
  if (standing_in_) return WaitByPoll(timeout_ms, only_deliveries);
  // What Dispatch has not called is told again by polls armed anew.
  ready_.clear();
  CancelReleased();
  std::erase_if(released_, [](const std::unique_ptr<WatchState>& watch) {
    return !watch->armed_readable && !watch->armed_writable;
  });
  if (!wake_armed_) ReadWakeFd();
  if (!only_deliveries) {
    for (WatchState* watch : changed_) ArmPolls(*watch);
    changed_.clear();
  }
  StartWaitingOps();
  EnterKernel(io_uring_cq_ready(&ring_) > 0 ? 0 : timeout_ms);
  CollectCompletions();
}

// A ring serves only the thread that has enabled it. What is in the ring waits for that thread; a
// stand-in asks the kernel about the descriptors by poll, and hands file operations to the pool.
void UringBackend::SetStandIn(bool standing_in) {
  standing_in_ = standing_in;
  if (standing_in && !waiting_.empty()) pool_->Submit(waiting_.TakeAll());
}

// The ring may take the wake-ups that are meant for us, so none is waited for: we look soon again.
void UringBackend::WaitByPoll(int timeout_ms, bool only_deliveries) {
  ready_.clear();
  polled_.clear();
  for (const WatchState* watch : watches_) {
    const bool wanted = !only_deliveries && (watch->want_readable || watch->want_writable);
    const int events = (watch->want_readable ? POLLIN : 0) | (watch->want_writable ? POLLOUT : 0);
    polled_.push_back({wanted ? watch->fd : -1, static_cast<short>(events), 0});
  }
  const int rc = ::poll(polled_.data(), polled_.size(), timeout_ms == 0 ? 0 : kStandInWaitMs);
  CHECK(rc >= 0 || errno == EINTR || errno == ENOMEM);
  if (rc <= 0) return;
  for (size_t i = 0; i < polled_.size(); ++i) {
    const bool broken = (polled_[i].revents & (POLLERR | POLLHUP)) != 0;
    if (broken || (polled_[i].revents & POLLIN) != 0) ready_.push_back({watches_[i], true});
    if (broken || (polled_[i].revents & POLLOUT) != 0) ready_.push_back({watches_[i], false});
  }
}

void UringBackend::EnterKernel(int timeout_ms) {
  int rc;
  if (timeout_ms == 0) {
    rc = io_uring_submit_and_get_events(&ring_);
  } else if (timeout_ms < 0) {
    rc = io_uring_submit_and_wait(&ring_, 1);
  } else {
    __kernel_timespec timeout{timeout_ms / 1000, timeout_ms % 1000 * 1'000'000ll};
    io_uring_cqe* first;
    rc = io_uring_submit_and_wait_timeout(&ring_, &first, 1, &timeout, nullptr);
  }
  // What was not taken now (a signal, no memory) is taken in the next turn.
  CHECK(rc >= 0 || rc == -ETIME || rc == -EINTR || rc == -EAGAIN || rc == -EBUSY || rc == -ENOMEM);
}

void UringBackend::CollectCompletions() {
  std::array<io_uring_cqe*, kReadyEventsPerTurnMax> cqes;
  const unsigned count = io_uring_peek_batch_cqe(&ring_, cqes.data(), cqes.size());
  for (unsigned i = 0; i < count; ++i) {
    const auto tag = static_cast<Tag>(cqes[i]->user_data & kTagMask);
    void* const pointer = reinterpret_cast<void*>(cqes[i]->user_data & ~kTagMask);
    switch (tag) {
      case Tag::kReadable:
      case Tag::kWritable: {
        auto* const watch = static_cast<WatchState*>(pointer);
        const bool readable = tag == Tag::kReadable;
        (readable ? watch->armed_readable : watch->armed_writable) = false;
        if (cqes[i]->res > 0) ready_.push_back({watch, readable});
        break;
      }
      case Tag::kFileOp: CompleteOp(static_cast<FileOp*>(pointer), cqes[i]->res); break;
      case Tag::kWake: wake_armed_ = false; break;
      case Tag::kIgnored: break;
    }
  }
  io_uring_cq_advance(&ring_, count);
}

void UringBackend::CompleteOp(FileOp* op, int result) {
  --ops_in_ring_;
  if (result > 0) op->done_bytes += static_cast<uint64_t>(result);
  if (result == -EINTR || result == -EAGAIN || (result > 0 && op->done_bytes < op->length_bytes)) {
    waiting_.Append(op);
    return;
  }
  if (result < 0) {
    op->result = ErrorCodeFromErrno(-result);
  } else if (result == 0) {
    ZeroRemaining(*op);  // The file has ended.
  }
  finished_.Append(op);
}

void UringBackend::Dispatch() {
  for (const Ready& ready : ready_) {
    WatchState& watch = *ready.watch;
    if (watch.handler == nullptr) continue;
    if (!(ready.readable ? watch.want_readable : watch.want_writable)) continue;
    InterestChanged(watch);  // To be armed again, if there still is interest.
    ready.readable ? watch.handler->OnReadable() : watch.handler->OnWritable();
  }
}

// Nothing is left in the ring, so that no descriptor stays open in the kernel behind our back.
void UringBackend::Finish() {
  for (WatchState* watch : watches_) CancelPolls(*watch);
  CancelReleased();
  if (wake_armed_) {
    io_uring_sqe* const sqe = NextSqe();
    io_uring_prep_cancel64(sqe, UserData(nullptr, Tag::kWake), 0);
    sqe->user_data = UserData(nullptr, Tag::kIgnored);
  }
  const auto is_armed = [](const WatchState& watch) {
    return watch.armed_readable || watch.armed_writable;
  };
  const auto any_armed = [&] {
    for (const WatchState* watch : watches_) {
      if (is_armed(*watch)) return true;
    }
    for (const auto& watch : released_) {
      if (is_armed(*watch)) return true;
    }
    return wake_armed_;
  };
  while (any_armed()) {
    EnterKernel(-1);
    CollectCompletions();
  }
  running_ = false;
}

}  // namespace

Result<std::unique_ptr<LoopBackend>> CreateUringBackend(LoopInbox& inbox,
                                                        std::shared_ptr<WorkerPool> pool) {
  io_uring ring;
  RETURN_IF_ERROR(SetUpRing(kRingEntries, kRingCompletions, ring));
  return std::unique_ptr<LoopBackend>(new UringBackend(ring, inbox, std::move(pool)));
}

}  // namespace aurochs
