#include "block/checked_device.h"

#include "base/check.h"
#include "base/limits.h"

namespace aurochs {
namespace {

bool MovesData(IoOp op) {
  return op == IoOp::kRead || op == IoOp::kWrite;
}

template <typename Query>
void CheckRuns(const Query& query, uint32_t logical_block_bytes) {
  CHECK(!query.runs.empty());
  CHECK(query.runs.size() <= query.runs_max);
  uint64_t length_bytes = 0;
  for (size_t i = 0; i < query.runs.size(); ++i) {
    CHECK(query.runs[i].length_bytes > 0);
    CHECK(IsAligned(query.runs[i].length_bytes, logical_block_bytes));
    if (i > 0) CHECK(query.runs[i].state != query.runs[i - 1].state);
    length_bytes += query.runs[i].length_bytes;
  }
  CHECK(length_bytes <= query.extent.length_bytes);
}

// Takes the oldest idle record, or a new one.
template <typename Record>
Record* TakeRecord(std::deque<Record>& records, std::deque<Record*>& idle) {
  if (idle.empty()) return &records.emplace_back();
  Record* record = idle.front();
  idle.pop_front();
  return record;
}

}  // namespace

CheckedDevice::CheckedDevice(BlockDevice& inner)
    : inner_(inner),
      observer_id_(inner.AddInfoObserver([this](const DeviceInfo&) { NotifyInfoChanged(); })) {}

CheckedDevice::~CheckedDevice() {
  CHECK(in_flight_ == 0);
  inner_.RemoveInfoObserver(observer_id_);
}

void CheckedDevice::CheckRequest(const IoRequest& request) const {
  CHECK(request.complete != nullptr);
  if (request.op != IoOp::kRead) CHECK(!info().read_only || request.op == IoOp::kFlush);
  if (request.op == IoOp::kFlush) {
    CHECK(request.iov.empty());
    return;
  }
  if (request.op == IoOp::kUnmap) CHECK(info().can_unmap);
  CheckExtent(request.extent);
  if (!MovesData(request.op)) {
    CHECK(request.iov.empty());
    return;
  }
  CHECK(request.extent.length_bytes <= kRequestBytesMax);
  CHECK(request.iov.size() <= kIovecsMax);
  uint64_t length_bytes = 0;
  for (const iovec& piece : request.iov) {
    CHECK(piece.iov_base != nullptr || piece.iov_len == 0);
    length_bytes += piece.iov_len;
  }
  CHECK(length_bytes == request.extent.length_bytes);
}

void CheckedDevice::CheckExtent(const Extent& extent) const {
  CHECK(extent.length_bytes > 0);
  CHECK(IsAligned(extent.offset_bytes, info().logical_block_bytes));
  CHECK(IsAligned(extent.length_bytes, info().logical_block_bytes));
  CHECK(Contains(extent));
}

template <typename Query>
void CheckedDevice::CheckQuery(const Query& query) const {
  CHECK(query.complete != nullptr);
  CHECK(query.runs_max > 0);
  CheckExtent(query.extent);
}

template <typename Asked>
Asked* CheckedDevice::Track(Asked* original) {
  auto& ledger = std::get<Ledger<Asked>>(ledgers_);
  Tracked<Asked>* record = TakeRecord(ledger.records, ledger.idle);
  record->device = this;
  record->original = original;
  record->inner = *original;
  if constexpr (requires { original->next; }) record->inner.next = nullptr;
  record->inner.complete = &OnComplete<Asked>;
  record->inner.owner = record;
  ++in_flight_;
  return &record->inner;
}

template <typename Asked>
void CheckedDevice::OnComplete(Asked* inner, ErrorCode result) {
  auto* record = static_cast<Tracked<Asked>*>(inner->owner);
  CHECK(record->original != nullptr);  // Otherwise this is the second completion.
  Asked* original = record->original;
  CheckedDevice* device = record->device;
  if constexpr (requires { inner->runs; }) {
    if (result == ErrorCode::kOk) CheckRuns(*inner, device->info().logical_block_bytes);
    original->runs = std::move(inner->runs);
  }
  record->original = nullptr;
  std::get<Ledger<Asked>>(device->ledgers_).idle.push_back(record);
  --device->in_flight_;
  original->complete(original, result);
}

void CheckedDevice::Submit(IoRequest* request) {
  CheckRequest(*request);
  inner_.Submit(Track(request));
}

void CheckedDevice::Submit(AllocationQuery* query) {
  CheckQuery(*query);
  inner_.Submit(Track(query));
}

void CheckedDevice::QueryChanges(ChangeQuery* query) {
  CheckQuery(*query);
  CHECK(!query->since.empty());
  inner_.QueryChanges(Track(query));
}

}  // namespace aurochs
