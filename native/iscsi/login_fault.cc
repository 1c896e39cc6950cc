#include "iscsi/login_fault.h"

#include "base/check.h"

namespace aurochs::iscsi {

LoginFaultAnswer AnswerTo(LoginFault fault) {
  using Status = LoginStatus;
  switch (fault) {
    case LoginFault::kNone: return {Status::kSuccess, "no fault"};
    case LoginFault::kNewerVersion:
      return {Status::kUnsupportedVersion, "the initiator wants a newer version of the protocol"};
    case LoginFault::kStageUnknown:
      return {Status::kInitiatorError, "the login begins in a stage that cannot be the first"};
    case LoginFault::kStageWrong:
      return {Status::kInitiatorError, "a request of a stage that the login is not in"};
    case LoginFault::kStageBackwards:
      return {Status::kInitiatorError, "a transition to a stage that does not follow"};
    case LoginFault::kOtherLogin:
      return {Status::kInitiatorError, "tag, ISID, TSIH or CID changed during the login"};
    case LoginFault::kContinueWithTransit:
      return {Status::kInitiatorError, "the C bit and the T bit in one request"};
    case LoginFault::kTextTooLong: return {Status::kOutOfResources, "too much text"};
    case LoginFault::kTextMalformed: return {Status::kInitiatorError, "malformed text"};
    case LoginFault::kAnswerTooLong: return {Status::kInitiatorError, "too many unknown keys"};
    case LoginFault::kNoInitiatorName: return {Status::kMissingParameter, "no InitiatorName"};
    case LoginFault::kNoTargetName: return {Status::kMissingParameter, "no TargetName"};
    case LoginFault::kNameTooLong: return {Status::kInitiatorError, "a name that is too long"};
    case LoginFault::kNameMalformed:
      return {Status::kInitiatorError, "a name with characters that no name has"};
    case LoginFault::kSessionTypeUnknown:
      return {Status::kSessionTypeNotSupported, "unknown SessionType"};
    case LoginFault::kKeyTwice: return {Status::kInitiatorError, "a key was negotiated twice"};
    case LoginFault::kDeclarationBad:
      return {Status::kInitiatorError, "a key declares a value that it cannot have"};
    case LoginFault::kMethodNotOffered:
      return {Status::kAuthenticationFailure, "the initiator does not offer what is asked for"};
    case LoginFault::kSecuritySkipped:
      return {Status::kAuthenticationFailure, "the initiator skips authentication"};
    case LoginFault::kNotThrough:
      return {Status::kAuthenticationFailure, "the initiator leaves before authentication"};
    case LoginFault::kChapFailed: return {Status::kAuthenticationFailure, "CHAP failed"};
    case LoginFault::kNoSuchTarget: return {Status::kNotFound, "there is no such target"};
    case LoginFault::kTargetGone: return {Status::kTargetRemoved, "the target has been removed"};
    case LoginFault::kInitiatorNotListed:
      return {Status::kAuthorizationFailure, "the initiator is not on the target's list"};
    case LoginFault::kTooManySessions:
      return {Status::kOutOfResources, "the target has too many sessions"};
    case LoginFault::kSecondConnection:
      return {Status::kTooManyConnections, "a second connection of a session"};
    case LoginFault::kNoSuchSession:
      return {Status::kSessionDoesNotExist, "there is no session of that TSIH"};
    case LoginFault::kOvertaken:
      return {Status::kTargetError, "a later login of the initiator took its place"};
  }
  Unreachable("AnswerTo");
}

}  // namespace aurochs::iscsi
