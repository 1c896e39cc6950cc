#include "iscsi/pdu_fault.h"

#include "base/check.h"

namespace aurochs::iscsi {

FaultAnswer AnswerTo(PduFault fault) {
  using Action = FaultAction;
  using Reason = RejectReason;
  switch (fault) {
    case PduFault::kHeaderDigest:
      return {Action::kClose, Reason::kProtocolError, "header digest does not match"};
    case PduFault::kDataDigest:
      return {Action::kRejectAndClose, Reason::kDataDigestError, "data digest does not match"};
    case PduFault::kDataTooLong:
      return {Action::kRejectAndClose, Reason::kProtocolError,
              "data segment exceeds the declared MaxRecvDataSegmentLength"};
    case PduFault::kUnknownOpcode:
      return {Action::kReject, Reason::kCommandNotSupported, "unknown opcode"};
    case PduFault::kTargetOpcode:
      return {Action::kRejectAndClose, Reason::kProtocolError, "opcode of a target"};
    case PduFault::kLoginInFullFeature:
      return {Action::kRejectAndClose, Reason::kProtocolError, "login request after login"};
    case PduFault::kSnack:
      return {Action::kReject, Reason::kSnackReject, "SNACK needs error recovery level 1"};
    case PduFault::kOutsideWindow:
      return {Action::kDiscard, Reason::kProtocolError, "CmdSN outside the window"};
    case PduFault::kTooManyImmediate:
      return {Action::kReject, Reason::kTooManyImmediateCommands, "too many immediate commands"};
    case PduFault::kScsiInDiscovery:
      return {Action::kReject, Reason::kCommandNotSupported, "SCSI in a discovery session"};
    case PduFault::kTaskTagInUse:
      return {Action::kReject, Reason::kTaskInProgress, "initiator task tag in use"};
    case PduFault::kExtendedCdb:
      return {Action::kReject, Reason::kCommandNotSupported, "CDB of more than 16 bytes"};
    case PduFault::kDirectionWithoutLength:
      return {Action::kReject, Reason::kInvalidPduField, "transfer length without direction"};
    case PduFault::kDataOutForNoTask:
      return {Action::kDiscard, Reason::kProtocolError, "Data-Out for no task"};
    case PduFault::kDataOutWrongTag:
      return {Action::kReject, Reason::kInvalidPduField, "Data-Out with a wrong transfer tag"};
    case PduFault::kTextTooLong:
      return {Action::kReject, Reason::kLongOperationReject, "text request too long"};
    case PduFault::kTextMalformed:
      return {Action::kReject, Reason::kInvalidPduField, "text request malformed"};
    case PduFault::kTextOutOfTurn:
      return {Action::kReject, Reason::kInvalidPduField, "text request out of turn"};
    case PduFault::kLogoutMalformed:
      return {Action::kReject, Reason::kInvalidPduField, "logout reason unknown"};
  }
  Unreachable("AnswerTo");
}

}  // namespace aurochs::iscsi
