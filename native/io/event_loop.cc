#include "io/event_loop.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <ctime>
#include <mutex>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "base/log.h"
#include "io/file.h"
#include "io/file_op.h"
#include "io/file_op_list.h"
#include "io/loop_backend.h"
#include "io/loop_baton.h"
#include "io/loop_inbox.h"
#include "io/timer_heap.h"
#include "io/worker_pool.h"

namespace aurochs {
namespace {

constexpr uint64_t kNanosecondsPerMs = 1'000'000;

uint64_t MonotonicNs() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000 * kNanosecondsPerMs +
         static_cast<uint64_t>(now.tv_nsec);
}

}  // namespace

class EventLoop::Impl {
 public:
  Impl(Options options, Backend kind, std::unique_ptr<LoopInbox> inbox,
       std::shared_ptr<WorkerPool> pool, std::unique_ptr<LoopBackend> backend)
      : options_(std::move(options)),
        kind_(kind),
        inbox_(std::move(inbox)),
        pool_(std::move(pool)),
        backend_(std::move(backend)),
        now_ns_(MonotonicNs()) {}

  ~Impl() {
    CHECK(!InLoopThread());
    CHECK(in_flight_ == 0);
    // What the unrun tasks own may name this loop, so they go first.
    LoopInbox::Contents unrun;
    inbox_->Take(unrun);
  }

  Backend kind() const { return kind_; }
  LoopInbox& inbox() { return *inbox_; }
  LoopBackend& backend() { return *backend_; }
  uint64_t now_ms() const { return now_ns_ / kNanosecondsPerMs; }

  bool InLoopThread() const { return thread_.load(std::memory_order_relaxed) == pthread_self(); }
  // Before Run and after it the loop belongs to whoever owns it.
  void CheckThread() const { CHECK(InLoopThread() || thread_.load() == kNoThread); }

  void Run(LoopBaton* baton);
  void StandIn(LoopBaton& baton);

  void StartTimer(TimerState& timer, uint64_t delay_ms);
  void CancelTimer(TimerState& timer);
  void ReleaseTimer(std::unique_ptr<TimerState> timer);

  void RunAtTurnEnd(TurnEndTask& task);
  void CancelTurnEnd(TurnEndTask& task);
  void SubmitFileOp(FileOp* op);
  void RunBlocking(std::function<void()> work, std::function<void()> done);

 private:
  static constexpr pthread_t kNoThread{};

  bool HasWorkNow() const {
    return turn_end_first_ != nullptr || !finished_inline_.empty() || !submitted_.empty();
  }
  void RunTurn();
  int TimeoutMs() const;
  void RunDeliveries();
  void CompleteOps(FileOpList ops);
  void FinishJob(BlockingJob* job);
  void RunExpiredTimers();
  void RunTurnEnd();
  void StartFileOps();
  bool BelongsHere(const FileOp& op) const;

  const Options options_;
  const Backend kind_;
  const std::unique_ptr<LoopInbox> inbox_;
  const std::shared_ptr<WorkerPool> pool_;
  const std::unique_ptr<LoopBackend> backend_;
  std::atomic<pthread_t> thread_{kNoThread};
  LoopBaton* baton_ = nullptr;  // while the loop's own thread runs it, if it may lend the loop

  bool stopped_ = false;
  uint64_t now_ns_;
  uint64_t stalled_until_ns_ = 0;   // no write is for the loop's thread before
  LoopInbox::Contents deliveries_;  // kept for its vector's memory
  TimerHeap timers_;
  const TimerState* expiring_ = nullptr;        // its handler runs
  std::unique_ptr<TimerState> ended_expiring_;  // destroyed by its own handler
  TurnEndTask* turn_end_first_ = nullptr;
  TurnEndTask* turn_end_last_ = nullptr;
  FileOpList submitted_;        // in this turn
  FileOpList finished_inline_;  // to be completed in the next turn
  uint64_t in_flight_ = 0;      // file operations and blocking jobs
};

void EventLoop::Impl::Run(LoopBaton* baton) {
  CHECK(thread_.load() == kNoThread);
  thread_ = pthread_self();
  if (!options_.name.empty()) pthread_setname_np(pthread_self(), options_.name.c_str());
  const Status started = backend_->Start();
  CHECK(started.ok());

  baton_ = baton;
  stopped_ = false;
  while (!stopped_ || in_flight_ > 0 || HasWorkNow()) RunTurn();
  backend_->Finish();
  thread_ = kNoThread;
}

// The loop does not end meanwhile: the operations that hold up its own thread are in flight.
void EventLoop::Impl::StandIn(LoopBaton& baton) {
  while (baton.AwaitStall()) {
    const pthread_t own = thread_.exchange(pthread_self());
    baton_ = nullptr;
    backend_->SetStandIn(true);
    while (!baton.IsWanted()) RunTurn();
    backend_->SetStandIn(false);
    stalled_until_ns_ = MonotonicNs() + kLoopStallPauseMs * kNanosecondsPerMs;
    baton_ = &baton;
    thread_ = own;
    baton.GiveBack();
  }
}

void EventLoop::Impl::RunTurn() {
  const bool may_sleep = !HasWorkNow() && inbox_->PrepareToSleep();
  backend_->Wait(!may_sleep ? 0 : stopped_ ? -1 : TimeoutMs(), stopped_);
  now_ns_ = MonotonicNs();
  RunDeliveries();
  if (!stopped_) {
    backend_->Dispatch();
    RunExpiredTimers();
  }
  RunTurnEnd();
  StartFileOps();
  if (finished_inline_.empty()) return;
  CompleteOps(finished_inline_.TakeAll());
  RunTurnEnd();
}

// What other threads have delivered and what the backend has finished.
void EventLoop::Impl::RunDeliveries() {
  stopped_ = inbox_->Take(deliveries_);
  CompleteOps(backend_->TakeFinished());
  CompleteOps(deliveries_.finished_ops.TakeAll());
  for (BlockingJob* job = std::exchange(deliveries_.finished_jobs, nullptr); job != nullptr;) {
    BlockingJob* const next = job->next;
    FinishJob(job);
    job = next;
  }
  for (std::function<void()>& task : deliveries_.tasks) {
    task();
    task = nullptr;
  }
  deliveries_.tasks.clear();
}

void EventLoop::Impl::CompleteOps(FileOpList ops) {
  while (!ops.empty()) {
    FileOp* const op = ops.PopFirst();
    CHECK(in_flight_ > 0);
    --in_flight_;
    op->complete(op, op->result);  // May free the operation or submit it again.
  }
}

void EventLoop::Impl::FinishJob(BlockingJob* job) {
  const std::unique_ptr<BlockingJob> owned(job);
  CHECK(in_flight_ > 0);
  --in_flight_;
  job->done();
}

// Rounded up: a timer is late rather than early.
int EventLoop::Impl::TimeoutMs() const {
  if (timers_.empty()) return -1;
  const uint64_t now_ns = MonotonicNs();
  const uint64_t deadline_ns = timers_.earliest().deadline_ns;
  if (deadline_ns <= now_ns) return 0;
  const uint64_t wait_ms = (deadline_ns - now_ns + kNanosecondsPerMs - 1) / kNanosecondsPerMs;
  return static_cast<int>(std::min<uint64_t>(wait_ms, INT32_MAX));
}

void EventLoop::Impl::StartTimer(TimerState& timer, uint64_t delay_ms) {
  CancelTimer(timer);
  timers_.Add(timer, MonotonicNs() + delay_ms * kNanosecondsPerMs);
}

void EventLoop::Impl::CancelTimer(TimerState& timer) {
  if (timer.heap_index != TimerState::kInactive) timers_.Remove(timer);
}

void EventLoop::Impl::ReleaseTimer(std::unique_ptr<TimerState> timer) {
  CancelTimer(*timer);
  if (timer.get() == expiring_) ended_expiring_ = std::move(timer);
}

// A handler that starts its timer anew gets a deadline after this turn's time, so this ends.
void EventLoop::Impl::RunExpiredTimers() {
  while (!timers_.empty() && timers_.earliest().deadline_ns <= now_ns_) {
    TimerState& timer = timers_.earliest();
    timers_.Remove(timer);
    expiring_ = &timer;
    timer.on_expiry();
    expiring_ = nullptr;
    ended_expiring_ = nullptr;
  }
}

void EventLoop::Impl::RunAtTurnEnd(TurnEndTask& task) {
  if (task.turn_end_queued_) return;
  task.turn_end_queued_ = true;
  task.next_turn_end_ = nullptr;
  (turn_end_last_ == nullptr ? turn_end_first_ : turn_end_last_->next_turn_end_) = &task;
  turn_end_last_ = &task;
}

void EventLoop::Impl::CancelTurnEnd(TurnEndTask& task) {
  if (!task.turn_end_queued_) return;
  TurnEndTask* before = nullptr;
  for (TurnEndTask* t = turn_end_first_; t != &task; t = t->next_turn_end_) before = t;
  (before == nullptr ? turn_end_first_ : before->next_turn_end_) = task.next_turn_end_;
  if (turn_end_last_ == &task) turn_end_last_ = before;
  task.turn_end_queued_ = false;
}

// In rounds: what is asked for during one round belongs to the next. Tasks that keep asking for
// each other yield to the rest of the loop after some rounds, and go on in the next turn.
void EventLoop::Impl::RunTurnEnd() {
  for (uint32_t round = 0; round < kTurnEndRoundsMax && turn_end_first_ != nullptr; ++round) {
    const TurnEndTask* const last_of_round = turn_end_last_;
    bool round_over = false;
    while (!round_over && turn_end_first_ != nullptr) {
      TurnEndTask& task = *turn_end_first_;
      round_over = &task == last_of_round;
      CancelTurnEnd(task);
      task.OnTurnEnd();
    }
  }
}

void EventLoop::Impl::SubmitFileOp(FileOp* op) {
  op->inbox = inbox_.get();
  op->done_bytes = 0;
  op->result = ErrorCode::kOk;
  submitted_.Append(op);
  ++in_flight_;
}

// A write to the page cache takes a few microseconds, less than handing it to another thread. But
// it may wait, for the journal or because too much is dirty: for that time the loop is lent. What a
// stand-in cannot finish must not wait with it, for that may be what the write waits for.
bool EventLoop::Impl::BelongsHere(const FileOp& op) const {
  if (op.file->fd() < 0) return true;
  return op.kind == FileOp::Kind::kWrite && baton_ != nullptr &&
         op.length_bytes <= kLoopWriteBytesMax && now_ns_ >= stalled_until_ns_ &&
         !backend_->NeedsOwnThread();
}

void EventLoop::Impl::StartFileOps() {
  FileOpList here;
  FileOpList elsewhere;
  while (!submitted_.empty()) {
    FileOp* const op = submitted_.PopFirst();
    (BelongsHere(*op) ? here : elsewhere).Append(op);
  }
  if (!elsewhere.empty()) backend_->SubmitFileOps(elsewhere);
  if (here.empty()) return;
  LoopBaton* const baton = baton_;
  if (baton != nullptr) baton->Lend();
  RunFileOps(here.first());
  if (baton != nullptr) baton->TakeBack([this] { inbox_->Post([] {}); });
  finished_inline_.Append(here);
}

void EventLoop::Impl::RunBlocking(std::function<void()> work, std::function<void()> done) {
  auto job = std::make_unique<BlockingJob>();
  job->work = std::move(work);
  job->done = std::move(done);
  job->inbox = inbox_.get();
  ++in_flight_;
  if (!options_.blocking_inline) {
    pool_->Submit(job.release());
    return;
  }
  inbox_->Post([this, owned = std::shared_ptr<BlockingJob>(std::move(job))] {
    --in_flight_;
    owned->work();
    owned->done();
  });
}

Result<std::unique_ptr<EventLoop>> EventLoop::Create(Options options) {
  CHECK(options.name.size() <= 15);
  Result<std::unique_ptr<LoopInbox>> inbox = LoopInbox::Create();
  if (!inbox.ok()) return inbox.status();
  std::shared_ptr<WorkerPool> pool = WorkerPool::Shared();
  Backend kind =
      options.backend.value_or(IoUringAvailable().ok() ? Backend::kIoUring : Backend::kEpoll);
  Result<std::unique_ptr<LoopBackend>> backend = kind == Backend::kIoUring
                                                     ? CreateUringBackend(**inbox, pool)
                                                     : CreateEpollBackend(**inbox, pool);
  if (!backend.ok() && !options.backend.has_value() && kind == Backend::kIoUring) {
    Log(LogLevel::kWarn, "io", backend.status().message() + "; using epoll instead");
    kind = Backend::kEpoll;
    backend = CreateEpollBackend(**inbox, pool);
  }
  if (!backend.ok()) return backend.status();
  return std::unique_ptr<EventLoop>(new EventLoop(std::make_unique<Impl>(
      std::move(options), kind, std::move(*inbox), std::move(pool), std::move(*backend))));
}

EventLoop::EventLoop(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
EventLoop::~EventLoop() = default;

EventLoop::Backend EventLoop::backend() const {
  return impl_->kind();
}
bool EventLoop::InLoopThread() const {
  return impl_->InLoopThread();
}
void EventLoop::Run() {
  impl_->Run(nullptr);
}
void EventLoop::Stop() {
  impl_->inbox().Stop();
}
void EventLoop::Post(std::function<void()> task) {
  impl_->inbox().Post(std::move(task));
}
uint64_t EventLoop::now_ms() const {
  return impl_->now_ms();
}

void EventLoop::RunAtTurnEnd(TurnEndTask& task) {
  impl_->CheckThread();
  impl_->RunAtTurnEnd(task);
}

void EventLoop::CancelTurnEnd(TurnEndTask& task) {
  impl_->CheckThread();
  impl_->CancelTurnEnd(task);
}

void EventLoop::SubmitFileOp(FileOp* op) {
  impl_->CheckThread();
  impl_->SubmitFileOp(op);
}

void EventLoop::RunBlocking(std::function<void()> work, std::function<void()> done) {
  impl_->CheckThread();
  impl_->RunBlocking(std::move(work), std::move(done));
}

Timer::Timer(EventLoop& loop, std::function<void()> on_expiry)
    : loop_(loop), state_(std::make_unique<TimerState>()) {
  state_->on_expiry = std::move(on_expiry);
}

Timer::~Timer() {
  loop_.impl_->CheckThread();
  loop_.impl_->ReleaseTimer(std::move(state_));
}

void Timer::Start(uint64_t delay_ms) {
  loop_.impl_->CheckThread();
  loop_.impl_->StartTimer(*state_, delay_ms);
}

void Timer::Cancel() {
  loop_.impl_->CheckThread();
  loop_.impl_->CancelTimer(*state_);
}

bool Timer::active() const {
  return state_->heap_index != TimerState::kInactive;
}

FdWatch::FdWatch(EventLoop& loop, int fd, FdHandler& handler)
    : loop_(loop), state_(std::make_unique<WatchState>()) {
  state_->fd = fd;
  state_->handler = &handler;
}

FdWatch::~FdWatch() {
  loop_.impl_->CheckThread();
  state_->handler = nullptr;
  loop_.impl_->backend().Release(std::move(state_));
}

void FdWatch::SetInterest(bool readable, bool writable) {
  loop_.impl_->CheckThread();
  if (state_->want_readable == readable && state_->want_writable == writable) return;
  state_->want_readable = readable;
  state_->want_writable = writable;
  loop_.impl_->backend().InterestChanged(*state_);
}

Result<std::unique_ptr<LoopThread>> LoopThread::Start(EventLoop::Options options) {
  Result<std::unique_ptr<EventLoop>> loop = EventLoop::Create(std::move(options));
  if (!loop.ok()) return loop.status();
  std::unique_ptr<LoopThread> started(new LoopThread(std::move(*loop)));
  EventLoop::Impl* const impl = started->loop_->impl_.get();
  LoopBaton* const baton = started->baton_.get();
  auto stand_in = NativeThread::Start("aurochs-standin", [=] { impl->StandIn(*baton); });
  if (!stand_in.ok()) return stand_in.status();
  started->stand_in_ = std::move(*stand_in);
  auto thread = NativeThread::Start("", [=] { impl->Run(baton); });
  if (!thread.ok()) return thread.status();
  started->thread_ = std::move(*thread);
  return started;
}

LoopThread::LoopThread(std::unique_ptr<EventLoop> loop)
    : loop_(std::move(loop)), baton_(std::make_unique<LoopBaton>()) {}

LoopThread::~LoopThread() {
  if (thread_ != nullptr) {
    loop_->Stop();
    thread_->Join();
  }
  if (stand_in_ != nullptr) {
    baton_->Close();
    stand_in_->Join();
  }
}

void LoopThread::RunAndWait(std::function<void()> task) {
  CHECK(!loop_->InLoopThread());
  std::mutex mutex;
  std::condition_variable finished;
  bool is_finished = false;  // Guarded by mutex.
  loop_->Post([&] {
    task();
    std::lock_guard lock(mutex);
    is_finished = true;
    finished.notify_one();
  });
  std::unique_lock lock(mutex);
  finished.wait(lock, [&] { return is_finished; });
}

}  // namespace aurochs
