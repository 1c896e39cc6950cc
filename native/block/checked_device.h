// Asserts the contract of BlockDevice on both sides of the device below it: a submitter that asks
// for what it should have validated, and a device that completes twice, never, or with an answer
// out of form, stop the process with the place.
//
// Thread:    the device's loop.
// Ownership: does not own `inner`, which must outlive it.
#pragma once

#include <cstddef>
#include <deque>
#include <tuple>

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
  std::shared_ptr<const SnapshotNames> snapshots() const override { return inner_.snapshots(); }
  void QueryChanges(ChangeQuery* query) override;

  size_t in_flight() const { return in_flight_; }

 private:
  // What goes to the inner device in place of the submitter's request. Records are reused oldest
  // first, so that a late second completion most likely finds its record idle.
  template <typename Asked>
  struct Tracked {
    CheckedDevice* device = nullptr;
    Asked inner;
    Asked* original = nullptr;  // nullptr: idle
  };
  template <typename Asked>
  struct Ledger {
    std::deque<Tracked<Asked>> records;  // Never shrinks; addresses are stable.
    std::deque<Tracked<Asked>*> idle;
  };

  void CheckRequest(const IoRequest& request) const;
  void CheckExtent(const Extent& extent) const;
  template <typename Query>
  void CheckQuery(const Query& query) const;
  template <typename Asked>
  Asked* Track(Asked* original);
  template <typename Asked>
  static void OnComplete(Asked* inner, ErrorCode result);

  BlockDevice& inner_;
  uint64_t observer_id_;
  std::tuple<Ledger<IoRequest>, Ledger<AllocationQuery>, Ledger<ChangeQuery>> ledgers_;
  size_t in_flight_ = 0;
};

}  // namespace aurochs
