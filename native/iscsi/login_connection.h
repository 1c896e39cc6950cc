// A connection that logs in: moves login PDUs between its socket and the negotiation.
//
// Thread:    of the portal's loop.
// Ownership: owns the socket until the login is done. Its owner destroys it, not inside a call.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "io/event_loop.h"
#include "iscsi/established_login.h"
#include "iscsi/login.h"
#include "iscsi/pdu_reader.h"
#include "iscsi/pdu_writer.h"

namespace aurochs::iscsi {

class LoginConnection final : private FdHandler {
 public:
  class Owner {
   public:
    // One of these is called, once. The last answer has not been sent.
    virtual void OnLoggedIn(uint64_t id, std::unique_ptr<EstablishedLogin> login) = 0;
    virtual void OnLoginEnded(uint64_t id) = 0;

   protected:
    ~Owner() = default;
  };

  LoginConnection(EventLoop& loop, UniqueFd fd, ConnectionSlot slot, std::string remote_address,
                  LoginPolicy& policy, Owner& owner, uint64_t id, uint32_t timeout_ms);

 private:
  void OnReadable() override;
  void OnWritable() override;
  void HandleReceived();
  bool HandleOne();
  void OnLoginRequest();
  void Flush();
  void End(std::string_view why);
  void Establish(LoginNegotiation::Answer last_answer);

  Owner& owner_;
  const uint64_t id_;
  UniqueFd fd_;
  ConnectionSlot slot_;
  const std::string local_address_;
  const std::string remote_address_;
  LoginNegotiation negotiation_;
  PduReader reader_;
  PduWriter writer_;
  std::unique_ptr<FdWatch> watch_;
  Timer timeout_;
  bool ended_ = false;
};

}  // namespace aurochs::iscsi
