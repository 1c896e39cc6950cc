// One open volume of a host: a device on a data-path loop, its exports, and what can be asked of
// it.
//
// Thread:    any. A callback runs on a thread of the host (or, once the host is gone, on the
//            caller's), exactly once, and must return at once.
// Ownership: the host keeps an open volume alive; handles may outlive both. Dropping a handle
// closes
//            nothing.
// Close:     calls after Close fail with kUnavailable; calls before it run to their end first.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "block/block_device.h"
#include "host/copy_slots.h"
#include "host/disk_jobs.h"
#include "host/export_slot.h"
#include "host/host_event.h"
#include "host/loop_set.h"
#include "host/unit_state_file.h"
#include "iscsi/server.h"
#include "nbd/server.h"
#include "replica/replica_device.h"

namespace aurochs {

struct VolumeDescription {
  ReplicaInfo replica;
  bool failed = false;  // D4
};

struct IscsiExportConfig {
  std::string target_name;  // IQN
  std::string serial;       // stable for the volume; its NAA identifier comes from it
  scsi::UnitOptions unit;
  iscsi::TargetAccess access;
};

struct SnapshotCopyConfig {
  std::string disk_path;
  std::string name;  // of the replica below `<disk>/replicas`
  ReplicaCreateOptions options;
};

class HostVolume : public std::enable_shared_from_this<HostVolume> {
 public:
  using Done = std::function<void(Status)>;

  // What a volume uses of its host; all of it outlives the volume's open time.
  struct Surroundings {
    std::shared_ptr<LoopDoor> door;
    EventLoop* loop = nullptr;
    iscsi::Server* iscsi = nullptr;
    nbd::Server* nbd = nullptr;
    DiskSweeper* sweeper = nullptr;
    CopySlots* copy_slots = nullptr;
    CopySpace* copy_space = nullptr;
    EventSink events;
    // The device is gone and nothing of the host is used any more. On the volume's loop.
    std::function<void()> closed;
  };

  // On the volume's loop: opens the replica as ReplicaDevice::Open does, and what its SCSI unit
  // remembers. When that fails, nothing of the surroundings is used any more, and `closed` is not
  // called.
  static void Open(Surroundings surroundings, ReplicaDirectories directories, uint64_t epoch,
                   std::function<void(Result<std::shared_ptr<HostVolume>>)> done);
  // On the volume's loop: a volume over a device for tests, without a replica.
  HostVolume(Surroundings surroundings, std::unique_ptr<BlockDevice> device);
  ~HostVolume();  // Closed.

  // As ReplicaDevice says; kUnsupported of a test volume, which can only be described.
  void Describe(std::function<void(Result<VolumeDescription>)> done);
  void TakeSnapshot(std::string id, std::string name, uint64_t created_unix_ms, Done done);
  void Revert(std::string id, Done done);
  // Progress and end of the merge come as events.
  void DeleteSnapshot(std::string id, Done done);
  void Expand(uint64_t size_bytes, Done done);
  void Diff(std::string older, std::string newer, uint64_t offset_bytes, uint32_t runs_max,
            std::function<void(Result<ReplicaDevice::DiffPage>)> done);

  // Progress comes as events. kBusy also while the host runs kHostSnapshotCopiesMax.
  void CopySnapshot(std::string id, SnapshotCopyConfig copy, Done done);
  // Ok also of a closed volume: its copies have ended.
  void CancelCopy(std::string name, Done done);

  void HoldWrites(uint32_t deadline_ms, std::function<void(Result<uint64_t>)> done);
  // False also of a closed volume.
  void ReleaseWrites(uint64_t hold, std::function<void(Result<bool>)> done);

  // One export per frontend: kAlreadyExists while there is one. Ending none is Ok.
  void ExportIscsi(IscsiExportConfig config, Done done);
  // As the server's SetAccess says, of the target offered now; kFailedPrecondition without one.
  void SetIscsiAccess(iscsi::TargetAccess access, Done done);
  void UnexportIscsi(Done done);
  void ExportNbd(nbd::ExportConfig config, Done done);
  void UnexportNbd(Done done);

  // Lets held writes go on and cancels copies, ends the exports, waits for the calls and requests
  // in flight, flushes, closes. A later Close hears of the same end; after it, Ok.
  void Close(Done done);

 private:
  enum class State : uint8_t { kOpen, kClosing, kClosed };  // Only forwards.

  struct Opening;
  static void LoadUnitState(std::shared_ptr<Opening> opening);
  static void FailOpening(const std::shared_ptr<Opening>& opening, Status why);
  HostVolume(Surroundings surroundings, std::unique_ptr<ReplicaDevice> replica,
             std::unique_ptr<UnitStateFile> unit_state, std::string volume_id);
  void WatchReplica(const ReplicaInfo& info);
  Done TellMerged(const std::string& snapshot_id) const;
  std::function<void(double)> TellProgress(const std::string& snapshot_id) const;
  void StartCopy(const std::string& id, const SnapshotCopyConfig& copy, Done finish);

  template <typename Outcome>
  using Call = std::function<void(std::function<void(Outcome)> done)>;

  template <typename Outcome>
  void RunCall(std::function<void(Outcome)> done, Call<Outcome> call);
  template <typename Outcome>
  void RunReplicaCall(std::function<void(Outcome)> done, Call<Outcome> call);
  void CallLeft();
  void EndExport(ExportSlot& slot, void (HostVolume::*remove)(const std::string& name), Done done);
  void RemoveIscsi(const std::string& name);
  void RemoveNbd(const std::string& name);
  void StartClosing();
  void CloseDevice();
  void FinishClosing(const Status& status);

  const Surroundings surroundings_;
  const std::string volume_id_;

  // The rest belongs to the loop.
  State state_ = State::kOpen;
  std::unique_ptr<UnitStateFile> unit_state_;  // Null of a test volume.
  std::unique_ptr<BlockDevice> device_;        // Null once closed.
  ReplicaDevice* replica_ = nullptr;           // device_, or null for a test volume.
  ExportSlot iscsi_export_;
  ExportSlot nbd_export_;
  uint32_t calls_inside_ = 0;  // Exports that end while closing count as well.
  std::vector<Done> close_waiting_;
};

}  // namespace aurochs
