#include "base/status.h"

#include <cerrno>
#include <cstring>

namespace aurochs {

std::string_view ErrorCodeName(ErrorCode code) {
  switch (code) {
    case ErrorCode::kOk: return "OK";
    case ErrorCode::kInvalidArgument: return "INVALID_ARGUMENT";
    case ErrorCode::kOutOfRange: return "OUT_OF_RANGE";
    case ErrorCode::kNotFound: return "NOT_FOUND";
    case ErrorCode::kAlreadyExists: return "ALREADY_EXISTS";
    case ErrorCode::kPermissionDenied: return "PERMISSION_DENIED";
    case ErrorCode::kReadOnly: return "READ_ONLY";
    case ErrorCode::kNoSpace: return "NO_SPACE";
    case ErrorCode::kLimitExceeded: return "LIMIT_EXCEEDED";
    case ErrorCode::kFailedPrecondition: return "FAILED_PRECONDITION";
    case ErrorCode::kBusy: return "BUSY";
    case ErrorCode::kUnavailable: return "UNAVAILABLE";
    case ErrorCode::kAborted: return "ABORTED";
    case ErrorCode::kUnsupported: return "UNSUPPORTED";
    case ErrorCode::kStaleEpoch: return "STALE_EPOCH";
    case ErrorCode::kMiscompare: return "MISCOMPARE";
    case ErrorCode::kCorruption: return "CORRUPTION";
    case ErrorCode::kIo: return "IO";
  }
  Unreachable("ErrorCodeName");
}

ErrorCode ErrorCodeFromErrno(int error_number) {
  switch (error_number) {
    case 0: return ErrorCode::kOk;
    case EINVAL:
    case ELOOP:
    case EADDRNOTAVAIL:
    case ENAMETOOLONG:
    case ENOTDIR:
    case EISDIR: return ErrorCode::kInvalidArgument;
    case EFBIG: return ErrorCode::kOutOfRange;
    case ENOENT: return ErrorCode::kNotFound;
    case EEXIST: return ErrorCode::kAlreadyExists;
    case EACCES:
    case EPERM: return ErrorCode::kPermissionDenied;
    case EROFS: return ErrorCode::kReadOnly;
    case ENOSPC:
    case EDQUOT: return ErrorCode::kNoSpace;
    case EMFILE:
    case ENFILE:
    case ENOMEM: return ErrorCode::kLimitExceeded;
    case ENOTEMPTY: return ErrorCode::kFailedPrecondition;
    case EADDRINUSE:
    case EBUSY:
    case EAGAIN: return ErrorCode::kBusy;
    case ECANCELED: return ErrorCode::kAborted;
    case EOPNOTSUPP:
    case ENOSYS: return ErrorCode::kUnsupported;
    default: return ErrorCode::kIo;
  }
}

Status Status::FromErrno(int error_number, std::string_view what) {
  char text[128];
  return {ErrorCodeFromErrno(error_number),
          std::string(what) + ": " + strerror_r(error_number, text, sizeof text)};
}

Status Status::WithContext(std::string_view context) const {
  if (ok()) return *this;
  return {code_, std::string(context) + ": " + message_};
}

std::string Status::ToString() const {
  if (ok()) return "OK";
  return std::string(ErrorCodeName(code_)) + ": " + message_;
}

}  // namespace aurochs
