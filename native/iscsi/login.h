// Login negotiation (RFC 7143, section 6 and 11.12): login requests in, login responses out. Does
// no I/O and knows no sockets, so that every line of it can be tested with text.
//
// Thread: any; one object per connection that logs in.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "iscsi/chap.h"
#include "iscsi/login_fault.h"
#include "iscsi/operational_keys.h"
#include "iscsi/parameters.h"
#include "iscsi/pdu.h"
#include "iscsi/text_keys.h"

namespace aurochs::iscsi {

// What the rest of the server says about a login.
class LoginPolicy {
 public:
  struct Access {
    LoginFault fault = LoginFault::kNone;        // else the login ends with it
    std::optional<ChapCredentials> chap;         // the initiator must know these
    std::optional<ChapCredentials> mutual_chap;  // what we answer when it asks us
  };
  virtual Access AccessToTarget(std::string_view target, std::string_view initiator) = 0;
  virtual Access AccessToDiscovery() = 0;

 protected:
  ~LoginPolicy() = default;
};

using Isid = std::array<std::byte, 6>;

// Who logged in, and with what result.
struct LoginIdentity {
  std::string initiator;
  std::string target;  // empty in a discovery session
  Isid isid{};
  uint16_t tsih = 0;  // as the initiator sent it: 0 asks for a new session
  uint16_t cid = 0;
  uint32_t cmd_sn = 0;   // of the first command that follows
  uint32_t stat_sn = 0;  // of the next answer
};

class LoginNegotiation {
 public:
  enum class State : uint8_t {
    kStart,  // no complete request so far
    kSecurity,
    kOperational,
    kDone,    // the last answer moves to the full feature phase
    kFailed,  // the last answer says why; close after it
  };

  LoginNegotiation(LoginPolicy& policy, RandomSource random);

  struct Answer {
    Bhs bhs;           // complete but for the data segment's length
    std::string text;  // at most kLoginPduTextBytes
  };
  // Judges one login request. Not after kDone or kFailed.
  Answer OnRequest(const Bhs& request, std::string_view text);

  State state() const { return state_; }
  LoginFault fault() const { return fault_; }  // why it failed
  const LoginIdentity& identity() const { return identity_; }
  const Parameters& parameters() const { return parameters_; }

 private:
  LoginFault OnFirstRequest(const Bhs& request);
  LoginFault CheckSequence(const Bhs& request) const;
  LoginFault OnCompleteText(const Bhs& request, std::string& answer);
  LoginFault Identify(const std::vector<TextPair>& pairs, LoginStage stage, std::string& answer);
  LoginFault OnPair(const TextPair& pair, std::string& answer);
  LoginFault OnAuthMethod(std::string_view methods, std::string& answer);
  LoginFault OnChapKeys(const std::vector<TextPair>& pairs, std::string& answer);
  LoginFault Transit(const Bhs& request);
  bool Authenticated() const;
  Bhs ResponseTo(const Bhs& request, LoginFault fault, bool transit);
  void MoveTo(State next);

  LoginPolicy& policy_;
  const RandomSource random_;
  State state_ = State::kStart;
  LoginFault fault_ = LoginFault::kNone;
  bool started_ = false;     // The first request, of perhaps several with the C bit, has come.
  bool identified_ = false;  // Its names are known and accepted.
  uint32_t itt_ = 0;
  std::string pending_text_;  // of requests with the C bit
  LoginIdentity identity_;
  Parameters parameters_;
  LoginPolicy::Access access_;
  bool method_settled_ = false;
  std::optional<ChapTarget> chap_;
  OperationalKeys keys_;
};

}  // namespace aurochs::iscsi
