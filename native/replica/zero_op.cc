#include <algorithm>
#include <utility>

#include "replica/data_ops.h"

namespace aurochs {
namespace {

constexpr uint64_t kPunchPartBytes = 1 * kGiB;  // 32 KiB of the zero map
constexpr uint64_t kZeroWritePartBytes = 4 * kMiB;
constexpr size_t kZeroBufferBytes = 64 * kKiB;

static_assert(kZeroWritePartBytes / kZeroBufferBytes <= kIovecsMax);

alignas(kBlockBytes) constinit std::array<std::byte, kZeroBufferBytes> g_zeros{};

}  // namespace

ZeroOp::ZeroOp(DataPath& path) : path_(path) {
  punch_.kind = FileOp::Kind::kPunchHole;
  punch_.op = lock_.op = sync_waiter_.op = this;
  punch_.complete = [](FileOp* op, ErrorCode result) {
    static_cast<Punch*>(op)->op->OnPunched(result);
  };
  lock_.on_granted = [](RangeLock::Holder* holder) { static_cast<Lock*>(holder)->op->OnLocked(); };
  sync_waiter_.complete = [](SharedSync::Waiter* waiter, ErrorCode result) {
    static_cast<SyncWaiter*>(waiter)->op->PunchHead(result);
  };
  write_.op = IoOp::kWrite;
  write_.owner = this;
  write_.complete = [](IoRequest* request, ErrorCode result) {
    static_cast<ZeroOp*>(request->owner)->PartDone(result);
  };
}

void ZeroOp::Start(IoRequest* request) {
  request_ = request;
  part_ = {request->extent.offset_bytes, 0};
  NextPart();
}

void ZeroOp::NextPart() {
  const uint64_t left_bytes = request_->extent.end_bytes() - part_.offset_bytes;
  if (left_bytes == 0) {
    IoRequest* request = std::exchange(request_, nullptr);
    DataPath& path = path_;
    path.Give(this);
    path.Finish(request, ErrorCode::kOk);
    return;
  }
  if (request_->keep_allocated) {
    WritePart(std::min(left_bytes, kZeroWritePartBytes));
    return;
  }
  const uint64_t to_block_end = kBlockBytes - part_.offset_bytes % kBlockBytes;
  if (to_block_end != kBlockBytes || left_bytes < kBlockBytes) {
    WritePart(std::min(left_bytes, to_block_end));
    return;
  }
  part_.length_bytes = std::min(AlignDown(left_bytes, kBlockBytes), kPunchPartBytes);
  if (path_.tree().single()) {
    PunchHead(ErrorCode::kOk);
  } else if (path_.range_lock().Acquire(&lock_, part_, true)) {
    OnLocked();
  }
}

void ZeroOp::WritePart(uint64_t length_bytes) {
  part_.length_bytes = length_bytes;
  zeros_.clear();
  for (uint64_t done = 0; done < length_bytes; done += kZeroBufferBytes) {
    zeros_.push_back({g_zeros.data(), std::min<uint64_t>(kZeroBufferBytes, length_bytes - done)});
  }
  write_.extent = part_;
  write_.iov = zeros_;
  path_.StartInside(&write_);
}

// With layers below: the bits come first, and are durable before data of the head goes, so that a
// power cut cannot bring back what a layer below holds (D3).
void ZeroOp::OnLocked() {
  path_.loop().RunBlocking(
      [this] {
        Layer& head = path_.tree().head();
        bits_status_ =
            head.zero_map->Set(part_.offset_bytes / kBlockBytes, part_.length_bytes / kBlockBytes);
        if (!bits_status_.ok()) return;
        auto data = head.file->NextData(part_.offset_bytes, part_.end_bytes());
        bits_status_ = data.status();
        head_holds_data_ = data.ok() && data->has_value();
      },
      [this] { OnBitsSet(); });
}

void ZeroOp::OnBitsSet() {
  path_.zero_sync().MarkDirty();
  if (!bits_status_.ok()) {
    OnPunched(bits_status_.code());
  } else if (head_holds_data_) {
    path_.zero_sync().Sync(&sync_waiter_);
  } else {
    OnPunched(ErrorCode::kOk);
  }
}

void ZeroOp::PunchHead(ErrorCode before) {
  if (before != ErrorCode::kOk) {
    OnPunched(before);
    return;
  }
  punch_.file = path_.tree().head().file.get();
  punch_.offset_bytes = part_.offset_bytes;
  punch_.length_bytes = part_.length_bytes;
  path_.loop().SubmitFileOp(&punch_);
}

void ZeroOp::OnPunched(ErrorCode result) {
  path_.MarkHeadDirty();
  if (!path_.tree().single()) {
    if (result == ErrorCode::kOk) {
      path_.lookup().Update(part_, kSlotZeros);
    } else {
      path_.lookup().Invalidate(part_);
    }
    path_.range_lock().Release(&lock_);
  }
  PartDone(result);
}

void ZeroOp::PartDone(ErrorCode result) {
  if (result != ErrorCode::kOk) {
    IoRequest* request = std::exchange(request_, nullptr);
    DataPath& path = path_;
    path.Give(this);
    path.Finish(request, result);
    return;
  }
  part_ = {part_.end_bytes(), 0};
  NextPart();
}

}  // namespace aurochs
