// What RFC 7143 fixes: opcodes, flags, field offsets, reason codes. Section numbers refer to it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace aurochs::iscsi {

// -- 11.2: basic header segment
inline constexpr size_t kBhsBytes = 48;
inline constexpr size_t kDigestBytes = 4;
inline constexpr size_t kAhsBytesMax = 255 * 4;  // TotalAHSLength counts words in one byte
inline constexpr size_t kWordBytes = 4;          // segments are padded to words

enum class Opcode : uint8_t {  // 11.2.1.2
  kNopOut = 0x00,
  kScsiCommand = 0x01,
  kTaskManagementRequest = 0x02,
  kLoginRequest = 0x03,
  kTextRequest = 0x04,
  kDataOut = 0x05,
  kLogoutRequest = 0x06,
  kSnackRequest = 0x10,
  kNopIn = 0x20,
  kScsiResponse = 0x21,
  kTaskManagementResponse = 0x22,
  kLoginResponse = 0x23,
  kTextResponse = 0x24,
  kDataIn = 0x25,
  kLogoutResponse = 0x26,
  kR2t = 0x31,
  kAsyncMessage = 0x32,
  kReject = 0x3f,
};

// Offsets of fields in the BHS; one field may have several names, by opcode.
namespace field {
inline constexpr size_t kOpcode = 0;
inline constexpr size_t kFlags = 1;
inline constexpr size_t kResponse = 2;    // SCSI, task management, logout: response; reject: reason
inline constexpr size_t kVersionMax = 2;  // login
inline constexpr size_t kVersionMin = 3;  // login request; active version in the response
inline constexpr size_t kStatus = 3;      // SCSI response, Data-In
inline constexpr size_t kAhsWords = 4;
inline constexpr size_t kDataSegmentLength = 5;  // 24 bits
inline constexpr size_t kLun = 8;
inline constexpr size_t kIsid = 8;            // login, 6 bytes
inline constexpr size_t kTsih = 14;           // login
inline constexpr size_t kItt = 16;            // initiator task tag
inline constexpr size_t kTtt = 20;            // target transfer tag
inline constexpr size_t kEdtl = 20;           // SCSI command: expected data transfer length
inline constexpr size_t kCid = 20;            // login and logout request
inline constexpr size_t kReferencedTag = 20;  // task management request
inline constexpr size_t kCmdSn = 24;          // requests
inline constexpr size_t kStatSn = 24;         // answers
inline constexpr size_t kExpStatSn = 28;      // requests
inline constexpr size_t kExpCmdSn = 28;       // answers
inline constexpr size_t kMaxCmdSn = 32;       // answers
inline constexpr size_t kCdb = 32;            // SCSI command, 16 bytes
inline constexpr size_t kRefCmdSn = 32;       // task management request
inline constexpr size_t kDataSn = 36;         // Data-In, Data-Out, R2T (as R2TSN)
inline constexpr size_t kExpDataSn = 36;      // SCSI response
inline constexpr size_t kLoginStatus = 36;    // login response: class and detail
inline constexpr size_t kAsyncEvent = 36;
inline constexpr size_t kParameter1 = 38;  // asynchronous message
inline constexpr size_t kParameter2 = 40;
inline constexpr size_t kParameter3 = 42;
inline constexpr size_t kBufferOffset = 40;  // Data-In, Data-Out, R2T
inline constexpr size_t kTime2Wait = 40;     // logout response
inline constexpr size_t kTime2Retain = 42;
inline constexpr size_t kResidualCount = 44;  // SCSI response, Data-In
inline constexpr size_t kDesiredLength = 44;  // R2T
}  // namespace field

inline constexpr uint8_t kOpcodeMask = 0x3f;
inline constexpr uint8_t kImmediateFlag = 0x40;  // in the opcode byte
inline constexpr uint8_t kFinalFlag = 0x80;      // in the flags byte, most PDUs

// Flags byte of a SCSI command (11.3.1), SCSI response (11.4.1) and Data-In (11.7).
inline constexpr uint8_t kReadFlag = 0x40;
inline constexpr uint8_t kWriteFlag = 0x20;
inline constexpr uint8_t kResidualOverflowFlag = 0x04;
inline constexpr uint8_t kResidualUnderflowFlag = 0x02;
inline constexpr uint8_t kDataInStatusFlag = 0x01;

// Flags byte of login (11.12) and text (11.10).
inline constexpr uint8_t kTransitFlag = 0x80;
inline constexpr uint8_t kContinueFlag = 0x40;
inline constexpr unsigned kCurrentStageShift = 2;
inline constexpr uint8_t kStageMask = 0x03;

inline constexpr uint32_t kReservedTag = 0xffff'ffff;  // no task, no transfer
inline constexpr uint32_t kLoginPduTextBytes =
    8192;  // 13.12: MaxRecvDataSegmentLength until declared

enum class LoginStage : uint8_t {  // 11.12.3
  kSecurity = 0,
  kOperational = 1,
  kFullFeature = 3,
};

enum class LoginStatus : uint16_t {  // 11.13.5, class and detail
  kSuccess = 0x0000,
  kInitiatorError = 0x0200,
  kAuthenticationFailure = 0x0201,
  kAuthorizationFailure = 0x0202,
  kNotFound = 0x0203,
  kTargetRemoved = 0x0204,
  kUnsupportedVersion = 0x0205,
  kTooManyConnections = 0x0206,
  kMissingParameter = 0x0207,
  kCannotIncludeInSession = 0x0208,
  kSessionTypeNotSupported = 0x0209,
  kSessionDoesNotExist = 0x020a,
  kInvalidDuringLogin = 0x020b,
  kTargetError = 0x0300,
  kServiceUnavailable = 0x0301,
  kOutOfResources = 0x0302,
};

enum class RejectReason : uint8_t {  // 11.17.1
  kDataDigestError = 0x02,
  kSnackReject = 0x03,
  kProtocolError = 0x04,
  kCommandNotSupported = 0x05,
  kTooManyImmediateCommands = 0x06,
  kTaskInProgress = 0x07,
  kInvalidSnack = 0x08,
  kInvalidPduField = 0x09,
  kLongOperationReject = 0x0a,
  kNegotiationReset = 0x0b,
  kWaitingForLogout = 0x0c,
};

enum class TaskManagementFunction : uint8_t {  // 11.5.1
  kAbortTask = 1,
  kAbortTaskSet = 2,
  kClearAca = 3,
  kClearTaskSet = 4,
  kLogicalUnitReset = 5,
  kTargetWarmReset = 6,
  kTargetColdReset = 7,
  kTaskReassign = 8,
};

enum class TaskManagementResponse : uint8_t {  // 11.6.1
  kComplete = 0,
  kTaskDoesNotExist = 1,
  kLunDoesNotExist = 2,
  kReassignmentNotSupported = 4,
  kNotSupported = 5,
  kRejected = 255,
};

enum class LogoutReason : uint8_t {  // 11.14.1
  kCloseSession = 0,
  kCloseConnection = 1,
  kRemoveForRecovery = 2,
};

enum class LogoutResponse : uint8_t {  // 11.15.1
  kClosed = 0,
  kCidNotFound = 1,
  kRecoveryNotSupported = 2,
};

enum class AsyncEvent : uint8_t {  // 11.9.1
  kLogoutRequest = 1,
  kConnectionDropped = 2,
  kSessionDropped = 3,
};

// Serial number arithmetic of RFC 1982 (4.2.2.1).
constexpr bool SerialLess(uint32_t a, uint32_t b) {
  return static_cast<int32_t>(a - b) < 0;
}
constexpr size_t PaddingFor(size_t bytes) {
  return (kWordBytes - bytes % kWordBytes) % kWordBytes;
}

}  // namespace aurochs::iscsi
