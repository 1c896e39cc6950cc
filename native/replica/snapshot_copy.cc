#include "replica/snapshot_copy.h"

#include <algorithm>
#include <utility>

#include "base/limits.h"
#include "base/log.h"
#include "replica/meta_steps.h"

namespace aurochs {
namespace {

constexpr double kProgressGrain = 0.01;

}  // namespace

SnapshotCopy::SnapshotCopy(ReplicaCore& core, Coalescer& coalescer, std::string snapshot_id,
                           SnapshotCopyTarget target, std::function<void(double)> progress,
                           ReplicaCore::Done ended)
    : core_(core),
      coalescer_(coalescer),
      snapshot_id_(std::move(snapshot_id)),
      target_(std::move(target)),
      progress_(std::move(progress)),
      ended_(std::move(ended)),
      pace_(core, [this] { NextStep(); }) {}

SnapshotCopy::~SnapshotCopy() {
  CHECK(phase_ == Phase::kEnded);
}

void SnapshotCopy::Start() {
  // As a command, so that no merge is committing.
  const bool queued = core_.Enqueue([this](auto finished) { HoldLayers(finished); });
  if (queued) return;
  core_.loop().Post([this] {
    End({ErrorCode::kBusy, "too many commands wait for this replica; try again later"});
  });
}

void SnapshotCopy::HoldLayers(const ReplicaCore::Finished& finished) {
  finished();
  if (Status stop = WhyStop(); !stop.ok()) return End(std::move(stop));
  auto layer = FindLivingSnapshot(core_.meta(), snapshot_id_);
  if (!layer.ok()) return End(layer.status());
  size_bytes_ = (*layer)->size_bytes;
  if (target_.options.size_bytes < size_bytes_) {
    return End({ErrorCode::kInvalidArgument, "a copy of snapshot " + snapshot_id_ +
                                                 " has at least its " +
                                                 std::to_string(size_bytes_) + " bytes"});
  }
  path_ = core_.tree().PathOf((*layer)->number);
  held_layers_ = core_.meta().PathDown((*layer)->number);
  coalescer_.HoldBack(held_layers_);
  RunPhase(
      Phase::kPreparing, [this] { return MakeDraft(); }, [this] { NextStep(); });
}

// On a worker.
Status SnapshotCopy::MakeDraft() {
  auto disk = target_.open_disk();
  if (!disk.ok()) return disk.status();
  disk_ = std::move(*disk);
  auto allocated = AllocatedBytes();
  if (!allocated.ok()) return allocated.status();
  auto free = disk_->FreeBytes();
  if (!free.ok()) return free.status();
  auto draft = ReplicaDraft::Begin(*disk_, target_.name, target_.options);
  if (draft.ok()) draft_ = std::move(*draft);
  const bool fits = *allocated <= *free;
  if (fits || (!draft.ok() && draft.status().code() != ErrorCode::kNoSpace)) return draft.status();
  // It still fits if it takes no space of its own, which only trying tells.
  if (draft.ok()) {
    auto shares = CanShareExtents();
    if (!shares.ok()) return shares.status();
    if (*shares) return Status::Ok();
  }
  return {ErrorCode::kNoSpace, "a copy of snapshot " + snapshot_id_ + " takes up to " +
                                   std::to_string(*allocated) + " bytes; below " + disk_->path() +
                                   " " + std::to_string(*free) + " are free"};
}

// What the copy takes at most.
Result<uint64_t> SnapshotCopy::AllocatedBytes() const {
  uint64_t sum_bytes = 0;
  for (const Layer* layer : path_) {
    auto bytes = layer->file->AllocatedBytes();
    if (!bytes.ok()) return bytes.status();
    sum_bytes += *bytes;
  }
  return std::min(sum_bytes, size_bytes_);
}

// Whether the draft can share extents with the source: tried with one block, which is a hole again
// afterwards.
Result<bool> SnapshotCopy::CanShareExtents() {
  File& head = *draft_->head().file;
  for (Layer* layer : path_) {
    auto data = layer->file->NextData(0, layer->size_bytes);
    if (!data.ok()) return data.status();
    if (!data->has_value()) continue;
    const uint64_t block_bytes = AlignDown((*data)->offset_bytes, kBlockBytes);
    const bool shared = head.CloneRangeFrom(*layer->file, block_bytes, kBlockBytes).ok();
    if (Status punched = head.PunchHole(block_bytes, kBlockBytes); !punched.ok()) return punched;
    return shared;
  }
  return true;  // There is nothing to copy.
}

// Runs `work` on a worker, and `then` unless the copy has to end.
void SnapshotCopy::RunPhase(Phase phase, std::function<Status()> work, std::function<void()> then) {
  CHECK(phase > phase_);
  phase_ = phase;
  core_.Blocking(std::move(work), [this, then = std::move(then)](Status status) {
    if (status.ok()) status = WhyStop();
    if (!status.ok()) return Undo(std::move(status));
    then();
  });
}

Status SnapshotCopy::WhyStop() const {
  if (cancelled_) {
    return {ErrorCode::kAborted,
            "the copy to " + target_.name + " was cancelled, or its source was closed"};
  }
  return core_.failed() ? core_.FailedStatus() : Status::Ok();
}

void SnapshotCopy::NextStep() {
  phase_ = Phase::kCopying;
  if (Status stop = WhyStop(); !stop.ok()) return Undo(std::move(stop));
  if (at_bytes_ >= size_bytes_) return Sync();
  step_.range = {at_bytes_, std::min(kBackgroundStepBytes, size_bytes_ - at_bytes_)};
  step_.copied.clear();
  pace_.Begin();
  pace_.Work([this] { return CopyChain(path_, draft_->head(), &step_, &buffer_); },
             [this](Status status) { StepDone(std::move(status)); });
}

void SnapshotCopy::StepDone(Status status) {
  if (!status.ok()) return Undo(std::move(status));
  at_bytes_ = step_.next_bytes;
  ReportProgress();
  pace_.Rest();
}

void SnapshotCopy::ReportProgress() {
  const double share =
      static_cast<double>(std::min(at_bytes_, size_bytes_)) / static_cast<double>(size_bytes_);
  const uint64_t now_ms = core_.loop().now_ms();
  if (share - reported_ < kProgressGrain || now_ms - reported_at_ms_ < kCopyProgressMsMin) return;
  reported_ = share;
  reported_at_ms_ = now_ms;
  if (progress_) progress_(share);
}

void SnapshotCopy::Sync() {
  RunPhase(
      Phase::kSyncing, [this] { return SyncLayer(draft_->head()); }, [this] { Publish(); });
}

void SnapshotCopy::Publish() {
  auto publish = [this] {
    Status status = draft_->Publish();
    published_ = status.ok();
    draft_.reset();
    return status;
  };
  RunPhase(Phase::kPublishing, publish, [this] {
    if (progress_) progress_(1);
    End(Status::Ok());
  });
}

void SnapshotCopy::Undo(Status why) {
  phase_ = Phase::kUndoing;
  auto undo = [this] {
    draft_.reset();
    return published_ ? RemoveReplica(*disk_, target_.name) : Status::Ok();
  };
  core_.Blocking(undo, [this, why = std::move(why)](const Status& undone) {
    if (!undone.ok()) {
      Log(LogLevel::kWarn, "replica",
          core_.name() + ": a copy that was to go stays: " + undone.ToString());
    }
    End(why);
  });
}

void SnapshotCopy::End(Status status) {
  phase_ = Phase::kEnded;
  coalescer_.LetGo(held_layers_);
  auto ended = std::exchange(ended_, nullptr);
  ended(std::move(status));
}

}  // namespace aurochs
