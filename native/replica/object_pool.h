// Objects that are used again instead of allocated anew, so that the steady state of a data path
// allocates nothing. Keeps as many as were ever in use together, which the frontends bound.
//
// Thread: one.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "base/check.h"

namespace aurochs {

template <typename T>
class ObjectPool {
 public:
  ~ObjectPool() { CHECK(free_.size() == all_.size()); }

  template <typename... Args>
  T* Take(Args&&... args) {
    if (free_.empty()) {
      all_.push_back(std::make_unique<T>(std::forward<Args>(args)...));
      free_.reserve(all_.size());
      return all_.back().get();
    }
    T* taken = free_.back();
    free_.pop_back();
    return taken;
  }
  void Give(T* object) { free_.push_back(object); }

 private:
  std::vector<std::unique_ptr<T>> all_;
  std::vector<T*> free_;
};

}  // namespace aurochs
