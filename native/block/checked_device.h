// Asserts the contract of BlockDevice on both sides of the device below it: a submitter that asks
// for what it should have validated, and a device that completes twice, never, or with an answer
// out of form, stop the process with the place.
//
// Thread:    the device's loop.
// Ownership: does not own `inner`, which must outlive it.
#pragma once

#include <cstddef>
#include <deque>
#include <vector>

#include "block/block_device.h"

namespace aurochs {

class CheckedDevice : public BlockDevice {
 public:
  explicit CheckedDevice(BlockDevice& inner);
  ~CheckedDevice() override;  // CHECKs that nothing is in flight.
  CheckedDevice(const CheckedDevice&) = delete;
  CheckedDevice& operator=(const CheckedDevice&) = delete;

  const DeviceInfo& info() const override { return inner_.info(); }
  void Submit(IoRequest* request) override;
  void Submit(AllocationQuery* query) override;

  size_t in_flight() const { return in_flight_; }

 private:
  // What goes to the inner device in place of the submitter's request. Records are reused oldest
  // first, so that a late second completion most likely finds its record idle.
  struct Tracked {
    CheckedDevice* device = nullptr;
    IoRequest inner;
    IoRequest* original = nullptr;  // nullptr: idle
  };
  struct TrackedQuery {
    CheckedDevice* device = nullptr;
    AllocationQuery inner;
    AllocationQuery* original = nullptr;
  };

  void CheckRequest(const IoRequest& request) const;
  static void OnComplete(IoRequest* inner, ErrorCode result);
  static void OnQueryComplete(AllocationQuery* inner, ErrorCode result);

  BlockDevice& inner_;
  uint64_t observer_id_;
  std::deque<Tracked> records_;  // Never shrinks; addresses are stable.
  std::deque<Tracked*> idle_;
  std::deque<TrackedQuery> query_records_;  // As above.
  std::deque<TrackedQuery*> idle_queries_;
  size_t in_flight_ = 0;
};

}  // namespace aurochs
