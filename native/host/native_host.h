// The single door of the core: the data path of one process as the addon uses it. Owns the loops,
// the iSCSI target node, the NBD server and the open volumes, and closes them in order.
//
// Thread:    any. A callback runs on a thread of the host, exactly once, and must return at once.
// Ownership: owns everything it starts. The destructor closes first if nobody has, and blocks until
//            no thread of the host is left; not from a callback.
// Close:     calls after Close fail with kUnavailable; calls before it run to their end first.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/native_thread.h"
#include "base/status.h"
#include "host/copy_slots.h"
#include "host/disk_jobs.h"
#include "host/host_event.h"
#include "host/host_volume.h"
#include "host/log_subscription.h"
#include "host/loop_set.h"
#include "io/event_loop.h"
#include "iscsi/server.h"
#include "nbd/kernel_client.h"
#include "nbd/server.h"
#include "replica/copy_space.h"
#include "replica/disk_probe.h"
#include "replica/fsck.h"
#include "replica/replica_device.h"

namespace aurochs {

struct HostOptions {
  uint32_t loops = 1;                         // 1 to kHostLoopsMax
  std::optional<EventLoop::Backend> backend;  // default: io_uring where the kernel allows it
  bool lock_memory = false;                   // LockProgram; without it the host goes on
};

class NativeHost {
 public:
  using Done = std::function<void(Status)>;
  using VolumeDone = std::function<void(Result<std::shared_ptr<HostVolume>>)>;
  using ProbeDone = std::function<void(Result<DiskProbe>)>;
  using AddressDone = std::function<void(Result<std::string>)>;

  enum class TestDevice : uint8_t { kNull, kMemory };

  static Result<std::unique_ptr<NativeHost>> Create(const HostOptions& options, EventSink events);
  ~NativeHost();
  NativeHost(const NativeHost&) = delete;
  NativeHost& operator=(const NativeHost&) = delete;

  // Whether this process may use io_uring, and if not, why.
  static Status IoUringAvailable() { return EventLoop::IoUringAvailable(); }
  // Whether the threads of the data path are I/O flushers, and if not, why.
  static Status IoFlusherAvailable() { return NativeThread::IoFlusherAvailable(); }
  EventLoop::Backend backend() const { return backend_; }

  // As the servers' Listen say; call back with the address in use.
  void ListenIscsi(std::string portal, AddressDone done);
  void ListenNbd(std::string address, std::optional<nbd::TlsConfig> tls, AddressDone done);
  void SetDiscoveryAuth(std::optional<iscsi::ChapCredentials> chap,
                        std::optional<iscsi::ChapCredentials> mutual, Done done);

  // Replicas are named by their disk and the directory below `<disk>/replicas`.
  void CreateReplica(std::string disk_path, std::string name, ReplicaCreateOptions options,
                     Done done);
  void RemoveReplica(std::string disk_path, std::string name, Done done);
  void FsckReplica(std::string disk_path, std::string name,
                   std::function<void(Result<std::vector<FsckFinding>>)> done);
  // A probe of a path that is being probed hears of the same outcome. The first one of a disk frees
  // it of what interrupted creations and removals left.
  void ProbeDisk(std::string path, ProbeDone done);

  // As ReplicaDevice::Open, on the loop with the fewest volumes.
  void OpenVolume(std::string disk_path, std::string name, uint64_t epoch, VolumeDone done);
  // A volume without a disk, for measuring a frontend alone; what it holds goes when it is closed.
  void OpenTestVolume(TestDevice device, uint64_t size_bytes, VolumeDone done);

  // The kernel's NBD client on an export of this host. It takes a free device and calls back with
  // its index. Reconnecting gives it new connections for those that died; kBusy if the kernel holds
  // on to connections that this host knows nothing of: it has not noticed yet that they are dead.
  void ConnectKernelNbd(nbd::KernelClientOptions options,
                        std::function<void(Result<uint32_t>)> done);
  void ReconnectKernelNbd(uint32_t index, nbd::KernelClientOptions options, Done done);
  void ResizeKernelNbd(uint32_t index, uint64_t size_bytes, std::string identifier, Done done);
  void DisconnectKernelNbd(uint32_t index, Done done);

  // Who is at the exports right now; nobody once the host is closed.
  std::vector<HostSession> Sessions() const;

  // Calls back when every loop has run a task that was posted to it now. While one hangs, never.
  void Ping(Done done);

  // Waits for the jobs under way, ends every session and listener, closes every volume. A later
  // Close hears of the same end. The status is the first error that a volume met on its way to the
  // disk.
  void Close(Done done);

 private:
  // Only forwards. Each step waits for the one before: jobs, servers, volumes.
  enum class State : uint8_t { kOpen, kEndingJobs, kClosingServers, kClosingVolumes, kClosed };

  NativeHost(std::unique_ptr<LoopSet> loops, EventSink events);
  template <typename Outcome>
  void RunJob(std::function<Outcome()> work, std::function<void(Outcome)> done);
  template <typename Outcome>
  void RunJobNow(std::function<Outcome()> work, std::function<void(Outcome)> done);
  Status ReconnectKernelNbdNow(uint32_t index, const nbd::KernelClientOptions& options);
  void StartJob();
  void JobLeft();
  Status CheckRoomForVolume() const;
  HostVolume::Surroundings SurroundingsFor(LoopSet::Member& member, uint64_t id);
  void OpenReplicaOn(LoopSet::Member& member, uint64_t id, ReplicaDirectories directories,
                     uint64_t epoch, VolumeDone done);
  void VolumeOpened(uint64_t id, Result<std::shared_ptr<HostVolume>> volume,
                    const VolumeDone& done);
  void VolumeClosed(uint64_t id, LoopSet::Member& member);
  void CloseServers();
  void CloseVolumes();
  void FinishClosing();

  // Constant while the host is there; the threads end before what they use.
  const EventSink events_;
  const EventLoop::Backend backend_;
  LogSubscription log_;
  std::unique_ptr<iscsi::Server> iscsi_;
  std::unique_ptr<nbd::Server> nbd_;
  DiskSweeper sweeper_;
  CopySlots copy_slots_;
  CopySpace copy_space_;
  std::unique_ptr<LoopSet> loops_;

  // The rest belongs to the control loop.
  State state_ = State::kOpen;
  uint32_t jobs_ = 0;                                     // under way; closing waits for them
  uint32_t servers_to_close_ = 0;                         // while closing
  std::map<std::string, std::vector<ProbeDone>> probes_;  // under way, by path
  uint64_t next_volume_id_ = 1;
  // Open ones, and with null those that are being opened.
  std::map<uint64_t, std::shared_ptr<HostVolume>> volumes_;
  Status close_status_;
  std::vector<Done> close_waiting_;
};

}  // namespace aurochs
