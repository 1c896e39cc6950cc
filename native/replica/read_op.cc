#include "replica/data_ops.h"
#include "replica/iov_slice.h"

namespace aurochs {
namespace {

// Segments whose memory an operation keeps for its next read; one of many runs gives it back.
constexpr size_t kSegmentsKept = 64;

}  // namespace

void ReadOp::Start(IoRequest* request) {
  request_ = request;
  found_until_bytes_ = request->extent.offset_bytes;
  result_ = ErrorCode::kOk;
  if (path_.tree().single()) {
    AddSegment(&path_.tree().head(), request->extent.end_bytes());
    ReadSegments();
    return;
  }
  waiter_.op = this;
  waiter_.complete = [](RegionLookup::Waiter* waiter, ErrorCode result) {
    ReadOp* op = static_cast<RegionWaiter*>(waiter)->op;
    if (result == ErrorCode::kOk) {
      op->FindSegments();
    } else {
      op->reading_ = 1;
      op->SegmentDone(result);
    }
  };
  FindSegments();
}

void ReadOp::FindSegments() {
  const uint64_t end = request_->extent.end_bytes();
  while (found_until_bytes_ < end) {
    const uint64_t region = found_until_bytes_ / kRegionBytes;
    if (!path_.lookup().Has(region)) {
      path_.lookup().Load(region, &waiter_);
      return;
    }
    const uint64_t start = region * kRegionBytes;
    const uint64_t stop = std::min(end, start + kRegionBytes);
    const BlockMap::Run run = path_.lookup().RunAt(
        region, static_cast<uint32_t>((found_until_bytes_ - start) / kBlockBytes),
        static_cast<uint32_t>((AlignUp(stop, kBlockBytes) - start) / kBlockBytes));
    Layer* layer = run.source == kSlotZeros ? nullptr : &path_.tree().InSlot(run.source);
    AddSegment(layer, std::min(stop, start + uint64_t{run.end_block} * kBlockBytes));
  }
  ReadSegments();
}

void ReadOp::AddSegment(Layer* layer, uint64_t end_bytes) {
  if (segments_.empty() || segments_.back().layer != layer) {
    Segment& segment = segments_.emplace_back();
    segment.kind = FileOp::Kind::kRead;
    segment.op = this;
    segment.layer = layer;
    segment.file = layer != nullptr ? layer->file.get() : nullptr;
    segment.offset_bytes = found_until_bytes_;
    segment.complete = [](FileOp* op, ErrorCode result) {
      static_cast<Segment*>(op)->op->SegmentDone(result);
    };
  }
  segments_.back().length_bytes = end_bytes - segments_.back().offset_bytes;
  found_until_bytes_ = end_bytes;
}

void ReadOp::ReadSegments() {
  // Each cut adds a piece; no growth below, for the segments keep spans of this.
  slices_.reserve(request_->iov.size() + segments_.size());
  reading_ = 1;  // This function, until it has handed out all segments.
  for (Segment& segment : segments_) {
    const uint64_t skip_bytes = segment.offset_bytes - request_->extent.offset_bytes;
    if (segment.layer == nullptr) {
      FillWithZeros(request_->iov, skip_bytes, segment.length_bytes);
      continue;
    }
    const size_t first_slice = slices_.size();
    AppendSlice(request_->iov, skip_bytes, segment.length_bytes, &slices_);
    segment.iov = std::span(slices_).subspan(first_slice);
    // A single layer was asked already, before this operation was needed.
    const bool worth_trying = segments_.size() > 1;
    if (worth_trying && segment.file->TryReadV(segment.iov, segment.offset_bytes)) continue;
    ++reading_;
    path_.loop().SubmitFileOp(&segment);
  }
  SegmentDone(ErrorCode::kOk);
}

void ReadOp::SegmentDone(ErrorCode result) {
  if (result != ErrorCode::kOk) result_ = result;
  if (--reading_ > 0) return;
  IoRequest* request = request_;
  const ErrorCode answer = result_;
  if (segments_.size() > kSegmentsKept) {
    segments_ = {};
    slices_ = {};
  }
  segments_.clear();
  slices_.clear();
  DataPath& path = path_;
  path.Give(this);
  path.Finish(request, answer);
}

}  // namespace aurochs
