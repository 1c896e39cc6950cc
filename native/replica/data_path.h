// Requests to an open replica: admits them, runs them against the layers, and answers. With one
// layer a request is one file operation on the head. With several, reads ask the block map which
// layer answers, and writes keep it right.
//
// Nothing is acknowledged that lives only in this process: what completes is in the layer's files
// (or zero map), so a killed process loses nothing; a flush makes it durable (D1).
//
// Thread:    the replica's loop.
// Ownership: of the tree and the loop: the replica device.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

#include "base/status.h"
#include "block/block_device.h"
#include "io/event_loop.h"
#include "replica/admission_gate.h"
#include "replica/layer_tree.h"
#include "replica/object_pool.h"
#include "replica/range_lock.h"
#include "replica/region_lookup.h"
#include "replica/shared_sync.h"

namespace aurochs {

class QueryOp;
class FlushOp;
class ReadOp;
class WriteOp;
class ZeroOp;

class DataPath {
 public:
  // `need_zero_map` is called when a request waits for the head to get a zero map;
  // `failed` once, when data was lost (D4).
  DataPath(EventLoop& loop, LayerTree& tree, std::function<void()> need_zero_map,
           std::function<void()> failed);
  ~DataPath();

  void Submit(IoRequest* request);
  void Submit(AllocationQuery* query);

  // Makes everything durable that was acknowledged before; calls back, perhaps at once.
  void Flush(std::function<void(ErrorCode)> done);

  // The barrier: nobody is inside when `drained` runs, and those who come wait until Reopen.
  void CloseGate(std::function<void()> drained) { gate_.Close(std::move(drained)); }
  void Reopen();
  // Calls `enter` inside the gate: now or when it is open. Ends with gate().Leave().
  void EnterWhenOpen(std::function<void()> enter);

  // Requests that change data wait from now until LetWritesGo, and then go on in their order.
  // REQUIRES of HoldWrites: nobody is inside the gate.
  void HoldWrites();
  void LetWritesGo();

  // Inside a barrier: the tree has another head or another number of layers. `forget_map`: blocks
  // may have got other answers than the block map's.
  void TreeChanged(bool forget_map);
  // The head has a zero map now (Ok), or cannot get one: lets go on or fails who waits for it.
  void ZeroMapDecided(const Status& status);

  bool failed() const { return failed_; }
  void Fail();
  // Requests answered since the start, for those who yield to them.
  uint64_t requests_started() const { return requests_started_; }
  uint64_t map_bytes() const { return lookup_.memory_bytes(); }

  // -- For the operations inside
  EventLoop& loop() { return loop_; }
  LayerTree& tree() { return tree_; }
  AdmissionGate& gate() { return gate_; }
  RegionLookup& lookup() { return lookup_; }
  RangeLock& range_lock() { return range_lock_; }
  SharedSync& zero_sync() { return zero_sync_; }
  bool HeldByHead(LayerSlot source) const {
    return source != kSlotZeros && &tree_.InSlot(source) == &tree_.head();
  }
  void MarkHeadDirty() { head_sync_.MarkDirty(); }
  // Runs a part of an admitted request as a request of its own.
  void StartInside(IoRequest* part);
  // Answers an admitted request, made durable first if it asks for that.
  void Finish(IoRequest* request, ErrorCode result);
  void FinishQuery(AllocationQuery* query, ErrorCode result);
  // Puts an operation back for the next request.
  void Give(ReadOp* op);
  void Give(WriteOp* op);
  void Give(ZeroOp* op);

 private:
  friend class FlushOp;
  struct Pools;

  bool TryReadInline(const IoRequest& request);
  bool MustWaitForZeroMap(const IoRequest& request) const;
  void Start(IoRequest* request);
  void Answer(IoRequest* request, ErrorCode result);
  void SyncThen(FlushOp* op);

  EventLoop& loop_;
  LayerTree& tree_;
  const std::function<void()> need_zero_map_;
  const std::function<void()> on_failed_;
  AdmissionGate gate_;
  RegionLookup lookup_;
  RangeLock range_lock_;
  SharedSync head_sync_;
  SharedSync zero_sync_;
  std::unique_ptr<Pools> pools_;
  bool failed_ = false;
  uint64_t requests_started_ = 0;

  template <typename T>
  struct Queue {
    T* first = nullptr;
    T* last = nullptr;
    void Push(T* item) {
      item->next = nullptr;
      (last != nullptr ? last->next : first) = item;
      last = item;
    }
    T* TakeAll() {
      T* all = first;
      first = last = nullptr;
      return all;
    }
  };
  void SubmitAll(Queue<IoRequest>& held);

  bool writes_held_ = false;
  Queue<IoRequest> held_writes_;
  Queue<IoRequest> held_requests_;  // while the gate is closed
  Queue<AllocationQuery> held_queries_;
  std::vector<std::function<void()>> held_entries_;
  Queue<IoRequest> waiting_for_zero_map_;
};

}  // namespace aurochs
