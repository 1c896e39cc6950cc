// One TCP connection in the full feature phase: moves PDUs between the socket and its user, many
// with one system call each way. What has arrived is received at once and handled; what that causes
// to be sent is gathered until the end of the turn.
//
// Thread:    of the loop given at construction.
// Ownership: owns the socket. Its user owns it, and keeps it for at least the turn in which it was
//            closed.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "io/event_loop.h"
#include "iscsi/established_login.h"
#include "iscsi/pdu.h"
#include "iscsi/pdu_fault.h"
#include "iscsi/pdu_reader.h"
#include "iscsi/pdu_writer.h"
#include "iscsi/server.h"

namespace aurochs::iscsi {

class Connection final : private FdHandler, private TurnEndTask {
 public:
  class User {
   public:
    // The header of a PDU is known. Returns where its data segment shall go, or nullptr to have it
    // shown to OnPdu only.
    virtual std::byte* OnHeader(const Bhs& bhs) = 0;
    // All of it is known; `data` is valid during the call, or as long as what OnHeader returned.
    virtual void OnPdu(const Bhs& bhs, std::span<const std::byte> data) = 0;
    // Appends answers that wait, while HasRoom(). Called at the end of the turn and when the socket
    // takes more.
    virtual void FillOutput() = 0;
    // ExpCmdSN and MaxCmdSN for the next PDU that goes out.
    virtual void StampCommandWindow(Bhs& bhs) = 0;
    // The socket is closed; once, and not after Close. No other call follows.
    virtual void OnConnectionLost(std::string_view why) = 0;

   protected:
    ~User() = default;
  };

  // Sends the login's last response. Digests begin after it.
  Connection(EventLoop& loop, EstablishedLogin login, User& user, const Timeouts& timeouts);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // -- Output. New() gives a PDU to fill; one of the others takes it.
  OutPdu* New(const Bhs& bhs) { return writer_.New(bhs); }
  void AppendStatus(OutPdu* pdu);  // carries a status: takes the next StatSN
  void AppendNoStatus(OutPdu* pdu, bool show_stat_sn);
  // Whether more Data-In should be formatted now.
  bool HasRoom() const {
    return writer_.pending_bytes() < kSendBatchBytesMax &&
           writer_.pending_pdus() < kSendBatchPdusMax;
  }
  // There is something for FillOutput.
  void WantOutput() {
    if (!closed()) loop_.RunAtTurnEnd(*this);
  }

  void Reject(const Bhs& bad, RejectReason reason);
  // Answers as the table says. Closes, where it says so, after what is queued has been sent.
  void OnFault(const Bhs& bad, PduFault fault);

  // -- End
  void CloseAfterOutput(std::string_view why);
  void Close();  // At once; nothing is told to the user.
  bool closed() const { return !fd_.valid(); }

  void SetInitiatorSegmentBytesMax(uint32_t bytes) { initiator_segment_bytes_max_ = bytes; }
  uint32_t initiator_segment_bytes_max() const { return initiator_segment_bytes_max_; }
  uint16_t cid() const { return cid_; }
  const std::string& local_address() const { return local_address_; }
  const std::string& remote_address() const { return remote_address_; }

 private:
  void OnReadable() override;
  void OnWritable() override;
  void OnTurnEnd() override;
  void OnIdleTimer();

  void HandleReceived();
  bool HandleOne();
  void Flush();
  bool SendOnce();
  bool OutputBlocksInput() const;
  void UpdateInterest();
  void Lose(std::string_view why);
  void SendNop();

  EventLoop& loop_;
  UniqueFd fd_;
  const ConnectionSlot slot_;
  User& user_;
  PduReader reader_;
  PduWriter writer_;
  std::unique_ptr<FdWatch> watch_;
  Timer idle_timer_;
  const uint32_t nop_idle_ms_;
  const uint32_t nop_timeout_ms_;
  const uint16_t cid_;
  const std::string local_address_;
  const std::string remote_address_;
  uint32_t initiator_segment_bytes_max_;
  uint32_t stat_sn_;
  bool input_paused_ = false;  // until output has drained
  bool output_waits_ = false;  // until the socket takes more
  bool flushing_ = false;
  std::string close_reason_;  // set once it closes after its output
  uint64_t received_ms_ = 0;  // when the initiator was heard last
  bool nop_pending_ = false;  // it was asked and has not been heard since
  uint32_t nop_ttt_ = 0;
};

}  // namespace aurochs::iscsi
