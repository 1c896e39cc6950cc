// Errors are values from one closed list. A Status carries a code and, when it is not Ok, a
// sentence for a person that names the thing and what to do. A Result<T> is a value or a Status.
//
// Each edge (SCSI sense, NBD error, JavaScript error) translates ErrorCode in one table.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace aurochs {

enum class ErrorCode : uint8_t {
  kOk,
  kInvalidArgument,  // The caller asked for something that can never work.
  kOutOfRange,       // An extent leaves the device.
  kNotFound,
  kAlreadyExists,
  kPermissionDenied,    // Authentication failed or the initiator is not on the list.
  kReadOnly,            // The device or the disk below refuses writes.
  kNoSpace,             // D5: no space on every replica.
  kLimitExceeded,       // A named limit of limits.h is reached.
  kFailedPrecondition,  // Possible, but not in this state; the message says what comes first.
  kBusy,                // In use by somebody else; try again when they are done.
  kUnavailable,         // Closing, or not open yet.
  kAborted,             // Cancelled by the initiator (W6).
  kUnsupported,         // A feature this version does not know.
  kStaleEpoch,          // W1: a newer engine has opened the replica.
  kMiscompare,          // COMPARE AND WRITE and VERIFY found other bytes.
  kCorruption,          // A checksum, magic or length is wrong (D2).
  kIo,                  // The disk below failed.
};

// "kNoSpace" is "NO_SPACE": the name that logs, JavaScript and documents use.
std::string_view ErrorCodeName(ErrorCode code);

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}

  static Status Ok() { return {}; }
  // Translates an errno (positive) of the call that `what` describes.
  static Status FromErrno(int error_number, std::string_view what);

  bool ok() const { return code_ == ErrorCode::kOk; }
  ErrorCode code() const { return code_; }
  const std::string& message() const { return message_; }
  // The same code with "`context`: " before the message.
  Status WithContext(std::string_view context) const;
  std::string ToString() const;

 private:
  ErrorCode code_ = ErrorCode::kOk;
  std::string message_;
};

// The only translation from errno to ErrorCode.
ErrorCode ErrorCodeFromErrno(int error_number);

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}
  Result(Status status) : status_(std::move(status)) { CHECK(!status_.ok()); }

  bool ok() const { return status_.ok(); }
  const Status& status() const { return status_; }
  T& value() & {
    CHECK(value_.has_value());
    return *value_;
  }
  const T& value() const& {
    CHECK(value_.has_value());
    return *value_;
  }
  T&& value() && {
    CHECK(value_.has_value());
    return std::move(*value_);
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  Status status_;
  std::optional<T> value_;
};

// Leaves the function with the Status of `expression` unless it is Ok.
#define RETURN_IF_ERROR(expression)                      \
  do {                                                   \
    ::aurochs::Status status_from_call = (expression);   \
    if (!status_from_call.ok()) return status_from_call; \
  } while (false)

}  // namespace aurochs
