#include "replica/data_path.h"

#include <utility>

#include "replica/data_ops.h"
#include "replica/iov_slice.h"
#include "replica/layer_runs.h"

namespace aurochs {
namespace {

bool ChangesData(const IoRequest& request) {
  return request.op != IoOp::kRead && request.op != IoOp::kFlush;
}

}  // namespace

struct DataPath::Pools {
  ObjectPool<ReadOp> reads;
  ObjectPool<WriteOp> writes;
  ObjectPool<ZeroOp> zeros;
  ObjectPool<FlushOp> flushes;
};

DataPath::DataPath(EventLoop& loop, LayerTree& tree, std::function<void()> need_zero_map,
                   std::function<void()> failed)
    : loop_(loop),
      tree_(tree),
      need_zero_map_(std::move(need_zero_map)),
      on_failed_(std::move(failed)),
      lookup_(loop, gate_, tree),
      head_sync_(loop, [this] { Fail(); }),
      zero_sync_(loop, [this] { Fail(); }),
      pools_(std::make_unique<Pools>()) {
  TreeChanged(true);
}

DataPath::~DataPath() {
  CHECK(gate_.inside() == 0);
  CHECK(held_requests_.first == nullptr && held_queries_.first == nullptr);
  CHECK(held_writes_.first == nullptr);
  CHECK(waiting_for_zero_map_.first == nullptr);
}

void DataPath::Submit(IoRequest* request) {
  ++requests_started_;
  if (request->op != IoOp::kFlush) {
    const uint64_t size_bytes = tree_.head().size_bytes;
    const Extent& extent = request->extent;
    if (extent.length_bytes == 0 || extent.length_bytes > size_bytes ||
        extent.offset_bytes > size_bytes - extent.length_bytes) {
      request->complete(request,
                        extent.length_bytes == 0 ? ErrorCode::kOk : ErrorCode::kOutOfRange);
      return;
    }
  }
  // Before the gate is looked at, so that held writes keep their order whatever it does.
  if (writes_held_ && ChangesData(*request)) {
    held_writes_.Push(request);
    return;
  }
  if (gate_.closed()) {
    held_requests_.Push(request);
    return;
  }
  if (request->op == IoOp::kRead && TryReadInline(*request)) {
    request->complete(request, ErrorCode::kOk);
    return;
  }
  if (MustWaitForZeroMap(*request)) {
    const bool first = waiting_for_zero_map_.first == nullptr;
    waiting_for_zero_map_.Push(request);
    if (first) need_zero_map_();
    return;
  }
  gate_.Enter();
  Start(request);
}

// Whether all of the read is in memory and was copied from there. Most reads end here.
bool DataPath::TryReadInline(const IoRequest& request) {
  const Extent& extent = request.extent;
  if (tree_.single()) return tree_.head().file->TryReadV(request.iov, extent.offset_bytes);
  const uint64_t region = extent.offset_bytes / kRegionBytes;
  if ((extent.end_bytes() - 1) / kRegionBytes != region || !lookup_.Has(region)) return false;
  const uint64_t start = region * kRegionBytes;
  const auto end_block =
      static_cast<uint32_t>((AlignUp(extent.end_bytes(), kBlockBytes) - start) / kBlockBytes);
  const BlockMap::Run run = lookup_.RunAt(
      region, static_cast<uint32_t>((extent.offset_bytes - start) / kBlockBytes), end_block);
  if (run.end_block < end_block) return false;
  if (run.source != kSlotZeros) {
    return tree_.InSlot(run.source).file->TryReadV(request.iov, extent.offset_bytes);
  }
  FillWithZeros(request.iov, 0, extent.length_bytes);
  return true;
}

// A request that makes zeros where a layer below may hold data needs the head's zero map. It waits
// outside the gate, because making one needs the gate to drain.
bool DataPath::MustWaitForZeroMap(const IoRequest& request) const {
  const bool makes_zeros =
      request.op == IoOp::kUnmap || (request.op == IoOp::kWriteZeroes && !request.keep_allocated);
  return makes_zeros && !tree_.single() && tree_.head().zero_map == nullptr && !failed_;
}

void DataPath::Start(IoRequest* request) {
  if (failed_ && request->op != IoOp::kRead) {
    Answer(request, ErrorCode::kIo);
    return;
  }
  switch (request->op) {
    case IoOp::kRead: pools_->reads.Take(*this)->Start(request); return;
    case IoOp::kWrite: pools_->writes.Take(*this)->Start(request); return;
    case IoOp::kWriteZeroes:
    case IoOp::kUnmap: pools_->zeros.Take(*this)->Start(request); return;
    case IoOp::kFlush: {
      FlushOp* op = pools_->flushes.Take(*this);
      op->request = request;
      SyncThen(op);
      return;
    }
  }
  Unreachable("DataPath::Start");
}

void DataPath::StartInside(IoRequest* part) {
  gate_.Enter();
  Start(part);
}

void DataPath::Finish(IoRequest* request, ErrorCode result) {
  if (result != ErrorCode::kOk || !request->fua) {
    Answer(request, result);
    return;
  }
  FlushOp* op = pools_->flushes.Take(*this);
  op->request = request;
  SyncThen(op);
}

void DataPath::Answer(IoRequest* request, ErrorCode result) {
  request->complete(request, result);
  gate_.Leave();
}

void DataPath::Submit(AllocationQuery* query) {
  if (gate_.closed()) {
    held_queries_.Push(query);
    return;
  }
  gate_.Enter();
  auto result = std::make_shared<Status>();
  loop_.RunBlocking([this, query, result] { *result = QueryAllocation(tree_.path(), query); },
                    [this, query, result] { FinishQuery(query, result->code()); });
}

void DataPath::FinishQuery(AllocationQuery* query, ErrorCode result) {
  query->complete(query, result);
  gate_.Leave();
}

void DataPath::Flush(std::function<void(ErrorCode)> done) {
  FlushOp* op = pools_->flushes.Take(*this);
  op->done = std::move(done);
  SyncThen(op);
}

// First the zero map, then the data: see docs/replica-format.md, "Flush".
void DataPath::SyncThen(FlushOp* op) {
  zero_sync_.Sync(&op->zeros_waiter_);
}

FlushOp::FlushOp(DataPath& path) : path_(path) {
  zeros_waiter_.op = head_waiter_.op = this;
  zeros_waiter_.complete = [](SharedSync::Waiter* waiter, ErrorCode result) {
    FlushOp* op = static_cast<Waiter*>(waiter)->op;
    if (result != ErrorCode::kOk) {
      op->End(result);
    } else {
      op->path_.head_sync_.Sync(&op->head_waiter_);
    }
  };
  head_waiter_.complete = [](SharedSync::Waiter* waiter, ErrorCode result) {
    static_cast<Waiter*>(waiter)->op->End(result);
  };
}

void FlushOp::End(ErrorCode result) {
  IoRequest* answered = std::exchange(request, nullptr);
  auto called = std::exchange(done, nullptr);
  path_.pools_->flushes.Give(this);
  if (answered != nullptr) {
    path_.Answer(answered, result);
  } else {
    called(result);
  }
}

void DataPath::Reopen() {
  gate_.Open();
  SubmitAll(held_requests_);
  for (AllocationQuery* query = held_queries_.TakeAll(); query != nullptr;) {
    AllocationQuery* next = query->next;
    Submit(query);
    query = next;
  }
  for (auto& enter : std::exchange(held_entries_, {})) EnterWhenOpen(std::move(enter));
}

// Also those that cannot go on yet and wait for something else.
void DataPath::SubmitAll(Queue<IoRequest>& held) {
  for (IoRequest* request = held.TakeAll(); request != nullptr;) {
    IoRequest* next = request->next;
    Submit(request);
    request = next;
  }
}

void DataPath::HoldWrites() {
  CHECK(!writes_held_ && gate_.inside() == 0);
  writes_held_ = true;
}

void DataPath::LetWritesGo() {
  CHECK(writes_held_);
  writes_held_ = false;
  SubmitAll(held_writes_);
}

void DataPath::EnterWhenOpen(std::function<void()> enter) {
  if (gate_.closed()) {
    held_entries_.push_back(std::move(enter));
    return;
  }
  gate_.Enter();
  enter();
}

void DataPath::TreeChanged(bool forget_map) {
  // A file that was just opened may hold what a killed process had acknowledged but not synced.
  head_sync_.Bind(tree_.head().file.get(), true);
  ZeroMap* zero_map = tree_.head().zero_map.get();
  zero_sync_.Bind(zero_map != nullptr ? &zero_map->file() : nullptr, true);
  if (forget_map || tree_.single()) lookup_.Clear();
}

void DataPath::ZeroMapDecided(const Status& status) {
  if (status.ok()) return SubmitAll(waiting_for_zero_map_);
  for (IoRequest* request = waiting_for_zero_map_.TakeAll(); request != nullptr;) {
    IoRequest* next = request->next;
    request->complete(request, status.code());
    request = next;
  }
}

void DataPath::Fail() {
  if (std::exchange(failed_, true)) return;
  on_failed_();
}

void DataPath::Give(ReadOp* op) {
  pools_->reads.Give(op);
}
void DataPath::Give(WriteOp* op) {
  pools_->writes.Give(op);
}
void DataPath::Give(ZeroOp* op) {
  pools_->zeros.Give(op);
}

}  // namespace aurochs
