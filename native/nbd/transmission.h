// The transmission phase of one connection (proto.md, "Transmission"): takes requests out of the
// bytes that arrive, gives them to the device, and queues the replies as a gather list. It knows
// neither sockets nor loops; its owner moves the bytes.
//
// Made for many requests at a time: one receive brings all that have arrived, one send takes all
// replies that are ready. In the steady state nothing is allocated: requests and buffers are
// recycled, a small write's data stays where it was received, a large one's is received into a
// buffer of its own, and what was read is sent from the buffer the device filled.
//
// Thread:    the device's loop.
// Ownership: the device and the observer outlive it. It may end only when nothing is in the device.
// Memory:    at most kNbdRequestsInFlightMax requests and kConnectionBufferBytesMax of buffers,
// from
//            the arrival of a request until its reply is sent. When they are reached, InputSpace is
//            empty, so that the client has to wait.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/limits.h"
#include "block/block_device.h"
#include "block/buffer_pool.h"
#include "nbd/block_status.h"
#include "nbd/reply.h"
#include "nbd/request.h"

namespace aurochs::nbd {

class Transmission {
 public:
  class Observer {
   public:
    // A request has left the device; its reply, if it gets one, is ready. May run inside AddInput
    // and Resume. The observer must not call back at once; it does its work at the turn's end.
    virtual void OnReplyReady() = 0;

   protected:
    ~Observer() = default;
  };

  Transmission(BlockDevice& device, RequestRules rules, Observer& observer);
  ~Transmission();
  Transmission(const Transmission&) = delete;
  Transmission& operator=(const Transmission&) = delete;

  // -- Input
  // Where the next bytes shall go; empty when none are wanted now (a limit) or ever (closed). Valid
  // until the next call of any method.
  std::span<const iovec> InputSpace();
  // The first `bytes` of the space have been filled: takes the requests that are complete.
  void AddInput(size_t bytes);
  // Goes on with what has arrived, after a limit had stopped it. Call when replies have left.
  void Resume();
  // No request is taken any more; those in flight are answered.
  void CloseInput();
  // By CloseInput, by the client's DISC, or by bytes that are not NBD.
  bool input_closed() const { return input_closed_; }

  // -- Output
  // Fills `into` with what is ready to be sent, in order, and returns how many entries it used.
  size_t GatherOutput(std::span<iovec> into) const;
  void OutputSent(size_t bytes);
  bool has_output() const { return replies_head_ != nullptr; }
  // Nobody will take replies any more: discards those that are ready and those to come.
  void DropOutput();

  // Whether InputSpace may have space.
  bool wants_input() const { return !input_closed_ && !at_limit_; }
  // Requests that the device has.
  uint32_t in_device() const { return in_device_; }
  // Gives back what an idle connection does not need. Cheap; call when a turn ends.
  void ReleaseIdleMemory();
  // Memory that this connection pins.
  uint64_t pinned_bytes() const { return pinned_bytes_; }

 private:
  // A buffer that requests are received into. Small writes are written from where they lie in it,
  // so it lives until the last of them is done.
  struct ReceiveBuffer {
    PooledBuffer memory;
    uint32_t users = 0;
  };

  struct Request {
    IoRequest io;
    iovec data{};         // read into, written from, or what follows the reply's header
    PooledBuffer buffer;  // what `data` points into, unless that is `received`
    ReceiveBuffer* received = nullptr;
    std::unique_ptr<BlockStatus> status;
    RequestHeader header;
    Transmission* owner = nullptr;
    ReplyHeader reply;
    uint32_t reply_bytes = 0;       // of `reply`
    uint32_t reply_data_bytes = 0;  // of `data`
    Request* next = nullptr;        // in the list of free requests or of replies
  };

  static void OnIoComplete(IoRequest* io, ErrorCode result);
  static void OnBlockStatus(void* request, ErrorCode result);

  // -- Input: each returns whether it got on.
  void TakeRequests();
  bool TakeNext();
  bool SkipRefusedPayload();
  bool TakeWithPayload(const RequestHeader& header);
  bool TakeStatusPayload(const RequestHeader& header);
  void Take(const RequestHeader& header);
  void ReceiveLargeWrite(Request& request, size_t available_bytes);
  void AddToLargeWrite(size_t bytes);
  bool HasRoomFor(const RequestHeader& header) const;
  bool MakeReceiveRoom();
  void Refuse(Request& request, NbdError error);

  // -- Execution
  void Start(Request& request);
  void StartRead(Request& request);
  void StartBlockStatus(Request& request);
  void Submit(Request& request, IoOp op);
  void Complete(Request& request, ErrorCode result);
  void CompleteBlockStatus(Request& request, ErrorCode result);

  // -- Output
  void Answer(Request& request, NbdError error);
  void AnswerWithData(Request& request);
  void Queue(Request& request);

  // -- Memory
  Request& NewRequest(const RequestHeader& header);
  void FreeRequest(Request& request);
  bool AllocateBuffer(Request& request, uint64_t bytes);
  void ReleaseBuffers(Request& request);
  ReceiveBuffer* NewReceiveBuffer();
  void ReleaseReceiveBuffer(ReceiveBuffer* buffer);

  BlockDevice& device_;
  const RequestRules rules_;
  const size_t header_bytes_;  // of a request
  Observer& observer_;
  BufferPool& pool_;

  // Input: bytes [parsed_, filled_) of receiving_ have arrived and wait to be taken.
  ReceiveBuffer* receiving_ = nullptr;
  size_t parsed_ = 0;
  size_t filled_ = 0;
  std::array<iovec, 2> input_space_{};
  Request* large_write_ = nullptr;  // its payload is being received
  size_t large_write_filled_ = 0;
  bool large_writes_expected_ = false;  // receive little beside a payload: the next is large too
  Request* refused_ = nullptr;          // answered once its payload has been passed over
  uint64_t skip_bytes_ = 0;
  bool at_limit_ = false;
  bool input_closed_ = false;

  // Output: replies in the order in which they became ready.
  Request* replies_head_ = nullptr;
  Request* replies_tail_ = nullptr;
  size_t head_sent_bytes_ = 0;
  bool output_dropped_ = false;

  uint32_t in_device_ = 0;
  uint32_t in_flight_ = 0;  // taken and not yet answered in full
  uint64_t pinned_bytes_ = 0;

  std::vector<std::unique_ptr<Request>> requests_;
  Request* free_requests_ = nullptr;
  std::vector<std::unique_ptr<ReceiveBuffer>> spare_receive_buffers_;
};

}  // namespace aurochs::nbd
