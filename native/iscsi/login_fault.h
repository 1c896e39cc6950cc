// What a login that breaks the rules, or is not allowed, gets: one table, so that every such case
// can be read in one place (RFC 7143, 6.3, 11.13.5).
#pragma once

#include <cstdint>
#include <string_view>

#include "iscsi/spec.h"

namespace aurochs::iscsi {

enum class LoginFault : uint8_t {
  kNone,
  // -- The requests
  kNewerVersion,         // 11.12.5
  kStageUnknown,         // the login does not begin in a stage that may be first
  kStageWrong,           // a request of a stage that is over or has not begun
  kStageBackwards,       // asks to move to a stage that does not follow
  kOtherLogin,           // 6.3: ITT, ISID, TSIH and CID stay the same
  kContinueWithTransit,  // 11.12.2
  kTextTooLong,          // more than kLoginTextBytesMax
  kTextMalformed,
  kAnswerTooLong,  // thousands of keys that we do not know
  // -- Names and keys
  kNoInitiatorName,  // 13.5
  kNoTargetName,     // 13.4
  kNameTooLong,      // 4.2.7.1
  kNameMalformed,    // 4.2.7.2: control characters and blanks, which would reach logs and terminals
  kSessionTypeUnknown,
  kKeyTwice,        // 6.2: a key is negotiated once
  kDeclarationBad,  // a declaration has no answer that could refuse it
  // -- Authentication
  kMethodNotOffered,  // what we ask for is not in the initiator's AuthMethod
  kSecuritySkipped,   // 6.3: only those may skip it who need no authentication
  kNotThrough,        // leaves the stage without having begun
  kChapFailed,        // 12.1.3: and never says which part of it
  // -- The target
  kNoSuchTarget,
  kTargetGone,  // since the login began
  kInitiatorNotListed,
  kTooManySessions,   // kSessionsPerTargetMax
  kSecondConnection,  // sessions have one connection
  kNoSuchSession,     // TSIH of none
  kOvertaken,         // by a later login of the same initiator port
};

struct LoginFaultAnswer {
  LoginStatus status;
  std::string_view message;  // for the log
};

LoginFaultAnswer AnswerTo(LoginFault fault);

}  // namespace aurochs::iscsi
