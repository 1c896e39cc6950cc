#include "base/native_thread.h"

#include <sys/prctl.h>

#include <cerrno>
#include <csignal>
#include <utility>

#include "base/check.h"

namespace aurochs {

Result<std::unique_ptr<NativeThread>> NativeThread::Start(std::string name,
                                                          std::function<void()> body) {
  CHECK(name.size() <= 15);
  std::unique_ptr<NativeThread> thread(new NativeThread(std::move(name), std::move(body)));
  // A new thread inherits the mask; signals are for the threads that ask for them.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const int rc = pthread_create(&thread->thread_, nullptr, Enter, thread.get());
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (rc != 0) {
    thread->joined_ = true;
    return Status::FromErrno(rc, "start a thread");
  }
  return thread;
}

// Asking takes the same capability as setting.
Status NativeThread::IoFlusherAvailable() {
  if (::prctl(PR_GET_IO_FLUSHER, 0, 0, 0, 0) >= 0) return Status::Ok();
  if (errno == EPERM) return {ErrorCode::kPermissionDenied, "it takes CAP_SYS_RESOURCE"};
  if (errno == EINVAL) return {ErrorCode::kUnsupported, "it takes Linux 5.6 or newer"};
  return Status::FromErrno(errno, "ask for PR_GET_IO_FLUSHER");
}

NativeThread::NativeThread(std::string name, std::function<void()> body)
    : name_(std::move(name)), body_(std::move(body)) {}

NativeThread::~NativeThread() {
  CHECK(joined_);
}

void NativeThread::Join() {
  const int rc = pthread_join(thread_, nullptr);
  CHECK(rc == 0);
  joined_ = true;
}

void* NativeThread::Enter(void* self) {
  const auto& thread = *static_cast<NativeThread*>(self);
  if (!thread.name_.empty()) pthread_setname_np(pthread_self(), thread.name_.c_str());
  // Without it the thread works as well, but for a machine that is short of memory.
  (void)::prctl(PR_SET_IO_FLUSHER, 1, 0, 0, 0);
  thread.body_();
  return nullptr;
}

}  // namespace aurochs
