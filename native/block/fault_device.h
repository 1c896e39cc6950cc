// Fails or holds back chosen requests of the device below, under the control of a test.
//
// Thread:    the device's loop.
// Ownership: does not own `inner`, which must outlive it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <limits>
#include <vector>

#include "block/block_device.h"

namespace aurochs {

class FaultDevice : public BlockDevice {
 public:
  using Match = std::function<bool(const IoRequest& request)>;
  static constexpr uint64_t kAlways = std::numeric_limits<uint64_t>::max();

  explicit FaultDevice(BlockDevice& inner);
  ~FaultDevice() override;  // CHECKs that nothing is held back.
  FaultDevice(const FaultDevice&) = delete;
  FaultDevice& operator=(const FaultDevice&) = delete;

  const DeviceInfo& info() const override { return inner_.info(); }
  void Submit(IoRequest* request) override;
  void Submit(AllocationQuery* query) override;
  std::shared_ptr<const SnapshotNames> snapshots() const override { return inner_.snapshots(); }
  void QueryChanges(ChangeQuery* query) override;

  // The next `times` requests that match fail with `result` and do not reach the inner device.
  // Faults are tried in the order in which they were added.
  void FailMatching(Match match, ErrorCode result, uint64_t times = kAlways);
  void FailAll(IoOp op, ErrorCode result, uint64_t times = kAlways);
  void FailQueries(ErrorCode result) { query_result_ = result; }
  // The next `times` requests that match wait here, before they have any effect.
  void DelayMatching(Match match, uint64_t times = kAlways);
  void DelayAll(IoOp op, uint64_t times = kAlways);
  // Forgets the faults; what is held back stays so.
  void ClearFaults();

  // Requests held back, in the order of arrival.
  const std::deque<IoRequest*>& delayed() const { return delayed_; }
  // Hands a held-back request to the inner device, or fails it.
  void Release(size_t index = 0);
  void Fail(size_t index, ErrorCode result);
  // Those held back now; what they cause to be submitted may wait again.
  void ReleaseAll();

 private:
  struct Fault {
    Match match;
    bool delay = false;
    ErrorCode result = ErrorCode::kOk;
    uint64_t times_left = 0;
  };

  IoRequest* TakeDelayed(size_t index);

  BlockDevice& inner_;
  uint64_t observer_id_;
  std::vector<Fault> faults_;
  std::deque<IoRequest*> delayed_;
  ErrorCode query_result_ = ErrorCode::kOk;
};

}  // namespace aurochs
