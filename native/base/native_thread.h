// A thread that takes no signals, has a name, and whose start may fail: a machine or a container
// can run out of threads, which std::thread answers with an exception.
//
// Every thread started here works for block devices that this machine itself may write dirty memory
// to. It is an I/O flusher where the kernel allows it (prctl(2), PR_SET_IO_FLUSHER): an allocation
// of its own never waits for such a device, which would wait for the thread.
//
// Thread: the owner's, who joins it before it is destroyed.
#pragma once

#include <pthread.h>

#include <functional>
#include <memory>
#include <string>

#include "base/status.h"

namespace aurochs {

class NativeThread {
 public:
  // `name` has at most 15 characters; empty: the starting thread's name.
  static Result<std::unique_ptr<NativeThread>> Start(std::string name, std::function<void()> body);
  // Whether threads started here are I/O flushers, and if not, why.
  static Status IoFlusherAvailable();
  ~NativeThread();
  NativeThread(const NativeThread&) = delete;
  NativeThread& operator=(const NativeThread&) = delete;

  void Join();

 private:
  NativeThread(std::string name, std::function<void()> body);
  static void* Enter(void* self);

  const std::string name_;
  const std::function<void()> body_;
  pthread_t thread_{};
  bool joined_ = false;
};

}  // namespace aurochs
