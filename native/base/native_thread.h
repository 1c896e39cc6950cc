// A thread that takes no signals, has a name, and whose start may fail: a machine or a container
// can run out of threads, which std::thread answers with an exception.
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
