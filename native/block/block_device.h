// The waist of the system: frontends above it, replicas and test devices below, all of one type, so
// that they stack.
//
// Thread:    a device belongs to one loop; every method runs on its thread.
// Ownership: a request belongs to its submitter, who keeps it, its iovecs and its buffers alive
//            until `complete` has been called, exactly once.
// Reentry:   `complete` may run before Submit returns. A submitter must not depend on either order,
//            and must not submit more from inside `complete` without a bound on the depth.
// Order:     requests in flight together may take effect in any order. A flush covers the writes
//            that were completed before it was submitted (D1).
#pragma once

#include <sys/uio.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/units.h"
#include "block/extent.h"

namespace aurochs {

struct DeviceInfo {
  uint64_t size_bytes = 0;
  uint32_t logical_block_bytes = kSectorBytes;
  uint32_t physical_block_bytes = kBlockBytes;
  uint32_t optimal_io_bytes = 64 * kKiB;
  bool read_only = false;
  bool write_cache = true;  // D1: a write is durable only after a flush or with FUA.
  bool can_unmap = true;    // Unmapped blocks read as zeros.
};

enum class IoOp : uint8_t {
  kRead,
  kWrite,
  kWriteZeroes,  // The range reads as zeros; may unmap unless `keep_allocated`.
  kUnmap,        // The range reads as zeros and gives its space back where whole blocks allow.
  kFlush,        // `extent` is ignored.
};

struct IoRequest {
  IoOp op = IoOp::kRead;
  bool fua = false;             // kWrite, kWriteZeroes, kUnmap: durable before completion.
  bool keep_allocated = false;  // kWriteZeroes: the space stays taken.
  Extent extent;                // Multiple of the logical block; at most kRequestBytesMax for data.
  std::span<const iovec> iov;   // kRead: filled. kWrite: stored. Sum of lengths is the extent's.
  void (*complete)(IoRequest* request, ErrorCode result) = nullptr;
  void* owner = nullptr;  // For the submitter.

  IoRequest* next = nullptr;  // For the device, while it has the request.
};

enum class AllocationState : uint8_t {
  kData,
  kHole,  // Takes no space and reads as zeros.
};

struct AllocationRun {
  uint64_t length_bytes;
  AllocationState state;
};

// What is allocated in `extent`: adjacent runs from its start. It may end early, after at least one
// run; neighbouring runs differ in state.
struct AllocationQuery {
  Extent extent;
  uint32_t runs_max = 1;
  std::vector<AllocationRun> runs;  // result
  void (*complete)(AllocationQuery* query, ErrorCode result) = nullptr;
  void* owner = nullptr;
  AllocationQuery* next = nullptr;  // For the device, while it has the query.
};

// A state of the device's past that it can be compared with.
struct SnapshotName {
  std::string id;
  std::string name;

  friend bool operator==(const SnapshotName&, const SnapshotName&) = default;
};
using SnapshotNames = std::vector<SnapshotName>;

enum class ChangeState : uint8_t {
  kSame,            // as it was
  kChanged,         // may differ
  kChangedToZeros,  // may differ, and reads as zeros now
};

struct ChangeRun {
  uint64_t length_bytes;
  ChangeState state;
};

// What may have changed in `extent` since snapshot `since`: adjacent runs from its start. It may
// end early, after at least one run; neighbouring runs differ in state.
struct ChangeQuery {
  std::string since;  // id
  Extent extent;
  uint32_t runs_max = 1;
  std::vector<ChangeRun> runs;  // result
  void (*complete)(ChangeQuery* query, ErrorCode result) = nullptr;
  void* owner = nullptr;
};

class BlockDevice {
 public:
  // Hears that info() or snapshots() changed, e.g. after an expansion. Runs on the device's loop.
  using InfoObserver = std::function<void(const DeviceInfo& info)>;

  virtual ~BlockDevice() = default;

  virtual const DeviceInfo& info() const = 0;
  virtual void Submit(IoRequest* request) = 0;
  virtual void Submit(AllocationQuery* query) = 0;

  // The snapshots that a ChangeQuery may name, oldest first; never null. Observers of info() hear
  // when there are others.
  virtual std::shared_ptr<const SnapshotNames> snapshots() const;
  // kNotFound if there is no such snapshot any more.
  virtual void QueryChanges(ChangeQuery* query);

  // Whether `extent` lies inside the device; never overflows.
  bool Contains(const Extent& extent) const {
    const uint64_t size_bytes = info().size_bytes;
    return extent.length_bytes <= size_bytes &&
           extent.offset_bytes <= size_bytes - extent.length_bytes;
  }

  // Returns an id for RemoveInfoObserver.
  uint64_t AddInfoObserver(InfoObserver observer);
  void RemoveInfoObserver(uint64_t id);

 protected:
  void NotifyInfoChanged();

 private:
  struct Entry {
    uint64_t id;
    InfoObserver observer;
  };
  std::vector<Entry> observers_;
  uint64_t next_observer_id_ = 1;
};

}  // namespace aurochs
