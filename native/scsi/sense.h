// Sense data: why a command failed, or what happened to the unit meanwhile (SPC-4, 4.5).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "base/status.h"
#include "scsi/spec.h"

namespace aurochs::scsi {

enum class SenseKey : uint8_t {
  kNoSense = 0x0,
  kNotReady = 0x2,
  kMediumError = 0x3,
  kHardwareError = 0x4,
  kIllegalRequest = 0x5,
  kUnitAttention = 0x6,
  kDataProtect = 0x7,
  kCopyAborted = 0xa,
  kAbortedCommand = 0xb,
  kMiscompare = 0xe,
};

// Additional sense code and its qualifier (SPC-4, 4.5.6): ASC in the high byte.
enum class Asc : uint16_t {
  kNone = 0x0000,
  kOperationInProgress = 0x0016,
  kLunBecomingReady = 0x0401,
  kLunNotAccessiblePortUnavailable = 0x040c,
  kSanitizeInProgress = 0x041b,
  kWriteError = 0x0c00,
  kThirdPartyDeviceFailure = 0x0d01,
  kCopyTargetDeviceNotReachable = 0x0d02,
  kInvalidFieldInCommandInformationUnit = 0x0e03,
  kUnrecoveredReadError = 0x1100,
  kParameterListLengthError = 0x1a00,
  kMiscompareDuringVerify = 0x1d00,
  kInvalidCommandOperationCode = 0x2000,
  kLbaOutOfRange = 0x2100,
  kInvalidFieldInCdb = 0x2400,
  kLogicalUnitNotSupported = 0x2500,
  kInvalidFieldInParameterList = 0x2600,
  kInvalidReleaseOfPersistentReservation = 0x2604,
  kTooManyTargetDescriptors = 0x2606,
  kUnsupportedTargetDescriptorTypeCode = 0x2607,
  kTooManySegmentDescriptors = 0x2608,
  kUnsupportedSegmentDescriptorTypeCode = 0x2609,
  kInlineDataLengthExceeded = 0x260b,
  kWriteProtected = 0x2700,
  kSoftwareWriteProtected = 0x2702,
  kSpaceAllocationFailed = 0x2707,
  kMediumMayHaveChanged = 0x2800,
  kPowerOnOrReset = 0x2900,
  kBusDeviceResetFunctionOccurred = 0x2903,
  kModeParametersChanged = 0x2a01,
  kReservationsPreempted = 0x2a03,
  kReservationsReleased = 0x2a04,
  kRegistrationsPreempted = 0x2a05,
  kCapacityDataHasChanged = 0x2a09,
  kSanitizeCommandFailed = 0x3103,
  kSavingParametersNotSupported = 0x3900,
  kMediumNotPresent = 0x3a00,
  kLogicalUnitFailure = 0x3e01,
  kInquiryDataHasChanged = 0x3f03,
  kInternalTargetFailure = 0x4400,
  kMediumRemovalPrevented = 0x5302,
  kInsufficientResources = 0x5503,
  kInsufficientRegistrationResources = 0x5504,
};

struct Sense {
  SenseKey key = SenseKey::kNoSense;
  Asc asc = Asc::kNone;
  std::optional<uint32_t> information;  // e.g. where a comparison failed
  std::optional<uint8_t> cdb_byte;      // FIELD POINTER: where the field in error begins
  std::optional<uint16_t> progress;     // PROGRESS INDICATION, in 65,536ths

  friend bool operator==(const Sense&, const Sense&) = default;
};

constexpr Sense IllegalRequest(Asc asc) {
  return {SenseKey::kIllegalRequest, asc};
}
constexpr Sense InvalidFieldInCdb(uint8_t byte) {
  return {SenseKey::kIllegalRequest, Asc::kInvalidFieldInCdb, {}, byte, {}};
}
constexpr Sense UnitAttention(Asc asc) {
  return {SenseKey::kUnitAttention, asc};
}

// Fixed format, current error (SPC-4, 4.5.3).
std::array<std::byte, kFixedSenseBytes> EncodeFixedSense(const Sense& sense);

// The one translation from our errors to sense data. A disk that fails says something else for a
// read than for a write.
Sense SenseFor(ErrorCode code, bool writing);

// The unit attentions that wait for one nexus, oldest first (SAM-5, 5.14). Each is reported once.
class UnitAttentionQueue {
 public:
  bool empty() const { return waiting_.empty(); }
  // Ignores what already waits. A queue that is full makes place for POWER ON, RESET, which tells
  // the initiator to look at everything again.
  void Add(Asc asc);
  Asc Take();

 private:
  std::vector<Asc> waiting_;
};

}  // namespace aurochs::scsi
