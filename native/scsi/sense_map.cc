#include "base/check.h"
#include "scsi/sense.h"

namespace aurochs::scsi {

Sense SenseFor(ErrorCode code, bool writing) {
  switch (code) {
    case ErrorCode::kOk: return {};
    case ErrorCode::kInvalidArgument:
    case ErrorCode::kUnsupported: return IllegalRequest(Asc::kInvalidFieldInCdb);
    case ErrorCode::kOutOfRange: return IllegalRequest(Asc::kLbaOutOfRange);
    case ErrorCode::kReadOnly: return {SenseKey::kDataProtect, Asc::kWriteProtected};
    case ErrorCode::kNoSpace: return {SenseKey::kDataProtect, Asc::kSpaceAllocationFailed};
    case ErrorCode::kMiscompare: return {SenseKey::kMiscompare, Asc::kMiscompareDuringVerify};
    // Initiators send such a command again after a while.
    case ErrorCode::kBusy:
    case ErrorCode::kUnavailable:
    case ErrorCode::kFailedPrecondition: return {SenseKey::kNotReady, Asc::kLunBecomingReady};
    // Another engine serves the volume (W3): this way to it is closed for good.
    case ErrorCode::kStaleEpoch:
      return {SenseKey::kNotReady, Asc::kLunNotAccessiblePortUnavailable};
    case ErrorCode::kAborted: return {SenseKey::kAbortedCommand, Asc::kNone};
    case ErrorCode::kLimitExceeded: return {SenseKey::kAbortedCommand, Asc::kInsufficientResources};
    case ErrorCode::kCorruption:
      return {SenseKey::kMediumError, writing ? Asc::kWriteError : Asc::kUnrecoveredReadError};
    // Linux makes ENODATA of an unrecovered read error; programs know EIO, which it makes of this.
    case ErrorCode::kIo:
      return {SenseKey::kMediumError, writing ? Asc::kWriteError : Asc::kLogicalUnitFailure};
    // Nothing that an initiator asks for ends like this: something of ours is broken.
    case ErrorCode::kNotFound:
    case ErrorCode::kAlreadyExists:
    case ErrorCode::kPermissionDenied:
      return {SenseKey::kHardwareError, Asc::kInternalTargetFailure};
  }
  Unreachable("SenseFor");
}

}  // namespace aurochs::scsi
