#include "replica/snapshot_copies.h"

#include <utility>

#include "base/limits.h"

namespace aurochs {

SnapshotCopies::~SnapshotCopies() {
  CHECK(running_.empty());
}

Status SnapshotCopies::CheckMayStart(const std::string& name) const {
  if (closed_) return {ErrorCode::kUnavailable, "the replica is being closed"};
  if (running_.contains(name)) {
    return {ErrorCode::kBusy, "a copy to " + name + " is under way; wait for it or cancel it"};
  }
  if (running_.size() < kSnapshotCopiesMax) return Status::Ok();
  return {ErrorCode::kBusy, std::to_string(kSnapshotCopiesMax) +
                                " copies of this volume are under way; wait for one to end"};
}

void SnapshotCopies::Start(std::string snapshot_id, SnapshotCopyTarget target,
                           ReplicaCore::Done done, std::function<void(double)> progress) {
  const std::string name = target.name;
  if (Status may = CheckMayStart(name); !may.ok()) {
    core_.loop().Post([done = std::move(done), may] { done(may); });
    return;
  }
  // Known from now on, so that a cancel finds it whatever it waits for.
  Running& running = running_[name];
  running.done = std::move(done);
  running.copy = std::make_unique<SnapshotCopy>(
      core_, coalescer_, std::move(snapshot_id), std::move(target), std::move(progress),
      [this, name](Status status) { Ended(name, std::move(status)); });
  running.copy->Start();
}

void SnapshotCopies::Cancel(const std::string& name, std::function<void()> ended) {
  const auto at = running_.find(name);
  if (at == running_.end()) return ended();
  at->second.cancelling.push_back(std::move(ended));
  at->second.copy->Cancel();
}

void SnapshotCopies::CancelAll() {
  closed_ = true;
  for (auto& [name, running] : running_) running.copy->Cancel();
}

void SnapshotCopies::AwaitEnd(std::function<void()> ended) {
  if (running_.empty()) return ended();
  all_ended_ = std::move(ended);
}

void SnapshotCopies::Ended(const std::string& name, Status status) {
  auto node = running_.extract(name);
  node.mapped().done(std::move(status));
  for (const auto& ended : node.mapped().cancelling) ended();
  // Through the loop: it may destroy this.
  if (running_.empty() && all_ended_) core_.loop().Post(std::exchange(all_ended_, nullptr));
}

}  // namespace aurochs
