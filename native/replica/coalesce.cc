#include "replica/coalesce.h"

#include <algorithm>
#include <utility>

#include "base/limits.h"
#include "base/log.h"
#include "replica/meta_steps.h"

namespace aurochs {
namespace {

constexpr std::string_view kComponent = "replica";
constexpr uint64_t kNoSpaceRetryMs = 30'000;
constexpr double kProgressGrain = 0.01;

Status StoppedStatus() {
  return {ErrorCode::kUnavailable, "the replica was closed; its merges go on when it is opened"};
}

}  // namespace

Coalescer::Coalescer(ReplicaCore& core)
    : core_(core), pace_(core, [this] { NextStep(); }), retry_(core.loop(), [this] { Begin(); }) {
  lock_.owner = this;
  lock_.on_granted = [](RangeLock::Holder* holder) {
    static_cast<Lock*>(holder)->owner->CopyLocked();
  };
}

Coalescer::~Coalescer() {
  CHECK(phase_ == Phase::kIdle || phase_ == Phase::kPaused || phase_ == Phase::kStopped);
}

void Coalescer::Watch(const std::string& id, std::function<void(Status)> merged,
                      std::function<void(double)> progress) {
  if (phase_ == Phase::kStopped) {
    if (merged) merged(StoppedStatus());
    return;
  }
  given_up_.erase(id);  // Asked for again, it is tried again.
  watchers_.insert({id, {std::move(merged), std::move(progress)}});
}

void Coalescer::Kick() {
  if (phase_ == Phase::kIdle || phase_ == Phase::kPaused) Begin();
}

void Coalescer::HoldBack(const std::vector<uint32_t>& layers) {
  held_back_.insert(layers.begin(), layers.end());
}

void Coalescer::LetGo(const std::vector<uint32_t>& layers) {
  for (const uint32_t layer : layers) held_back_.erase(held_back_.find(layer));
  Kick();
}

void Coalescer::Stop(std::function<void()> stopped) {
  stopped_ = std::move(stopped);
  if (phase_ == Phase::kIdle || phase_ == Phase::kPaused || phase_ == Phase::kResting) StopNow();
}

// True if it was asked to stop, and has.
bool Coalescer::StopNow() {
  if (!stopped_) return phase_ == Phase::kStopped;
  pace_.Cancel();
  retry_.Cancel();
  phase_ = Phase::kStopped;
  for (auto& [id, watcher] : std::exchange(watchers_, {})) {
    if (watcher.merged) {
      watcher.merged(
          {ErrorCode::kUnavailable, "the replica was closed; the merge goes on when it is opened"});
    }
  }
  std::exchange(stopped_, nullptr)();
  return true;
}

void Coalescer::TellAll(const Status& status) {
  for (auto& [id, watcher] : std::exchange(watchers_, {})) {
    if (watcher.merged) watcher.merged(status);
  }
}

// Layers nothing stands on come first: without them others may be left with one child.
const LayerMeta* Coalescer::PickLayer() const {
  const LayerMeta* mergeable = nullptr;
  std::map<uint32_t, size_t> children;
  for (const LayerMeta& layer : core_.meta().layers) ++children[layer.parent];
  for (const LayerMeta& layer : core_.meta().layers) {
    if (!layer.snapshot || !layer.snapshot->removing || given_up_.contains(layer.snapshot->id) ||
        held_back_.contains(layer.number)) {
      continue;
    }
    const size_t count = children[layer.number];
    if (count == 0) return &layer;
    if (count == 1 && mergeable == nullptr) mergeable = &layer;
  }
  return mergeable;
}

// Whether the tree still is as the plan takes it; snapshots and reverts may come between steps.
bool Coalescer::PlanHolds() const {
  const LayerMeta* layer = core_.meta().Find(plan_->layer);
  if (layer == nullptr || !layer->snapshot || layer->snapshot->id != plan_id_) return false;
  if (held_back_.contains(plan_->layer)) return false;
  const auto children = core_.meta().Children(plan_->layer);
  return children.size() == 1 && children[0] == plan_->child &&
         (plan_->direction == Direction::kUp || !ChildIsHead());
}

MergePair Coalescer::PairOf(const Plan& plan) const {
  return {core_.tree().Find(plan.layer), core_.tree().Find(plan.child),
          core_.meta().Find(plan.layer)->parent == 0};
}

void Coalescer::Begin() {
  retry_.Cancel();
  plan_.reset();
  if (StopNow()) return;
  phase_ = Phase::kIdle;
  if (core_.failed()) return TellAll(core_.FailedStatus());
  if (PickLayer() == nullptr) return;
  phase_ = Phase::kPreparing;
  core_.EnqueueLast([this](ReplicaCore::Finished finished) { Prepare(std::move(finished)); });
}

void Coalescer::Prepare(ReplicaCore::Finished finished) {
  const LayerMeta* layer = stopped_ || core_.failed() ? nullptr : PickLayer();
  if (layer == nullptr) {
    finished();
    Begin();
    return;
  }
  plan_id_ = layer->snapshot->id;
  const auto children = core_.meta().Children(layer->number);
  if (children.empty()) {
    CommitDrop(layer->number, std::move(finished));
  } else {
    PrepareFiles(layer->number, children[0], std::move(finished));
  }
}

void Coalescer::PrepareFiles(uint32_t layer, uint32_t child, ReplicaCore::Finished finished) {
  plan_ = Plan{layer, child, Direction::kUp, 0};
  const MergePair pair = PairOf(*plan_);
  auto direction = std::make_shared<Direction>(Direction::kUp);
  core_.Blocking(
      [pair, direction, live = ChildIsHead()] {
        if (live) return Status::Ok();
        auto layer_bytes = pair.layer->file->AllocatedBytes();
        auto child_bytes = pair.child->file->AllocatedBytes();
        if (!layer_bytes.ok()) return layer_bytes.status();
        if (!child_bytes.ok()) return child_bytes.status();
        if (*child_bytes < *layer_bytes) *direction = Direction::kDown;
        return Status::Ok();
      },
      [this, direction, finished = std::move(finished)](const Status& status) {
        plan_->direction = *direction;
        if (status.ok()) {
          PrepareZeroMap(finished);
        } else {
          Prepared(status, finished);
        }
      });
}

// The target needs a zero map to take over zeros from a source that has one.
void Coalescer::PrepareZeroMap(ReplicaCore::Finished finished) {
  const bool up = plan_->direction == Direction::kUp;
  const uint32_t source = up ? plan_->layer : plan_->child;
  const uint32_t target = up ? plan_->child : plan_->layer;
  auto then = [this, up, finished = std::move(finished)](const Status& ensured) {
    if (up || !ensured.ok()) return Prepared(ensured, finished);
    core_.Blocking([pair = PairOf(*plan_)] { return PrepareCopyDown(pair); },
                   [this, finished](const Status& status) { Prepared(status, finished); });
  };
  if (core_.meta().Find(source)->has_zero_map) {
    core_.EnsureZeroMap(target, std::move(then));
  } else {
    then(Status::Ok());
  }
}

void Coalescer::Prepared(const Status& status, const ReplicaCore::Finished& finished) {
  finished();
  if (!status.ok()) return Trouble(status);
  reported_ = 0;
  NextStep();
}

void Coalescer::NextStep() {
  if (StopNow()) return;
  phase_ = Phase::kCopying;
  core_.path().EnterWhenOpen([this] { StepInside(); });
}

void Coalescer::StepInside() {
  if (stopped_ || core_.failed() || !PlanHolds()) {
    core_.path().gate().Leave();
    return Begin();
  }
  const bool up = plan_->direction == Direction::kUp;
  const MergePair pair = PairOf(*plan_);
  const uint64_t source_bytes = (up ? pair.layer : pair.child)->size_bytes;
  if (plan_->at_bytes >= source_bytes) {
    core_.path().gate().Leave();
    return End();
  }
  step_.range = {plan_->at_bytes, std::min(kBackgroundStepBytes, source_bytes - plan_->at_bytes)};
  step_.copied.clear();
  pace_.Begin();
  // Of the layers, requests write to the head only.
  if (!ChildIsHead() || core_.path().range_lock().Acquire(&lock_, step_.range, true)) CopyLocked();
}

void Coalescer::CopyLocked() {
  const MergePair pair = PairOf(*plan_);
  pace_.Work(
      [this, pair, up = plan_->direction == Direction::kUp] {
        return up ? CopyUp(pair, &step_, &buffer_) : CopyDown(pair, &step_, &buffer_);
      },
      [this](const Status& status) { StepDone(status); });
}

void Coalescer::StepDone(const Status& status) {
  DataPath& path = core_.path();
  if (ChildIsHead()) {
    path.MarkHeadDirty();
    path.zero_sync().MarkDirty();
    for (const Extent& extent : step_.copied) {
      path.lookup().Update(extent, core_.tree().head().slot);
    }
    // A step that failed may have written a part of its range.
    if (!status.ok()) path.lookup().Invalidate(step_.range);
    path.range_lock().Release(&lock_);
  }
  path.gate().Leave();
  if (!status.ok()) return Trouble(status);
  plan_->at_bytes = step_.next_bytes;
  ReportProgress();
  phase_ = Phase::kResting;
  pace_.Rest();
}

void Coalescer::ReportProgress() {
  const uint64_t size_bytes = core_.meta().size_bytes();
  const double share =
      static_cast<double>(std::min(plan_->at_bytes, size_bytes)) / static_cast<double>(size_bytes);
  if (share - reported_ < kProgressGrain) return;
  reported_ = share;
  const auto [first, last] = watchers_.equal_range(plan_id_);
  for (auto at = first; at != last; ++at) {
    if (at->second.progress) at->second.progress(share);
  }
}

void Coalescer::End() {
  phase_ = Phase::kEnding;
  core_.EnqueueLast([this](ReplicaCore::Finished finished) {
    if (stopped_ || core_.failed() || !PlanHolds()) {
      finished();
      return Begin();
    }
    FlushTarget([this, finished = std::move(finished)](const Status& status) {
      if (status.ok()) return CommitMerge(finished);
      finished();
      Trouble(status);
    });
  });
}

// What the target holds has to be durable before the other layer goes. If the target is the head,
// so does all that was acknowledged: of a block that was written since the last flush, the layer
// that goes may hold the only durable version (D3).
void Coalescer::FlushTarget(std::function<void(Status)> then) {
  if (ChildIsHead()) {
    core_.path().Flush([this, then = std::move(then)](ErrorCode result) {
      then(result == ErrorCode::kOk ? Status::Ok() : core_.FailedStatus());
    });
    return;
  }
  const MergePair pair = PairOf(*plan_);
  Layer* target = plan_->direction == Direction::kUp ? pair.child : pair.layer;
  core_.Blocking([target] { return SyncLayer(*target); },
                 [this, then = std::move(then)](Status status) {
                   if (!status.ok()) core_.path().Fail();  // D4
                   then(std::move(status));
                 });
}

void Coalescer::CommitMerge(ReplicaCore::Finished finished) {
  auto next = std::make_shared<ReplicaMeta>(core_.meta());
  const bool up = plan_->direction == Direction::kUp;
  (up ? StepMergeUp : StepMergeDown)(next.get(), plan_->layer);
  auto leave = [this, finished](Status status, std::vector<std::unique_ptr<Layer>> dropped) {
    core_.path().Reopen();
    core_.DropLayers(std::move(dropped), [this, finished, status] {
      finished();
      if (!status.ok()) return Trouble(status);
      Ended(plan_id_, Status::Ok());
    });
  };
  core_.path().CloseGate([this, next, up, leave] {
    // Again, now that nothing is acknowledged any more; short, because it was just done.
    FlushTarget([this, next, up, leave](Status flushed) {
      if (!flushed.ok()) return leave(std::move(flushed), {});
      core_.Commit(next, [this, next, up, leave](Status committed) {
        if (!committed.ok()) return leave(std::move(committed), {});
        const MergePair pair = PairOf(*plan_);
        if (up) {
          core_.tree().AliasSlots(*pair.layer, *pair.child);
        } else {
          core_.tree().AliasSlots(*pair.child, *pair.layer);
        }
        leave(Status::Ok(), core_.AdoptTree(*next, nullptr, false));
      });
    });
  });
}

void Coalescer::CommitDrop(uint32_t layer, ReplicaCore::Finished finished) {
  auto next = std::make_shared<ReplicaMeta>(core_.meta());
  StepDropLeaf(next.get(), layer);
  core_.Commit(next, [this, next, finished = std::move(finished)](Status committed) {
    if (!committed.ok()) {
      finished();
      return Trouble(committed);
    }
    core_.path().CloseGate([this, next, finished] {  // A diff may be reading the layer.
      auto dropped = core_.AdoptTree(*next, nullptr, false);
      core_.path().Reopen();
      core_.DropLayers(std::move(dropped), [this, finished] {
        finished();
        Ended(plan_id_, Status::Ok());
      });
    });
  });
}

// Tells those who wait for snapshot `id`, and goes on with the next.
void Coalescer::Ended(const std::string& id, Status status) {
  std::vector<Watcher> told;
  const auto [first, last] = watchers_.equal_range(id);
  for (auto at = first; at != last; ++at) told.push_back(std::move(at->second));
  watchers_.erase(first, last);
  for (Watcher& watcher : told) {
    if (status.ok() && watcher.progress) watcher.progress(1);
    if (watcher.merged) watcher.merged(status);
  }
  Begin();
}

void Coalescer::Trouble(const Status& status) {
  Log(LogLevel::kWarn, kComponent,
      core_.name() + ": merging snapshot " + plan_id_ + ": " + status.ToString());
  if (status.code() == ErrorCode::kNoSpace) {
    plan_.reset();
    if (StopNow()) return;
    phase_ = Phase::kPaused;
    retry_.Start(kNoSpaceRetryMs);
    return;
  }
  const std::string id = plan_id_;
  given_up_.insert(id);
  Ended(id, status);
}

}  // namespace aurochs
