// Keeps commands that must not be interrupted (COMPARE AND WRITE, ORWRITE) apart from others on the
// same blocks. Commands enter in the order of arrival. An exclusive one waits for those before it
// that overlap; those behind it that overlap wait for it. Without exclusive ones nobody waits, and
// entering costs two pointers.
//
// Thread: the unit's loop.
#pragma once

#include "base/check.h"
#include "block/extent.h"

namespace aurochs::scsi {

class RangeGate {
 public:
  struct Entry {
    Extent extent;
    bool exclusive = false;
    void* owner = nullptr;  // for whoever enters

    // For the gate.
    Entry* previous = nullptr;
    Entry* next = nullptr;
    bool inside = false;
    bool waiting = false;
  };

  ~RangeGate() { CHECK(first_ == nullptr); }

  // True: `entry` may start. False: it waits, and TakeStartable hands it out later.
  bool Enter(Entry* entry);
  void Leave(Entry* entry);

  bool has_waiting() const { return waiting_ > 0; }
  // The oldest waiting entry that may start now; nullptr if there is none.
  Entry* TakeStartable();

 private:
  bool Blocked(const Entry* entry) const;

  Entry* first_ = nullptr;  // in the order of arrival
  Entry* last_ = nullptr;
  unsigned exclusive_ = 0;
  unsigned waiting_ = 0;
};

}  // namespace aurochs::scsi
