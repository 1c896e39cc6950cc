#include "support/replica_rig.h"

#include <utility>

#include "replica/copy_space.h"

namespace aurochs::test {
namespace {

CopySpace copy_space;  // Of the process, as in a host.

}  // namespace

std::string SnapshotId(const std::string& word) {
  return "snapshot-" + word;
}

ReplicaRig::ReplicaRig(bool blocking_inline, std::optional<EventLoop::Backend> backend)
    : thread_(LoopThread::Start(
                  {.name = "replica", .backend = backend, .blocking_inline = blocking_inline})
                  .value()) {}

ReplicaRig::~ReplicaRig() {
  if (is_open()) (void)Close();
}

template <typename T>
T ReplicaRig::Await(std::function<void(std::function<void(T)> done)> start) {
  auto promise = std::make_shared<std::promise<T>>();
  auto future = promise->get_future();
  thread_->loop().Post([promise, start = std::move(start)] {
    start([promise](T value) { promise->set_value(std::move(value)); });
  });
  return future.get();
}

Status ReplicaRig::Open(std::unique_ptr<Directory> directory, uint64_t epoch) {
  auto shared = std::make_shared<std::unique_ptr<Directory>>(std::move(directory));
  return Await<Status>([this, shared, epoch](std::function<void(Status)> done) {
    ReplicaDevice::Open(loop(), std::move(*shared), epoch,
                        [this, done](Result<std::unique_ptr<ReplicaDevice>> opened) {
                          if (opened.ok()) device_ = std::move(*opened);
                          done(opened.status());
                        });
  });
}

Status ReplicaRig::Close() {
  return Await<Status>([this](std::function<void(Status)> done) {
    device_->Close([this, done](Status status) {
      device_.reset();
      done(std::move(status));
    });
  });
}

void ReplicaRig::Forget() {
  thread_->RunAndWait([this] { device_.reset(); });
}

namespace {

struct Pending {
  IoRequest request;
  iovec piece{};
  std::function<void(ErrorCode)> done;
};

void CompletePending(IoRequest* request, ErrorCode result) {
  static_cast<Pending*>(request->owner)->done(result);
}

}  // namespace

ErrorCode ReplicaRig::Io(IoOp op, uint64_t offset_bytes, uint64_t length_bytes, bool fua,
                         bool keep_allocated) {
  Pending pending;
  pending.request.op = op;
  pending.request.fua = fua;
  pending.request.keep_allocated = keep_allocated;
  pending.request.extent = {offset_bytes, length_bytes};
  pending.request.complete = CompletePending;
  pending.request.owner = &pending;
  return Await<ErrorCode>([this, &pending](std::function<void(ErrorCode)> done) {
    pending.done = std::move(done);
    device_->Submit(&pending.request);
  });
}

ErrorCode ReplicaRig::Write(uint64_t offset_bytes, const std::vector<std::byte>& data, bool fua) {
  Pending pending;
  pending.piece = {const_cast<std::byte*>(data.data()), data.size()};
  pending.request.op = IoOp::kWrite;
  pending.request.fua = fua;
  pending.request.extent = {offset_bytes, data.size()};
  pending.request.iov = {&pending.piece, 1};
  pending.request.complete = CompletePending;
  pending.request.owner = &pending;
  return Await<ErrorCode>([this, &pending](std::function<void(ErrorCode)> done) {
    pending.done = std::move(done);
    device_->Submit(&pending.request);
  });
}

ErrorCode ReplicaRig::Fill(uint64_t offset_bytes, uint64_t length_bytes, uint8_t value) {
  return Write(offset_bytes, std::vector<std::byte>(length_bytes, std::byte{value}));
}

ErrorCode ReplicaRig::Unmap(uint64_t offset_bytes, uint64_t length_bytes) {
  return Io(IoOp::kUnmap, offset_bytes, length_bytes);
}

ErrorCode ReplicaRig::Flush() {
  return Io(IoOp::kFlush, 0, 0);
}

ErrorCode ReplicaRig::TryRead(uint64_t offset_bytes, std::vector<std::byte>* into) {
  Pending pending;
  pending.piece = {into->data(), into->size()};
  pending.request.op = IoOp::kRead;
  pending.request.extent = {offset_bytes, into->size()};
  pending.request.iov = {&pending.piece, 1};
  pending.request.complete = CompletePending;
  pending.request.owner = &pending;
  return Await<ErrorCode>([this, &pending](std::function<void(ErrorCode)> done) {
    pending.done = std::move(done);
    device_->Submit(&pending.request);
  });
}

std::vector<std::byte> ReplicaRig::Read(uint64_t offset_bytes, size_t count) {
  std::vector<std::byte> bytes(count, std::byte{0xee});
  CHECK(TryRead(offset_bytes, &bytes) == ErrorCode::kOk);
  return bytes;
}

Status ReplicaRig::Snapshot(const std::string& word) {
  return Await<Status>([this, word](std::function<void(Status)> done) {
    device_->TakeSnapshot(SnapshotId(word), word, 1'750'000'000'000, std::move(done));
  });
}

Status ReplicaRig::Revert(const std::string& word) {
  return Await<Status>([this, word](std::function<void(Status)> done) {
    device_->Revert(SnapshotId(word), std::move(done));
  });
}

Status ReplicaRig::DeleteRecorded(const std::string& word) {
  return Await<Status>([this, word](std::function<void(Status)> done) {
    device_->DeleteSnapshot(SnapshotId(word), std::move(done), {}, {});
  });
}

Status ReplicaRig::Delete(const std::string& word) {
  return Await<Status>([this, word](std::function<void(Status)> done) {
    auto recorded = [done](Status status) {
      if (!status.ok()) done(std::move(status));
    };
    device_->DeleteSnapshot(SnapshotId(word), recorded, done, {});
  });
}

Status ReplicaRig::Expand(uint64_t size_bytes) {
  return Await<Status>([this, size_bytes](std::function<void(Status)> done) {
    device_->Expand(size_bytes, std::move(done));
  });
}

std::future<Status> ReplicaRig::StartCopy(const std::string& word, OpenDisk open_disk,
                                          const std::string& name, uint64_t size_bytes,
                                          std::function<void(double)> progress) {
  auto promise = std::make_shared<std::promise<Status>>();
  SnapshotCopyTarget target{
      std::move(open_disk), name, {"volume-" + name, "replica-" + name, size_bytes}, &copy_space};
  loop().Post([this, promise, word, target, progress = std::move(progress)] {
    device_->CopySnapshot(
        SnapshotId(word), target,
        [promise](Status status) { promise->set_value(std::move(status)); }, progress);
  });
  return promise->get_future();
}

std::future<void> ReplicaRig::StartCancel(const std::string& name) {
  auto promise = std::make_shared<std::promise<void>>();
  loop().Post(
      [this, promise, name] { device_->CancelCopy(name, [promise] { promise->set_value(); }); });
  return promise->get_future();
}

Result<uint64_t> ReplicaRig::Hold(uint32_t deadline_ms) {
  return Await<Result<uint64_t>>(
      [this, deadline_ms](auto done) { device_->HoldWrites(deadline_ms, std::move(done)); });
}

bool ReplicaRig::Release(uint64_t hold) {
  return Await<bool>([this, hold](auto done) { done(device_->ReleaseWrites(hold)); });
}

std::future<ErrorCode> ReplicaRig::StartFill(uint64_t offset_bytes, uint64_t length_bytes,
                                             uint8_t value) {
  struct Fill : Pending {
    std::vector<std::byte> bytes;
  };
  auto fill = std::make_shared<Fill>();
  auto promise = std::make_shared<std::promise<ErrorCode>>();
  fill->bytes.assign(length_bytes, std::byte{value});
  fill->piece = {fill->bytes.data(), fill->bytes.size()};
  fill->request.op = IoOp::kWrite;
  fill->request.extent = {offset_bytes, length_bytes};
  fill->request.iov = {&fill->piece, 1};
  fill->request.complete = CompletePending;
  fill->request.owner = static_cast<Pending*>(fill.get());
  loop().Post([this, fill, promise] {
    fill->done = [this, fill, promise](ErrorCode result) {
      promise->set_value(result);
      loop().Post([fill] { fill->done = {}; });  // It holds itself until here.
    };
    device_->Submit(&fill->request);
  });
  return promise->get_future();
}

Result<ReplicaInfo> ReplicaRig::Describe() {
  return Await<Result<ReplicaInfo>>([this](std::function<void(Result<ReplicaInfo>)> done) {
    device_->Describe(std::move(done));
  });
}

std::string ReplicaRig::Diff(const std::string& older, const std::string& newer,
                             uint32_t runs_max) {
  std::string text;
  std::optional<uint64_t> offset_bytes = 0;
  while (offset_bytes.has_value()) {
    auto page = Await<Result<ReplicaDevice::DiffPage>>(
        [&](std::function<void(Result<ReplicaDevice::DiffPage>)> done) {
          device_->Diff(older.empty() ? "" : SnapshotId(older),
                        newer.empty() ? "" : SnapshotId(newer), *offset_bytes, runs_max,
                        std::move(done));
        });
    if (!page.ok()) return page.status().ToString();
    CHECK(page->runs.size() <= runs_max);
    for (const DiffRun& run : page->runs) {
      if (!text.empty()) text += ' ';
      text += run.state == AllocationState::kData ? 'd' : 'h';
      text +=
          std::to_string(run.extent.length_bytes) + "@" + std::to_string(run.extent.offset_bytes);
    }
    CHECK(!page->next_offset_bytes || *page->next_offset_bytes > *offset_bytes);
    offset_bytes = page->next_offset_bytes;
  }
  return text;
}

std::string ReplicaRig::Changes(const std::string& since, const Extent& extent, uint32_t runs_max) {
  struct PendingQuery {
    ChangeQuery query;
    std::function<void(ErrorCode)> done;
  } pending;
  pending.query.since = SnapshotId(since);
  pending.query.extent = extent;
  pending.query.runs_max = runs_max;
  pending.query.owner = &pending;
  pending.query.complete = [](ChangeQuery* query, ErrorCode result) {
    static_cast<PendingQuery*>(query->owner)->done(result);
  };
  const ErrorCode result = Await<ErrorCode>([&](std::function<void(ErrorCode)> done) {
    pending.done = std::move(done);
    device_->QueryChanges(&pending.query);
  });
  if (result != ErrorCode::kOk) return std::string(ErrorCodeName(result));
  std::string text;
  for (const ChangeRun& run : pending.query.runs) {
    text += (text.empty() ? "" : " ");
    text += std::string(1, "=dh"[static_cast<int>(run.state)]) + std::to_string(run.length_bytes);
  }
  return text;
}

std::string ReplicaRig::Allocation() {
  std::vector<AllocationRun> all;  // Answers may end anywhere; a run may go on in the next one.
  const uint64_t size_bytes = device_->info().size_bytes;
  for (uint64_t offset_bytes = 0; offset_bytes < size_bytes;) {
    struct PendingQuery {
      AllocationQuery query;
      std::function<void(ErrorCode)> done;
    } pending;
    pending.query.extent = {offset_bytes, size_bytes - offset_bytes};
    pending.query.runs_max = 1024;
    pending.query.owner = &pending;
    pending.query.complete = [](AllocationQuery* query, ErrorCode result) {
      static_cast<PendingQuery*>(query->owner)->done(result);
    };
    const ErrorCode result = Await<ErrorCode>([&](std::function<void(ErrorCode)> done) {
      pending.done = std::move(done);
      device_->Submit(&pending.query);
    });
    CHECK(result == ErrorCode::kOk && !pending.query.runs.empty());
    for (const AllocationRun& run : pending.query.runs) {
      if (all.empty() || all.back().state != run.state) all.push_back({0, run.state});
      all.back().length_bytes += run.length_bytes;
      offset_bytes += run.length_bytes;
    }
  }
  std::string text;
  for (const AllocationRun& run : all) {
    if (!text.empty()) text += ' ';
    text += (run.state == AllocationState::kData ? 'd' : 'h') + std::to_string(run.length_bytes);
  }
  return text;
}

}  // namespace aurochs::test
