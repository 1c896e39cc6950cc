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

// On a worker. Nothing but an empty draft is written before there is room for all of it.
Status SnapshotCopy::MakeDraft() {
  auto disk = target_.open_disk();
  if (!disk.ok()) return disk.status();
  disk_ = std::move(*disk);
  auto draft = ReplicaDraft::Begin(*disk_, target_.name, target_.options);
  if (!draft.ok()) return draft.status();
  draft_ = std::move(*draft);
  auto shares = CanShareExtents();
  if (!shares.ok()) return shares.status();
  return *shares ? Status::Ok() : ClaimSpace();
}

// Whether the draft can share extents with the source, and so takes no space of its own: only
// trying tells. Tried with one block, which is a hole again afterwards.
Result<bool> SnapshotCopy::CanShareExtents() {
  File& head = *draft_->head().file;
  const Status cloned = head.CloneRangeFrom(*path_.front()->file, 0, kBlockBytes);
  if (MustCopy(cloned)) return false;
  RETURN_IF_ERROR(cloned);
  RETURN_IF_ERROR(head.PunchHole(0, kBlockBytes));
  return true;
}

Status SnapshotCopy::ClaimSpace() {
  auto most_bytes = AllocatedBytes();
  if (!most_bytes.ok()) return most_bytes.status();
  auto claim = target_.space->Take(*disk_, *most_bytes);
  if (claim.ok()) {
    claim_ = std::move(*claim);
    return Status::Ok();
  }
  return {claim.status().code(),
          "a copy of snapshot " + snapshot_id_ + ": " + claim.status().message()};
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
  ShrinkClaim();
  ReportProgress();
  pace_.Rest();
}

// What was written is no longer free; what is left cannot be more than the rest of the snapshot.
void SnapshotCopy::ShrinkClaim() {
  if (claim_ == nullptr) return;
  uint64_t left_bytes = claim_->bytes();
  for (const Extent& copied : step_.copied) {
    left_bytes -= std::min(left_bytes, copied.length_bytes);
  }
  claim_->ShrinkTo(std::min(left_bytes, size_bytes_ - std::min(at_bytes_, size_bytes_)));
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
  claim_.reset();
  coalescer_.LetGo(held_layers_);
  auto ended = std::exchange(ended_, nullptr);
  ended(std::move(status));
}

}  // namespace aurochs
