// One replica as a block device: a directory of sparse layers, opened.
//
// Thread:    the device belongs to `loop`; every method and every callback runs on its thread.
//            Blocking work (metadata, merges, cold reads) runs elsewhere and comes back.
// Ownership: owns the directory's lock and files until Close has called back.
// Format:    docs/replica-format.md. Rules: D1-D5, W1.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "block/block_device.h"
#include "io/directory.h"
#include "io/event_loop.h"

namespace aurochs {

struct SnapshotInfo {
  std::string id;      // UUID, chosen by the caller
  std::string name;    // for people; unique in the volume
  std::string parent;  // id of the snapshot below; empty at the base
  uint64_t created_unix_ms = 0;
  uint64_t size_bytes = 0;       // of the volume when it was taken
  uint64_t allocated_bytes = 0;  // taken on disk by this layer alone
  bool removing = false;         // deletion asked for; its merge waits or runs
};

struct ReplicaInfo {
  std::string volume_id;
  std::string replica_id;
  uint64_t size_bytes = 0;
  uint64_t epoch = 0;
  std::string head_parent;  // id of the snapshot that the head stands on; empty if none
  uint64_t head_allocated_bytes = 0;
  std::vector<SnapshotInfo> snapshots;  // parents before children
};

struct ReplicaCreateOptions {
  std::string volume_id;
  std::string replica_id;
  uint64_t size_bytes = 0;  // multiple of 4 KiB
};

class CopySpace;

// What a copy of a snapshot becomes, and where.
struct SnapshotCopyTarget {
  // Opens the directory that it is made in. Runs on a worker.
  std::function<Result<std::unique_ptr<Directory>>()> open_disk;
  std::string name;
  ReplicaCreateOptions options;  // not smaller than the snapshot
  // Shared with all other copies of the process; outlives the copy.
  CopySpace* space = nullptr;
};

// One range in which two states of a volume may differ, and what the newer one holds there.
struct DiffRun {
  Extent extent;
  AllocationState state;  // kHole: reads as zeros in the newer one.
};

// Creates `name` below `disk`, durably. Blocks. Leaves nothing behind if it fails or is
// interrupted. kOutOfRange names the largest size when the file system cannot hold the file.
Status CreateReplica(Directory& disk, std::string_view name, const ReplicaCreateOptions& options);
// Removes a closed replica's directory; what an interruption leaves is removed by calling again.
// Blocks.
Status RemoveReplica(Directory& disk, std::string_view name);
// Removes what interrupted creations and removals left below `disk`. Blocks. Called when a disk is
// taken into use, before anything is created on it or removed from it. kBusy when another process
// is creating there.
Status RemoveInterrupted(Directory& disk);

class ReplicaDevice : public BlockDevice {
 public:
  using Done = std::function<void(Status)>;

  // Opens with the engine's epoch, which is stored before the callback (W1); kStaleEpoch if the
  // replica has seen a higher one, kBusy if another process has it open, kCorruption by D2.
  // Resumes merges that were under way.
  static void Open(EventLoop& loop, std::unique_ptr<Directory> directory, uint64_t epoch,
                   std::function<void(Result<std::unique_ptr<ReplicaDevice>>)> done);

  // Every method below may be called while requests are in flight, unless it says otherwise.

  // Freezes the head; durable when done. Cost independent of the volume's size.
  virtual void TakeSnapshot(std::string id, std::string name, uint64_t created_unix_ms,
                            Done done) = 0;
  // Replaces the head by an empty one above snapshot `id`. Waits for requests in flight and holds
  // back later ones, but only makes sense while no initiator has the volume open.
  virtual void Revert(std::string id, Done done) = 0;
  // Marks the snapshot as removing and calls back when that is durable. The merge follows in the
  // background; `merged` (may be empty) hears its end, `progress` its share done from 0 to 1.
  // A snapshot with several children merges once all but one are gone.
  virtual void DeleteSnapshot(std::string id, Done done, Done merged,
                              std::function<void(double)> progress) = 0;
  // Grows the volume; observers of info() hear of it.
  virtual void Expand(uint64_t size_bytes, Done done) = 0;
  // The runs of [offset, end of volume) where `newer` (empty: the head) may differ from `older`
  // (empty: an empty volume), at most `runs_max` of them, and where to go on; nullopt at the end.
  struct DiffPage {
    std::vector<DiffRun> runs;
    std::optional<uint64_t> next_offset_bytes;
  };
  virtual void Diff(std::string older, std::string newer, uint64_t offset_bytes, uint32_t runs_max,
                    std::function<void(Result<DiffPage>)> done) = 0;
  virtual void Describe(std::function<void(Result<ReplicaInfo>)> done) = 0;

  // Makes a new replica of one layer that reads as the snapshot does. Calls back when it is whole
  // and durable and has its name; before that, and if it fails, there is nothing by that name. The
  // volume goes on serving; merges of the layers that are read wait. `progress` (may be empty)
  // hears its share done from 0 to 1, a few times a second. kNoSpace before anything is copied when
  // it cannot fit beside the other copies; kAlreadyExists only when what is there is durable;
  // kAborted when it is cancelled or BeginClose is called; kBusy while there are
  // kSnapshotCopiesMax, or one to that name.
  virtual void CopySnapshot(std::string id, SnapshotCopyTarget target, Done done,
                            std::function<void(double)> progress) = 0;
  // Ends the copy to `name`, if there is one, and calls back when nothing is left of it.
  virtual void CancelCopy(const std::string& name, std::function<void()> ended) = 0;

  // Flushes, holds back what would change the volume's data, and waits for what is under way. Calls
  // back with the hold's number when that is so; reads and snapshots go on. Ends by ReleaseWrites,
  // by BeginClose, or `deadline_ms` after it has begun; kBusy while there is one.
  virtual void HoldWrites(uint32_t deadline_ms, std::function<void(Result<uint64_t>)> done) = 0;
  // Whether the hold was on until now; what was held back goes on.
  virtual bool ReleaseWrites(uint64_t hold) = 0;

  // Whether data was lost below us (D4); then every write and flush fails with kIo.
  virtual bool failed() const = 0;
  // Called once when that happens; at once if it has.
  virtual void OnFailure(std::function<void()> failed) = 0;

  // Lets held writes go on and cancels copies; none is begun any more. For owners that wait for
  // requests and calls before they call Close, which does it too.
  virtual void BeginClose() = 0;
  // No request may be submitted after this call. Waits for those in flight, stops the merge between
  // two steps, flushes, closes. The device may be destroyed once `done` was called.
  virtual void Close(Done done) = 0;
};

}  // namespace aurochs
