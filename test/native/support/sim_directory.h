// A simulated disk: a tree of directories and sparse files in memory that can lose power.
//
// It keeps what a program sees (the page cache) apart from what the disk holds. SyncData makes one
// file's data, holes and size durable; Directory::Sync makes one directory's names durable. All
// else may or may not reach the disk, independently of each other:
//   - a block of 4 KiB reads after a power cut as it did at its last sync or after any write, punch
//   or
//     truncation since; so a write of several blocks tears at their borders, never inside one;
//   - a dropped write into a hole leaves a hole, a dropped punch leaves the older data;
//   - a name that was created, renamed or removed is there as before or as after. Changes of one
//   name
//     reach the disk in their order, changes of different names in any.
//
// Steps: every call that changes something (write, punch, truncate, clone, sync, create, rename,
// remove) is a step, so that a test can cut the power at each of them:
//
//   for (uint64_t step = 0;; ++step) {
//     SimDisk disk;
//     ...                       // what must have been there before
//     disk.CrashAt(step);
//     const bool finished = WhatIsTested(*disk.Root());
//     disk.PowerCut(seed);
//     ...                       // what must hold now
//     if (finished) break;
//   }
//
// Thread:    any, also several at once.
// Ownership: the disk outlives the directories, files and locks opened on it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "io/directory.h"
#include "support/sim_node.h"

namespace aurochs {

class SimDisk {
 public:
  SimDisk();
  ~SimDisk();
  SimDisk(const SimDisk&) = delete;
  SimDisk& operator=(const SimDisk&) = delete;

  // A new handle of the root directory.
  std::unique_ptr<Directory> Root();

  // -- The end of the machine, or of the process

  // The step after `steps` more steps (0: the next one), and every call after it, fails with kIo.
  // That step itself is like any that was never synced: it may or may not reach the disk.
  void CrashAt(uint64_t steps);
  bool crashed() const;
  // Takes the power away now, if CrashAt has not, and starts anew with one of the states that may
  // be left, as `seed` says. Handles from before fail with kIo; their locks are gone.
  void PowerCut(uint64_t seed);
  // The process dies and the machine goes on: nothing is lost, handles and locks are gone.
  void KillProcess();
  // Steps since the disk was made.
  uint64_t steps() const;

  // -- Faults

  // The step after `steps` more steps fails once with `code` and changes nothing. If it is a
  // SyncData, the file's unsynced changes will never reach the disk, although the program still
  // sees them and later syncs succeed: what Linux does.
  void FailAt(uint64_t steps, ErrorCode code);
  // The next SyncData fails in that manner with kIo.
  void FailNextSyncData();
  // The read after `reads` more reads fails once with kIo. TryReadV does not count.
  void FailReadAt(uint64_t reads);
  void SetReadOnly(bool read_only);
  // What all files may take; a write beyond stores what fits and fails with kNoSpace.
  void SetCapacityBytes(uint64_t bytes);
  // The largest size of a file; Truncate and writes beyond fail with kOutOfRange.
  void SetFileBytesMax(uint64_t bytes);
  // Whether CloneRangeFrom works; by default it is unsupported, as on ext4.
  void SetCanClone(bool can_clone);
  // Whether TryReadV finds nothing in memory; by default it finds everything.
  void SetCacheCold(bool cold);

 private:
  friend class SimDirectory;
  friend class SimFile;
  friend class SimLock;

  // What becomes of a step: whether to do it, and what to answer.
  struct Verdict {
    bool apply;
    Status status;
  };
  Status CheckAliveLocked(uint64_t boot) const;
  Verdict BeginStepLocked(const std::string& path);
  void RestartLocked();

  mutable std::mutex mutex_;
  // Guarded by mutex_:
  SimSpace space_;
  std::shared_ptr<SimNode> root_;
  uint64_t boot_ = 0;  // handles of an earlier one are dead
  uint64_t steps_ = 0;
  uint64_t reads_ = 0;
  std::optional<uint64_t> crash_at_step_;
  std::optional<uint64_t> fail_at_step_;
  std::optional<uint64_t> fail_at_read_;
  ErrorCode fail_code_ = ErrorCode::kIo;
  bool fail_next_sync_data_ = false;
  bool crashed_ = false;
  bool read_only_ = false;
  bool can_clone_ = false;
  bool cache_cold_ = false;
  uint64_t file_bytes_max_;
};

}  // namespace aurochs
