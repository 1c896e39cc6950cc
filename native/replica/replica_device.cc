#include "replica/replica_device.h"

#include <algorithm>
#include <utility>

#include "base/limits.h"
#include "base/log.h"
#include "replica/coalesce.h"
#include "replica/layer_runs.h"
#include "replica/lost_data.h"
#include "replica/meta_steps.h"
#include "replica/replica_core.h"
#include "replica/replica_create.h"
#include "replica/snapshot_copies.h"
#include "replica/write_hold.h"

namespace aurochs {
namespace {

class OpenedReplica final : public ReplicaDevice {
 public:
  OpenedReplica(EventLoop& loop, std::unique_ptr<Directory> directory,
                std::unique_ptr<DirectoryLock> lock, std::unique_ptr<LayerTree> tree)
      : core_(loop, std::move(directory), std::move(lock), std::move(tree)),
        coalescer_(core_),
        copies_(core_, coalescer_),
        hold_(core_) {
    info_.size_bytes = core_.meta().size_bytes();
    (void)RefreshSnapshots();
    coalescer_.Kick();
  }

  const DeviceInfo& info() const override { return info_; }
  void Submit(IoRequest* request) override { core_.path().Submit(request); }
  void Submit(AllocationQuery* query) override { core_.path().Submit(query); }
  std::shared_ptr<const SnapshotNames> snapshots() const override { return snapshots_; }
  void QueryChanges(ChangeQuery* query) override;

  void TakeSnapshot(std::string id, std::string name, uint64_t created_unix_ms,
                    Done done) override {
    SnapshotMeta snapshot{std::move(id), std::move(name), created_unix_ms, false};
    Run(std::move(done), [this, snapshot = std::move(snapshot)](Done end) {
      auto next = std::make_shared<ReplicaMeta>(core_.meta());
      Status allowed = StepSnapshot(next.get(), snapshot);
      if (!allowed.ok()) return end(std::move(allowed));
      ReplaceHead(std::move(next), true, std::move(end));
    });
  }

  void Revert(std::string id, Done done) override {
    Run(std::move(done), [this, id = std::move(id)](Done end) {
      if (hold_.on()) return end(HeldStatus());
      auto next = std::make_shared<ReplicaMeta>(core_.meta());
      Status allowed = StepRevert(next.get(), id);
      if (!allowed.ok()) return end(std::move(allowed));
      ReplaceHead(std::move(next), false, std::move(end));
    });
  }

  void DeleteSnapshot(std::string id, Done done, Done merged,
                      std::function<void(double)> progress) override;
  void Expand(uint64_t size_bytes, Done done) override;
  void Diff(std::string older, std::string newer, uint64_t offset_bytes, uint32_t runs_max,
            std::function<void(Result<DiffPage>)> done) override;
  void Describe(std::function<void(Result<ReplicaInfo>)> done) override;
  void CopySnapshot(std::string id, SnapshotCopyTarget target, Done done,
                    std::function<void(double)> progress) override {
    copies_.Start(std::move(id), std::move(target), std::move(done), std::move(progress));
  }
  void CancelCopy(const std::string& name, std::function<void()> ended) override {
    copies_.Cancel(name, std::move(ended));
  }
  void HoldWrites(uint32_t deadline_ms, std::function<void(Result<uint64_t>)> done) override;
  bool ReleaseWrites(uint64_t hold) override { return hold_.Release(hold); }
  bool failed() const override { return core_.failed(); }
  void OnFailure(std::function<void()> failed) override { core_.OnFailure(std::move(failed)); }
  void BeginClose() override {
    hold_.Forbid();
    copies_.CancelAll();
  }
  void Close(Done done) override;

 private:
  using Step = std::function<void(Done end)>;

  Status UsableStatus() const;
  static Status HeldStatus() {
    return {ErrorCode::kBusy, "the volume's writes are held; wait until they are released"};
  }
  void Run(Done done, Step step);
  void ReplaceHead(std::shared_ptr<ReplicaMeta> next, bool flush, Done end);
  void SwitchHead(std::shared_ptr<ReplicaMeta> next, bool flush,
                  std::shared_ptr<std::unique_ptr<Layer>> added, Done end);
  void GrowHead(uint64_t size_bytes, std::shared_ptr<ReplicaMeta> next, Done end);
  bool RefreshSnapshots();
  void DiffWithin(std::string older, std::string newer, const Extent& extent, uint32_t runs_max,
                  std::function<void(Result<DiffPage>)> done);
  void CommitGrowth(std::shared_ptr<ReplicaMeta> next, Done undo, Done end);
  Result<DiffSides> SidesOf(const std::string& older, const std::string& newer) const;

  ReplicaCore core_;
  Coalescer coalescer_;
  SnapshotCopies copies_;
  WriteHold hold_;
  DeviceInfo info_;
  std::shared_ptr<const SnapshotNames> snapshots_;
  bool closing_ = false;
};

Status OpenedReplica::UsableStatus() const {
  if (closing_) return {ErrorCode::kUnavailable, "the replica is being closed"};
  return Status::Ok();
}

// Runs `step` as a command; `done` hears what it ended with.
void OpenedReplica::Run(Done done, Step step) {
  if (Status usable = UsableStatus(); !usable.ok()) {
    core_.loop().Post([done = std::move(done), usable] { done(usable); });
    return;
  }
  const bool queued = core_.Enqueue([this, done, step = std::move(step)](auto finished) {
    auto end = [this, done, finished](Status status) {
      finished();
      coalescer_.Kick();
      if (RefreshSnapshots()) NotifyInfoChanged();
      done(std::move(status));
    };
    if (core_.failed()) return end(core_.FailedStatus());
    step(end);
  });
  if (!queued) {
    core_.loop().Post([done = std::move(done)] {
      done({ErrorCode::kBusy, "too many commands wait for this replica; try again later"});
    });
  }
}

// Puts an empty head in place of the one there is. The new file is made before the barrier, and
// what a snapshot freezes is flushed once outside it, so that requests wait as short as can be.
void OpenedReplica::ReplaceHead(std::shared_ptr<ReplicaMeta> next, bool flush, Done end) {
  auto added = std::make_shared<std::unique_ptr<Layer>>();
  auto create = [this, next, added] {
    auto layer = CreateLayer(core_.directory(), next->head, next->size_bytes());
    if (!layer.ok()) return layer.status();
    *added = std::move(*layer);
    return core_.directory().Sync();
  };
  core_.Blocking(create, [this, next, added, flush, end](Status created) {
    if (!created.ok()) {
      core_.DropLayers({}, [end, created] { end(created); });
    } else if (flush) {
      core_.path().Flush([this, next, added, end](ErrorCode result) {
        if (result == ErrorCode::kOk) return SwitchHead(next, true, added, end);
        added->reset();
        core_.DropLayers({}, [this, end] { end(core_.FailedStatus()); });
      });
    } else {
      SwitchHead(next, false, added, end);
    }
  });
}

void OpenedReplica::SwitchHead(std::shared_ptr<ReplicaMeta> next, bool flush,
                               std::shared_ptr<std::unique_ptr<Layer>> added, Done end) {
  auto leave = [this, end](Status status, std::vector<std::unique_ptr<Layer>> dropped) {
    core_.path().Reopen();
    core_.DropLayers(std::move(dropped), [end, status] { end(status); });
  };
  auto commit = [this, next, flush, added, leave](ErrorCode flushed) {
    if (flushed != ErrorCode::kOk) {
      added->reset();
      return leave(core_.FailedStatus(), {});
    }
    core_.Commit(next, [this, next, flush, added, leave](Status committed) {
      if (!committed.ok()) {
        added->reset();
        return leave(std::move(committed), {});
      }
      leave(Status::Ok(), core_.AdoptTree(*next, std::move(*added), !flush));
    });
  };
  core_.path().CloseGate([this, flush, commit] {
    if (flush) {
      core_.path().Flush(commit);
    } else {
      commit(ErrorCode::kOk);
    }
  });
}

void OpenedReplica::DeleteSnapshot(std::string id, Done done, Done merged,
                                   std::function<void(double)> progress) {
  Run(std::move(done), [this, id = std::move(id), merged = std::move(merged),
                        progress = std::move(progress)](Done end) {
    auto next = std::make_shared<ReplicaMeta>(core_.meta());
    Status allowed = StepMarkRemoving(next.get(), id);
    if (allowed.ok() && !coalescer_.CanWatch()) {
      allowed = {ErrorCode::kBusy, "too many wait for merges of this replica; try again later"};
    }
    if (!allowed.ok()) return end(std::move(allowed));
    core_.Commit(next, [this, next, id, merged, progress, end](Status committed) {
      if (committed.ok()) {
        core_.tree().UpdateMeta(*next);
        coalescer_.Watch(id, merged, progress);
      }
      end(std::move(committed));
    });
  });
}

void OpenedReplica::Expand(uint64_t size_bytes, Done done) {
  Run(std::move(done), [this, size_bytes](Done end) {
    auto next = std::make_shared<ReplicaMeta>(core_.meta());
    Status allowed = StepExpand(next.get(), size_bytes);
    if (!allowed.ok() || size_bytes == info_.size_bytes) return end(std::move(allowed));
    GrowHead(size_bytes, std::move(next), std::move(end));
  });
}

// The head's files grow first and are flushed as any of its writes are: a sync of theirs that fails
// has lost those too (D4).
void OpenedReplica::GrowHead(uint64_t size_bytes, std::shared_ptr<ReplicaMeta> next, Done end) {
  auto resize = [this](uint64_t to_bytes) {
    const Layer& head = core_.tree().head();
    RETURN_IF_ERROR(head.file->Truncate(to_bytes));
    if (head.zero_map == nullptr) return Status::Ok();
    return head.zero_map->file().Truncate(ZeroMap::FileBytes(to_bytes));
  };
  // Nothing was written past the old end, so a failure is undone by cutting back.
  auto undo = [this, resize, end](Status why) {
    core_.Blocking([this, resize] { return resize(info_.size_bytes); },
                   [end, why](const Status&) { end(why); });
  };
  auto grow = [this, resize, size_bytes] {
    Status grown = resize(size_bytes);
    if (grown.code() != ErrorCode::kOutOfRange) return grown;
    return TooLargeForFileSystem(core_.directory(), size_bytes);
  };
  core_.Blocking(grow, [this, next, undo, end](Status grown) {
    core_.path().MarkHeadDirty();
    core_.path().zero_sync().MarkDirty();
    if (!grown.ok()) return undo(std::move(grown));
    core_.path().Flush([this, next, undo, end](ErrorCode flushed) {
      if (flushed != ErrorCode::kOk) return end(core_.FailedStatus());
      CommitGrowth(next, undo, end);
    });
  });
}

void OpenedReplica::CommitGrowth(std::shared_ptr<ReplicaMeta> next, Done undo, Done end) {
  core_.Commit(next, [this, next, undo = std::move(undo), end = std::move(end)](Status committed) {
    if (core_.failed()) return end(std::move(committed));
    if (!committed.ok()) return undo(std::move(committed));
    core_.path().CloseGate([this, next, end] {
      (void)core_.AdoptTree(*next, nullptr, false);
      info_.size_bytes = next->size_bytes();
      core_.path().Reopen();
      NotifyInfoChanged();
      end(Status::Ok());
    });
  });
}

void OpenedReplica::Diff(std::string older, std::string newer, uint64_t offset_bytes,
                         uint32_t runs_max, std::function<void(Result<DiffPage>)> done) {
  if (Status usable = UsableStatus(); !usable.ok()) {
    core_.loop().Post([done = std::move(done), usable] { done(usable); });
    return;
  }
  DiffWithin(std::move(older), std::move(newer), {offset_bytes, UINT64_MAX - offset_bytes},
             runs_max, std::move(done));
}

void OpenedReplica::QueryChanges(ChangeQuery* query) {
  DiffWithin(query->since, "", query->extent, query->runs_max, [query](Result<DiffPage> page) {
    if (page.ok()) FillChanges(*page, query);
    // What is being removed is no snapshot any more.
    const ErrorCode result = page.status().code();
    query->complete(query,
                    result == ErrorCode::kFailedPrecondition ? ErrorCode::kNotFound : result);
  });
}

// The differences in `extent`, which may lead out of the volume.
void OpenedReplica::DiffWithin(std::string older, std::string newer, const Extent& extent,
                               uint32_t runs_max, std::function<void(Result<DiffPage>)> done) {
  core_.path().EnterWhenOpen([this, older = std::move(older), newer = std::move(newer), extent,
                              runs_max, done = std::move(done)] {
    auto sides = std::make_shared<Result<DiffSides>>(SidesOf(older, newer));
    auto page = std::make_shared<Result<DiffPage>>(DiffPage{});
    core_.loop().RunBlocking(
        [sides, page, extent, runs_max] {
          if (!sides->ok()) {
            *page = sides->status();
            return;
          }
          DiffSides& within = **sides;
          within.size_bytes = std::min(within.size_bytes, extent.end_bytes());
          *page = DiffLayers(within, extent.offset_bytes, runs_max);
        },
        [this, page, done] {
          core_.path().gate().Leave();
          done(std::move(*page));
        });
  });
}

Result<DiffSides> OpenedReplica::SidesOf(const std::string& older, const std::string& newer) const {
  const ReplicaMeta& meta = core_.meta();
  DiffSides sides;
  uint32_t newer_number = meta.head;
  if (!newer.empty()) {
    auto found = FindLivingSnapshot(meta, newer);
    if (!found.ok()) return found.status();
    newer_number = (*found)->number;
  }
  std::vector<Layer*> older_path;
  if (!older.empty()) {
    auto found = FindLivingSnapshot(meta, older);
    if (!found.ok()) return found.status();
    older_path = core_.tree().PathOf((*found)->number);
  }
  sides.older_empty = older.empty();
  sides.newer_path = core_.tree().PathOf(newer_number);
  sides.size_bytes = meta.Find(newer_number)->size_bytes;
  const auto only_in = [&sides](const std::vector<Layer*>& path, const std::vector<Layer*>& other) {
    for (Layer* layer : path) {
      if (std::find(other.begin(), other.end(), layer) != other.end()) break;  // Common from here.
      sides.changed.push_back(layer);
    }
  };
  only_in(sides.newer_path, older_path);
  only_in(older_path, sides.newer_path);
  return sides;
}

// False if they are what they were.
bool OpenedReplica::RefreshSnapshots() {
  auto now = std::make_shared<SnapshotNames>();
  for (const LayerMeta& layer : core_.meta().layers) {
    const auto& snapshot = layer.snapshot;
    if (snapshot && !snapshot->removing) now->push_back({snapshot->id, snapshot->name});
  }
  if (snapshots_ != nullptr && *now == *snapshots_) return false;
  snapshots_ = std::move(now);
  return true;
}

void OpenedReplica::Describe(std::function<void(Result<ReplicaInfo>)> done) {
  if (Status usable = UsableStatus(); !usable.ok()) {
    core_.loop().Post([done = std::move(done), usable] { done(usable); });
    return;
  }
  core_.path().EnterWhenOpen([this, done = std::move(done)] {
    auto meta = std::make_shared<const ReplicaMeta>(core_.meta());
    auto info = std::make_shared<Result<ReplicaInfo>>(ReplicaInfo{});
    core_.loop().RunBlocking([this, meta, info] { *info = DescribeLayers(*meta, core_.tree()); },
                             [this, info, done] {
                               core_.path().gate().Leave();
                               done(std::move(*info));
                             });
  });
}

// What is dirty is flushed first, while writes go on: the snapshot that follows flushes again, with
// writes held and the deadline running, and there may have been some GiB. Then the barrier as
// snapshots use it, short; what stays is the hold.
void OpenedReplica::HoldWrites(uint32_t deadline_ms, std::function<void(Result<uint64_t>)> done) {
  auto held = std::make_shared<Result<uint64_t>>(uint64_t{0});
  auto ended = [held, done = std::move(done)](const Status& status) {
    done(status.ok() ? *held : Result<uint64_t>(status));
  };
  Run(ended, [this, deadline_ms, held](Done end) {
    if (hold_.on()) return end(HeldStatus());
    core_.path().Flush([this, deadline_ms, held, end](ErrorCode flushed) {
      if (flushed != ErrorCode::kOk) return end(core_.FailedStatus());
      core_.path().CloseGate([this, deadline_ms, held, end] {
        *held = hold_.Begin(deadline_ms);
        core_.path().Reopen();
        end(held->status());
      });
    });
  });
}

void OpenedReplica::Close(Done done) {
  CHECK(!closing_);
  closing_ = true;
  BeginClose();
  auto close = [this, done = std::move(done)] {
    core_.path().CloseGate([this, done] {
      core_.path().Flush([this, done](ErrorCode result) {
        const Status status = result == ErrorCode::kOk ? Status::Ok() : core_.FailedStatus();
        core_.CloseFiles([done, status] { done(status); });  // It may destroy this device.
      });
    });
  };
  copies_.AwaitEnd([this, close = std::move(close)] {
    coalescer_.Stop([this, close] {
      // After the commands that wait; none comes after it.
      core_.EnqueueLast([close](auto) { close(); });
    });
  });
}

struct OpenState {
  std::unique_ptr<Directory> directory;
  std::unique_ptr<DirectoryLock> lock;
  std::unique_ptr<LayerTree> tree;
};

Status StoreEpoch(Directory& directory, ReplicaMeta* meta, uint64_t epoch) {
  if (epoch < meta->epoch) {
    return {ErrorCode::kStaleEpoch, directory.path() + " was opened with epoch " +
                                        std::to_string(meta->epoch) + ", which is newer than " +
                                        std::to_string(epoch)};
  }
  // Whoever stored it may have ended before its name was durable.
  if (epoch == meta->epoch) return directory.Sync();
  meta->epoch = epoch;
  Status status;
  (void)StoreReplicaMeta(directory, *meta, &status);
  return status;
}

Status OpenFiles(OpenState* state, uint64_t epoch) {
  Directory& directory = *state->directory;
  auto lock = directory.Lock(kReplicaLockFile);
  if (!lock.ok()) return lock.status();
  auto meta = LoadReplicaMeta(directory);
  if (!meta.ok()) return meta.status();
  if (epoch < meta->epoch) return StoreEpoch(directory, &*meta, epoch);
  RETURN_IF_ERROR(CheckNothingIsNewer(directory, *meta));
  auto tree = LayerTree::Open(directory, *meta);
  if (!tree.ok()) return tree.status();
  RETURN_IF_ERROR(SettleLostData(directory, **tree));
  RETURN_IF_ERROR(RemoveLeftOvers(directory, *meta));
  RETURN_IF_ERROR(StoreEpoch(directory, &*meta, epoch));
  (*tree)->UpdateMeta(std::move(*meta));
  state->tree = std::move(*tree);
  state->lock = std::move(*lock);
  return Status::Ok();
}

}  // namespace

void ReplicaDevice::Open(EventLoop& loop, std::unique_ptr<Directory> directory, uint64_t epoch,
                         std::function<void(Result<std::unique_ptr<ReplicaDevice>>)> done) {
  auto state = std::make_shared<OpenState>();
  state->directory = std::move(directory);
  auto status = std::make_shared<Status>();
  loop.RunBlocking(
      [state, status, epoch] { *status = OpenFiles(state.get(), epoch); },
      [&loop, state, status, done = std::move(done)] {
        if (!status->ok()) return done(*status);
        done(std::unique_ptr<ReplicaDevice>(std::make_unique<OpenedReplica>(
            loop, std::move(state->directory), std::move(state->lock), std::move(state->tree))));
      });
}

}  // namespace aurochs
