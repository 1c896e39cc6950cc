#include "block/fault_device.h"

#include <utility>

#include "base/check.h"

namespace aurochs {
namespace {

FaultDevice::Match MatchOp(IoOp op) {
  return [op](const IoRequest& request) { return request.op == op; };
}

}  // namespace

FaultDevice::FaultDevice(BlockDevice& inner)
    : inner_(inner),
      observer_id_(inner.AddInfoObserver([this](const DeviceInfo&) { NotifyInfoChanged(); })) {}

FaultDevice::~FaultDevice() {
  CHECK(delayed_.empty());
  inner_.RemoveInfoObserver(observer_id_);
}

void FaultDevice::Submit(IoRequest* request) {
  for (Fault& fault : faults_) {
    if (fault.times_left == 0 || !fault.match(*request)) continue;
    if (fault.times_left != kAlways) --fault.times_left;
    if (fault.delay) {
      delayed_.push_back(request);
    } else {
      request->complete(request, fault.result);
    }
    return;
  }
  inner_.Submit(request);
}

void FaultDevice::Submit(AllocationQuery* query) {
  if (query_result_ != ErrorCode::kOk) {
    query->complete(query, query_result_);
    return;
  }
  inner_.Submit(query);
}

void FaultDevice::QueryChanges(ChangeQuery* query) {
  if (query_result_ != ErrorCode::kOk) {
    query->complete(query, query_result_);
    return;
  }
  inner_.QueryChanges(query);
}

void FaultDevice::FailMatching(Match match, ErrorCode result, uint64_t times) {
  faults_.push_back({std::move(match), false, result, times});
}

void FaultDevice::FailAll(IoOp op, ErrorCode result, uint64_t times) {
  FailMatching(MatchOp(op), result, times);
}

void FaultDevice::DelayMatching(Match match, uint64_t times) {
  faults_.push_back({std::move(match), true, ErrorCode::kOk, times});
}

void FaultDevice::DelayAll(IoOp op, uint64_t times) {
  DelayMatching(MatchOp(op), times);
}

void FaultDevice::ClearFaults() {
  faults_.clear();
  query_result_ = ErrorCode::kOk;
}

IoRequest* FaultDevice::TakeDelayed(size_t index) {
  CHECK(index < delayed_.size());
  IoRequest* request = delayed_[index];
  delayed_.erase(delayed_.begin() + static_cast<ptrdiff_t>(index));
  return request;
}

void FaultDevice::Release(size_t index) {
  inner_.Submit(TakeDelayed(index));
}

void FaultDevice::Fail(size_t index, ErrorCode result) {
  IoRequest* request = TakeDelayed(index);
  request->complete(request, result);
}

void FaultDevice::ReleaseAll() {
  for (size_t left = delayed_.size(); left > 0; --left) Release(0);
}

}  // namespace aurochs
