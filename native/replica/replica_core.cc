#include "replica/replica_core.h"

#include <utility>

#include "base/log.h"
#include "replica/lost_data.h"

namespace aurochs {
namespace {

constexpr std::string_view kComponent = "replica";

}  // namespace

ReplicaCore::ReplicaCore(EventLoop& loop, std::unique_ptr<Directory> directory,
                         std::unique_ptr<DirectoryLock> lock, std::unique_ptr<LayerTree> tree)
    : loop_(loop),
      directory_(std::move(directory)),
      lock_(std::move(lock)),
      tree_(std::move(tree)),
      path_(
          loop, *tree_, [this] { NeedZeroMap(); }, [this] { Failed(); }) {}

bool ReplicaCore::Enqueue(Command command) {
  if (commands_.size() >= kReplicaCommandsMax) return false;
  EnqueueLast(std::move(command));
  return true;
}

void ReplicaCore::EnqueueLast(Command command) {
  commands_.push_back(std::move(command));
  if (!running_) RunNext();
}

void ReplicaCore::EnqueueFirst(Command command) {
  commands_.push_front(std::move(command));
  if (!running_) RunNext();
}

void ReplicaCore::RunNext() {
  if (commands_.empty()) {
    running_ = false;
    return;
  }
  running_ = true;
  Command command = std::move(commands_.front());
  commands_.pop_front();
  // The next starts from the loop, so that a row of failing ones does not grow the stack.
  command([this] { loop_.Post([this] { RunNext(); }); });
}

void ReplicaCore::Blocking(std::function<Status()> work, Done then) {
  auto status = std::make_shared<Status>();
  loop_.RunBlocking([status, work = std::move(work)] { *status = work(); },
                    [status, then = std::move(then)] { then(std::move(*status)); });
}

void ReplicaCore::Commit(std::shared_ptr<const ReplicaMeta> meta, Done then) {
  auto outcome = std::make_shared<StoreOutcome>();
  Blocking(
      [this, meta, outcome] {
        Status status;
        *outcome = StoreReplicaMeta(*directory_, *meta, &status);
        return status;
      },
      [this, outcome, then = std::move(then)](Status status) {
        if (*outcome == StoreOutcome::kUnknown) path_.Fail();
        then(std::move(status));
      });
}

void ReplicaCore::NeedZeroMap() {
  EnqueueFirst([this](Finished finished) {
    EnsureZeroMap(meta().head, [this, finished](Status status) {
      if (!status.ok()) {
        Log(LogLevel::kWarn, kComponent,
            name() + ": the head gets no zero map: " + status.ToString());
      }
      path_.ZeroMapDecided(status);
      finished();
    });
  });
}

void ReplicaCore::Failed() {
  Log(LogLevel::kError, kComponent,
      name() + ": the disk has lost data; the replica takes no more writes");
  EnqueueFirst([this](Finished finished) {
    Blocking([this] { return MarkLostData(*directory_); },
             [this, finished = std::move(finished)](const Status& marked) {
               if (!marked.ok()) {
                 Log(LogLevel::kError, kComponent,
                     name() + ": and that cannot be noted there: " + marked.ToString());
               }
               finished();
             });
  });
  if (on_failure_) on_failure_();
}

void ReplicaCore::OnFailure(std::function<void()> failed) {
  on_failure_ = std::move(failed);
  if (path_.failed()) on_failure_();
}

void ReplicaCore::EnsureZeroMap(uint32_t number, Done then) {
  const LayerMeta* layer = meta().Find(number);
  CHECK(layer != nullptr);
  if (layer->parent == 0 || layer->has_zero_map) {
    then(Status::Ok());
    return;
  }
  if (failed()) {
    then(FailedStatus());
    return;
  }
  auto next = std::make_shared<ReplicaMeta>(meta());
  next->Find(number)->has_zero_map = true;
  auto created = std::make_shared<std::unique_ptr<ZeroMap>>();
  Blocking(
      [this, layer = *layer, created] {
        auto zero_map = CreateZeroMap(*directory_, layer);
        if (zero_map.ok()) *created = std::move(*zero_map);
        return zero_map.status();
      },
      [this, number, next, created, then = std::move(then)](Status made) {
        if (!made.ok()) {
          then(std::move(made));
          return;
        }
        Commit(next, [this, number, next, created, then](Status committed) {
          if (!committed.ok()) {
            then(std::move(committed));
            return;
          }
          path_.CloseGate([this, number, next, created, then] {
            tree_->UpdateMeta(*next);
            tree_->Find(number)->zero_map = std::move(*created);
            path_.TreeChanged(false);
            path_.Reopen();
            then(Status::Ok());
          });
        });
      });
}

std::vector<std::unique_ptr<Layer>> ReplicaCore::AdoptTree(const ReplicaMeta& meta,
                                                           std::unique_ptr<Layer> added,
                                                           bool forget_map) {
  const bool renumbered = tree_->RenumberSlotsIfFull();
  auto dropped = tree_->Replace(meta, std::move(added));
  path_.TreeChanged(forget_map || renumbered);
  return dropped;
}

void ReplicaCore::DropLayers(std::vector<std::unique_ptr<Layer>> layers,
                             std::function<void()> then) {
  auto dropped = std::make_shared<std::vector<std::unique_ptr<Layer>>>(std::move(layers));
  loop_.RunBlocking(
      [this, dropped, meta = meta(), unsure = failed()] {
        dropped->clear();
        if (unsure) return;  // The metadata on disk may be other than what is in memory.
        // By the metadata, so zero maps go too, also those that a layer no longer has. Nothing
        // else: the unit's state may be under way beside us.
        Status removed = RemoveUnusedLayers(*directory_, meta);
        if (!removed.ok()) {
          Log(LogLevel::kWarn, kComponent, name() + ": left-overs stay: " + removed.ToString());
        }
      },
      std::move(then));
}

void ReplicaCore::CloseFiles(std::function<void()> then) {
  loop_.RunBlocking(
      [this] {
        // The data path still points at the layers, but nobody is let in any more.
        tree_->CloseFiles();
        // Again: the failure may have been that of the last flush.
        if (failed()) (void)MarkLostData(*directory_);
        lock_.reset();
      },
      std::move(then));
}

Status ReplicaCore::FailedStatus() const {
  return {ErrorCode::kIo, directory_->path() + ": the disk has lost data; rebuild the replica"};
}

}  // namespace aurochs
