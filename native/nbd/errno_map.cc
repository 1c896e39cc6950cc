#include "nbd/errno_map.h"

#include "base/check.h"

namespace aurochs::nbd {

NbdError NbdErrorFor(ErrorCode code) {
  switch (code) {
    case ErrorCode::kOk: return NbdError::kNone;

    case ErrorCode::kInvalidArgument:
    case ErrorCode::kOutOfRange: return NbdError::kEinval;

    case ErrorCode::kPermissionDenied:
    case ErrorCode::kReadOnly: return NbdError::kEperm;

    case ErrorCode::kNoSpace: return NbdError::kEnospc;
    case ErrorCode::kLimitExceeded: return NbdError::kEnomem;

    // Not ENOTSUP: proto.md reserves it for a fast zero that would be slow.
    case ErrorCode::kUnsupported: return NbdError::kEinval;

    // The engine of this export ends, in order or by a newer one (W3): the client shall go away.
    case ErrorCode::kUnavailable:
    case ErrorCode::kStaleEpoch: return NbdError::kEshutdown;

    case ErrorCode::kNotFound:
    case ErrorCode::kAlreadyExists:
    case ErrorCode::kFailedPrecondition:
    case ErrorCode::kBusy:
    case ErrorCode::kAborted:
    case ErrorCode::kMiscompare:
    case ErrorCode::kCorruption:
    case ErrorCode::kIo: return NbdError::kEio;
  }
  Unreachable("NbdErrorFor");
}

}  // namespace aurochs::nbd
