// What the commands of an open replica and its background merges share: its directory, layers and
// data path, one queue of commands, and the commit of metadata.
//
// Thread: the replica's loop.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "base/status.h"
#include "io/directory.h"
#include "io/event_loop.h"
#include "replica/data_path.h"
#include "replica/layer_tree.h"

namespace aurochs {

class ReplicaCore {
 public:
  using Done = std::function<void(Status)>;
  // A command runs alone and ends by calling `finished`, once.
  using Finished = std::function<void()>;
  using Command = std::function<void(Finished finished)>;

  ReplicaCore(EventLoop& loop, std::unique_ptr<Directory> directory,
              std::unique_ptr<DirectoryLock> lock, std::unique_ptr<LayerTree> tree);

  EventLoop& loop() { return loop_; }
  Directory& directory() { return *directory_; }
  LayerTree& tree() { return *tree_; }
  DataPath& path() { return path_; }
  const LayerTree& tree() const { return *tree_; }
  const ReplicaMeta& meta() const { return tree_->meta(); }

  // False: kReplicaCommandsMax wait already.
  [[nodiscard]] bool Enqueue(Command command);
  // Behind all that wait, however many.
  void EnqueueLast(Command command);
  // Before all that wait; for what they need to go on.
  void EnqueueFirst(Command command);

  // -- For commands
  // Runs `work` on a worker, then `then` with what it returned.
  void Blocking(std::function<Status()> work, Done then);
  // Replaces replica.json. When it fails the old metadata is in force, unless it cannot be told
  // which is: then the replica has failed (D4) and takes no more writes.
  void Commit(std::shared_ptr<const ReplicaMeta> meta, Done then);
  // Gives layer `number` a zero map, if it needs one and has none.
  void EnsureZeroMap(uint32_t number, Done then);
  // Inside a barrier, after a commit: the layers follow the new metadata.
  std::vector<std::unique_ptr<Layer>> AdoptTree(const ReplicaMeta& meta,
                                                std::unique_ptr<Layer> added, bool forget_map);
  // Closes the files of layers that are no longer part of the replica and removes them. A failure
  // leaves files that the next open removes.
  void DropLayers(std::vector<std::unique_ptr<Layer>> layers, std::function<void()> then);
  // Closes all files and gives back the lock. REQUIRES: the gate is closed.
  void CloseFiles(std::function<void()> then);

  bool failed() const { return path_.failed(); }
  Status FailedStatus() const;
  // As ReplicaDevice::OnFailure.
  void OnFailure(std::function<void()> failed);
  // For log lines.
  const std::string& name() const { return directory_->path(); }

 private:
  void RunNext();
  void NeedZeroMap();
  void Failed();

  EventLoop& loop_;
  std::unique_ptr<Directory> directory_;
  std::unique_ptr<DirectoryLock> lock_;
  std::unique_ptr<LayerTree> tree_;
  DataPath path_;
  std::deque<Command> commands_;
  bool running_ = false;
  std::function<void()> on_failure_;
};

}  // namespace aurochs
