#include <utility>

#include "replica/data_ops.h"
#include "replica/iov_slice.h"

namespace aurochs {

WriteOp::WriteOp(DataPath& path) : path_(path) {
  write_.kind = FileOp::Kind::kWrite;
  write_.op = lock_.op = waiter_.op = this;
  lock_.on_granted = [](RangeLock::Holder* holder) { static_cast<Lock*>(holder)->op->OnLocked(); };
  waiter_.complete = [](RegionLookup::Waiter* waiter, ErrorCode result) {
    WriteOp* op = static_cast<RegionWaiter*>(waiter)->op;
    if (result == ErrorCode::kOk) {
      op->PrepareEdges();
    } else {
      op->End(result);
    }
  };
}

void WriteOp::Start(IoRequest* request) {
  request_ = request;
  locked_ = false;
  layered_ = !path_.tree().single();
  if (!layered_) {
    Write(request->iov, request->extent);
    return;
  }
  const Extent& extent = request->extent;
  blocks_.offset_bytes = AlignDown(extent.offset_bytes, kBlockBytes);
  blocks_.length_bytes = AlignUp(extent.end_bytes(), kBlockBytes) - blocks_.offset_bytes;
  const uint64_t last_block = blocks_.end_bytes() - kBlockBytes;
  const bool first_partial = blocks_.offset_bytes != extent.offset_bytes;
  const bool last_partial = blocks_.end_bytes() != extent.end_bytes();
  const bool one_block = last_block == blocks_.offset_bytes;
  edges_[0].block_bytes = blocks_.offset_bytes;
  edges_[0].partial = first_partial || (one_block && last_partial);
  edges_[1].block_bytes = last_block;
  edges_[1].partial = last_partial && !one_block;

  if (path_.range_lock().Acquire(&lock_, blocks_, !PartialEdgesInHead())) OnLocked();
}

// Whether the head is known to hold every block that the request writes a part of; it can then be
// written in place.
bool WriteOp::PartialEdgesInHead() const {
  for (const Edge& edge : edges_) {
    if (!edge.partial) continue;
    const uint64_t region = edge.block_bytes / kRegionBytes;
    if (!path_.lookup().Has(region)) return false;
    const auto block = static_cast<uint32_t>(edge.block_bytes % kRegionBytes / kBlockBytes);
    if (!path_.HeldByHead(path_.lookup().RunAt(region, block, block + 1).source)) return false;
  }
  return true;
}

void WriteOp::OnLocked() {
  locked_ = true;
  if (PartialEdgesInHead()) {
    Write(request_->iov, request_->extent);
    return;
  }
  if (!lock_.exclusive) {  // The head gave the block back while this waited.
    locked_ = false;
    path_.range_lock().Release(&lock_);
    if (path_.range_lock().Acquire(&lock_, blocks_, true)) OnLocked();
    return;
  }
  for (Edge& edge : edges_) edge.rebuilt = false;
  preparing_ = 0;
  PrepareEdges();
}

void WriteOp::PrepareEdges() {
  for (; preparing_ < edges_.size(); ++preparing_) {
    if (edges_[preparing_].partial && !PrepareEdge(edges_[preparing_])) return;
  }
  AssembleAndWrite();
}

// True if `edge` is ready; false if PrepareEdges goes on once more is known.
bool WriteOp::PrepareEdge(Edge& edge) {
  const uint64_t region = edge.block_bytes / kRegionBytes;
  if (!path_.lookup().Has(region)) {
    path_.lookup().Load(region, &waiter_);
    return false;
  }
  const auto block = static_cast<uint32_t>(edge.block_bytes % kRegionBytes / kBlockBytes);
  const LayerSlot source = path_.lookup().RunAt(region, block, block + 1).source;
  if (path_.HeldByHead(source)) return true;

  edge.rebuilt = true;
  if (edge.content == nullptr) {
    edge.content = std::make_unique<std::array<std::byte, kBlockBytes>>();
    edge.iov = {edge.content->data(), kBlockBytes};
  }
  if (source == kSlotZeros) {
    edge.content->fill(std::byte{0});
    return true;
  }
  File* file = path_.tree().InSlot(source).file.get();
  const std::span<const iovec> into(&edge.iov, 1);
  if (file->TryReadV(into, edge.block_bytes)) return true;
  write_.kind = FileOp::Kind::kRead;
  write_.file = file;
  write_.iov = into;
  write_.offset_bytes = edge.block_bytes;
  write_.length_bytes = kBlockBytes;
  write_.complete = [](FileOp* op, ErrorCode result) {
    static_cast<HeadWrite*>(op)->op->EdgeRead(result);
  };
  path_.loop().SubmitFileOp(&write_);
  return false;
}

void WriteOp::EdgeRead(ErrorCode result) {
  if (result != ErrorCode::kOk) {
    End(result);
    return;
  }
  ++preparing_;
  PrepareEdges();
}

// Writes [rebuilt first block][what lies between][rebuilt last block] in one operation.
void WriteOp::AssembleAndWrite() {
  const Extent& wanted = request_->extent;
  Extent extent = wanted;
  iov_.clear();
  uint64_t between_start = wanted.offset_bytes;
  uint64_t between_end = wanted.end_bytes();
  for (Edge& edge : edges_) {
    if (!edge.partial || !edge.rebuilt) continue;
    const uint64_t from = std::max(wanted.offset_bytes, edge.block_bytes);
    const uint64_t to = std::min(wanted.end_bytes(), edge.block_bytes + kBlockBytes);
    CopyOut(request_->iov, from - wanted.offset_bytes,
            std::span(*edge.content).subspan(from - edge.block_bytes, to - from));
    const bool first = &edge == &edges_[0];
    if (first) between_start = to;
    if (!first) between_end = from;
    const uint64_t end = std::max(extent.end_bytes(), edge.block_bytes + kBlockBytes);
    extent.offset_bytes = std::min(extent.offset_bytes, edge.block_bytes);
    extent.length_bytes = end - extent.offset_bytes;
  }
  if (edges_[0].partial && edges_[0].rebuilt) iov_.push_back(edges_[0].iov);
  AppendSlice(request_->iov, between_start - wanted.offset_bytes, between_end - between_start,
              &iov_);
  if (edges_[1].partial && edges_[1].rebuilt) iov_.push_back(edges_[1].iov);
  if (iov_.size() > kIovecsMax) {
    gathered_.resize(extent.length_bytes);
    CopyOut(iov_, 0, gathered_);
    iov_.assign(1, {gathered_.data(), gathered_.size()});
  }
  Write(iov_, extent);
}

void WriteOp::Write(std::span<const iovec> iov, const Extent& extent) {
  write_.kind = FileOp::Kind::kWrite;
  write_.file = path_.tree().head().file.get();
  write_.iov = iov;
  write_.offset_bytes = extent.offset_bytes;
  write_.length_bytes = extent.length_bytes;
  write_.complete = [](FileOp* op, ErrorCode result) {
    static_cast<HeadWrite*>(op)->op->OnWritten(result);
  };
  path_.loop().SubmitFileOp(&write_);
}

void WriteOp::OnWritten(ErrorCode result) {
  path_.MarkHeadDirty();  // Also when it failed: it may have written a part.
  if (layered_) {
    if (result == ErrorCode::kOk) {
      path_.lookup().Update(blocks_, path_.tree().head().slot);
    } else {
      path_.lookup().Invalidate(blocks_);
    }
  }
  End(result);
}

void WriteOp::End(ErrorCode result) {
  if (locked_) path_.range_lock().Release(&lock_);
  if (!gathered_.empty()) gathered_ = {};
  IoRequest* request = std::exchange(request_, nullptr);
  DataPath& path = path_;
  path.Give(this);
  path.Finish(request, result);
}

}  // namespace aurochs
