// The operations of the data path, one class for each kind of request. Each is taken from a pool
// for one request and goes back when it is answered.
//
// Thread: the replica's loop.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "replica/data_path.h"

namespace aurochs {

// A read that could not be answered at once: asks the block map, then reads each layer's part.
class ReadOp {
 public:
  explicit ReadOp(DataPath& path) : path_(path) {}
  void Start(IoRequest* request);

 private:
  struct Segment : FileOp {
    ReadOp* op = nullptr;
    Layer* layer = nullptr;  // null: zeros
  };
  struct RegionWaiter : RegionLookup::Waiter {
    ReadOp* op = nullptr;
  };

  void FindSegments();
  void AddSegment(Layer* layer, uint64_t end_bytes);
  void ReadSegments();
  void SegmentDone(ErrorCode result);

  DataPath& path_;
  IoRequest* request_ = nullptr;
  uint64_t found_until_bytes_ = 0;
  std::vector<Segment> segments_;
  std::vector<iovec> slices_;
  size_t reading_ = 0;
  ErrorCode result_ = ErrorCode::kOk;
  RegionWaiter waiter_;
};

// A write to the head. Of a block that it writes only a part of and that the head does not hold,
// the rest is read first and written with it: in one write, so that a block is never a mix.
class WriteOp {
 public:
  explicit WriteOp(DataPath& path);
  void Start(IoRequest* request);

 private:
  struct HeadWrite : FileOp {
    WriteOp* op = nullptr;
  };
  struct Lock : RangeLock::Holder {
    WriteOp* op = nullptr;
  };
  struct RegionWaiter : RegionLookup::Waiter {
    WriteOp* op = nullptr;
  };
  // A block at the start or the end of the request that is only partly written.
  struct Edge {
    uint64_t block_bytes = 0;
    bool partial = false;
    bool rebuilt = false;  // `content` is written instead of the request's part
    std::unique_ptr<std::array<std::byte, kBlockBytes>> content;
    iovec iov{};
  };

  bool PartialEdgesInHead() const;
  void OnLocked();
  void PrepareEdges();
  bool PrepareEdge(Edge& edge);
  void EdgeRead(ErrorCode result);
  void AssembleAndWrite();
  void Write(std::span<const iovec> iov, const Extent& extent);
  void OnWritten(ErrorCode result);
  void End(ErrorCode result);

  DataPath& path_;
  IoRequest* request_ = nullptr;
  Extent blocks_;  // the request's, grown to whole blocks
  bool layered_ = false;
  bool locked_ = false;
  std::array<Edge, 2> edges_;
  size_t preparing_ = 0;  // index of the edge
  std::vector<iovec> iov_;
  std::vector<std::byte> gathered_;  // when iov_ would be too long
  HeadWrite write_;
  Lock lock_;
  RegionWaiter waiter_;
};

// An unmap or a write of zeros: whole blocks are given back, the rest is written.
class ZeroOp {
 public:
  explicit ZeroOp(DataPath& path);
  void Start(IoRequest* request);

 private:
  struct Punch : FileOp {
    ZeroOp* op = nullptr;
  };
  struct Lock : RangeLock::Holder {
    ZeroOp* op = nullptr;
  };
  struct SyncWaiter : SharedSync::Waiter {
    ZeroOp* op = nullptr;
  };

  void NextPart();
  void WritePart(uint64_t length_bytes);
  void OnLocked();
  void OnBitsSet();
  void PunchHead(ErrorCode before);
  void OnPunched(ErrorCode result);
  void PartDone(ErrorCode result);

  DataPath& path_;
  IoRequest* request_ = nullptr;
  Extent part_;  // what runs now; starts where the rest of the request starts
  IoRequest write_;
  std::vector<iovec> zeros_;
  Status bits_status_;
  bool head_holds_data_ = false;
  Punch punch_;
  Lock lock_;
  SyncWaiter sync_waiter_;
};

// A flush, and the end of a request that has to be durable.
class FlushOp {
 public:
  explicit FlushOp(DataPath& path);

  IoRequest* request = nullptr;  // answered when done, or
  std::function<void(ErrorCode)> done;

 private:
  friend class DataPath;
  struct Waiter : SharedSync::Waiter {
    FlushOp* op = nullptr;
  };
  void End(ErrorCode result);

  DataPath& path_;
  Waiter zeros_waiter_;
  Waiter head_waiter_;
};

}  // namespace aurochs
