#include <poll.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <vector>

#include "base/limits.h"
#include "base/unique_fd.h"
#include "io/loop_backend.h"

namespace aurochs {
namespace {

class EpollBackend : public LoopBackend {
 public:
  EpollBackend(UniqueFd epoll_fd, LoopInbox& inbox, std::shared_ptr<WorkerPool> pool)
      : epoll_fd_(std::move(epoll_fd)), inbox_(inbox), pool_(std::move(pool)) {}

  Status Start() override { return Status::Ok(); }

  void InterestChanged(WatchState& watch) override {
    if (watch.changed) return;
    watch.changed = true;
    changed_.push_back(&watch);
  }

  void Release(std::unique_ptr<WatchState> watch) override {
    if (watch->armed_readable || watch->armed_writable) Control(EPOLL_CTL_DEL, *watch);
    if (watch->changed) std::erase(changed_, watch.get());
    released_.push_back(std::move(watch));  // An event that Dispatch has not reached may name it.
  }

  void SubmitFileOps(FileOpList ops) override { pool_->Submit(ops); }

  void Wait(int timeout_ms, bool only_deliveries) override {
    ready_count_ = 0;
    released_.clear();
    if (only_deliveries) {
      pollfd wake{inbox_.wake_fd(), POLLIN, 0};
      const int rc = ::poll(&wake, 1, timeout_ms);
      CHECK(rc >= 0 || errno == EINTR);
      if (rc > 0) inbox_.EmptyWakeFd();
      return;
    }
    for (WatchState* watch : changed_) Arm(*watch);
    changed_.clear();
    const int count =
        ::epoll_wait(epoll_fd_.get(), ready_.data(), static_cast<int>(ready_.size()), timeout_ms);
    CHECK(count >= 0 || errno == EINTR);
    ready_count_ = static_cast<size_t>(std::max(count, 0));
  }

  void Dispatch() override {
    for (size_t i = 0; i < ready_count_; ++i) {
      auto* const watch = static_cast<WatchState*>(ready_[i].data.ptr);
      const uint32_t events = ready_[i].events;
      if (watch == nullptr) {
        inbox_.EmptyWakeFd();
        continue;
      }
      constexpr uint32_t kBroken = EPOLLERR | EPOLLHUP;
      // The first handler may end the watch or its interest in the second.
      if (watch->handler != nullptr && watch->want_readable &&
          (events & (EPOLLIN | kBroken)) != 0) {
        watch->handler->OnReadable();
      }
      if (watch->handler != nullptr && watch->want_writable &&
          (events & (EPOLLOUT | kBroken)) != 0) {
        watch->handler->OnWritable();
      }
    }
  }

  FileOpList TakeFinished() override { return {}; }

  void Finish() override {}

  Status WatchWakeFd() {
    epoll_event event{EPOLLIN, {.ptr = nullptr}};
    if (::epoll_ctl(epoll_fd_.get(), EPOLL_CTL_ADD, inbox_.wake_fd(), &event) != 0) {
      return Status::FromErrno(errno, "epoll_ctl on an eventfd");
    }
    return Status::Ok();
  }

 private:
  // A descriptor without interest leaves the set: epoll would report its hang-up for ever.
  void Arm(WatchState& watch) {
    watch.changed = false;
    const bool was_armed = watch.armed_readable || watch.armed_writable;
    const bool wanted = watch.want_readable || watch.want_writable;
    if (watch.armed_readable == watch.want_readable &&
        watch.armed_writable == watch.want_writable) {
      return;
    }
    watch.armed_readable = watch.want_readable;
    watch.armed_writable = watch.want_writable;
    if (!was_armed) {
      Control(EPOLL_CTL_ADD, watch);
    } else {
      Control(wanted ? EPOLL_CTL_MOD : EPOLL_CTL_DEL, watch);
    }
  }

  void Control(int operation, WatchState& watch) {
    epoll_event event{
        (watch.armed_readable ? EPOLLIN : 0u) | (watch.armed_writable ? EPOLLOUT : 0u),
        {.ptr = &watch}};
    const int rc = ::epoll_ctl(epoll_fd_.get(), operation, watch.fd, &event);
    CHECK(rc == 0);
  }

  const UniqueFd epoll_fd_;
  LoopInbox& inbox_;
  const std::shared_ptr<WorkerPool> pool_;
  std::vector<WatchState*> changed_;
  std::vector<std::unique_ptr<WatchState>> released_;
  std::array<epoll_event, kReadyEventsPerTurnMax> ready_;
  size_t ready_count_ = 0;
};

}  // namespace

Result<std::unique_ptr<LoopBackend>> CreateEpollBackend(LoopInbox& inbox,
                                                        std::shared_ptr<WorkerPool> pool) {
  UniqueFd epoll_fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll_fd.valid()) return Status::FromErrno(errno, "epoll_create1");
  auto backend = std::make_unique<EpollBackend>(std::move(epoll_fd), inbox, std::move(pool));
  RETURN_IF_ERROR(backend->WatchWakeFd());
  return std::unique_ptr<LoopBackend>(std::move(backend));
}

}  // namespace aurochs
