// A replica on its way: one layer and, at its end, the metadata that names it. All of it is below a
// name that RemoveInterrupted sweeps until Publish gives it its own, so that by its own name there
// is nothing or all of it.
//
// Thread:    any, one call at a time; each blocks.
// Ownership: `disk` outlives it. Holds the lock of what it makes, so that nobody else makes or
// sweeps
//            the same meanwhile.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "io/directory.h"
#include "replica/layer.h"
#include "replica/replica_device.h"

namespace aurochs {

class ReplicaDraft {
 public:
  // Leaves nothing behind if it fails. kAlreadyExists only when the replica of that name is
  // durable, kBusy while somebody else makes it.
  static Result<std::unique_ptr<ReplicaDraft>> Begin(Directory& disk, std::string_view name,
                                                     const ReplicaCreateOptions& options);
  ~ReplicaDraft();  // Discards what was not published, as far as it can; the sweep does the rest.

  // Empty at first. What is written to it is the writer's to sync.
  Layer& head() { return *head_; }
  // Gives it its name, durably. If it fails, nothing is left once the draft is destroyed.
  Status Publish();

 private:
  ReplicaDraft(Directory& disk, std::string_view name, const ReplicaCreateOptions& options);
  Status Make();

  Directory& disk_;
  const std::string name_;
  const std::string temporary_;
  const ReplicaCreateOptions options_;
  std::unique_ptr<Directory> directory_;  // null before Make, and once published
  std::unique_ptr<DirectoryLock> lock_;
  std::unique_ptr<Layer> head_;
};

// Removes the draft of a replica that nobody makes any more; kBusy if somebody does.
Status RemoveAbandonedDraft(Directory& disk, std::string_view name);
// Whether `name`, below a disk, is that of a draft.
bool IsDraftName(std::string_view name);
// Removes a directory and the files in it.
Status RemoveTree(Directory& disk, std::string_view name);

}  // namespace aurochs
