// Order between requests that change overlapping blocks. Plain writes are shared: they may overlap.
// What has to read before it writes (a part of a block, a merge's copy) or gives space back is
// exclusive. First come, first served, so nobody starves.
//
// Costs a plain write two pointers while nothing exclusive is about.
//
// Thread: the replica's loop.
#pragma once

#include <cstdint>

#include "block/extent.h"

namespace aurochs {

class RangeLock {
 public:
  struct Holder {
    void (*on_granted)(Holder* holder) = nullptr;

    // For the lock, from Acquire to Release.
    Extent extent;
    bool exclusive = false;
    bool granted = false;
    Holder* before = nullptr;
    Holder* after = nullptr;
    Holder* next_ready = nullptr;
  };

  ~RangeLock();

  // True: granted. False: `on_granted` is called once it is.
  bool Acquire(Holder* holder, const Extent& extent, bool exclusive);
  void Release(Holder* holder);

 private:
  bool MustWait(const Holder& holder) const;
  void GrantWaiting();
  void Unlink(Holder* holder);

  Holder* first_ = nullptr;  // oldest
  Holder* last_ = nullptr;
  uint32_t exclusive_count_ = 0;
  uint32_t waiting_count_ = 0;
  Holder* ready_first_ = nullptr;  // granted but not yet told
  Holder* ready_last_ = nullptr;
  bool telling_ = false;
};

}  // namespace aurochs
