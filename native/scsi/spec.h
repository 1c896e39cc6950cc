// Numbers of the SCSI standards under the standards' names: SAM-5, SPC-4, SBC-3.
#pragma once

#include <cstddef>
#include <cstdint>

namespace aurochs::scsi {

// Operation codes (SPC-4, annex E).
namespace opcode {
inline constexpr uint8_t kTestUnitReady = 0x00;
inline constexpr uint8_t kRequestSense = 0x03;
inline constexpr uint8_t kRead6 = 0x08;
inline constexpr uint8_t kWrite6 = 0x0a;
inline constexpr uint8_t kInquiry = 0x12;
inline constexpr uint8_t kModeSelect6 = 0x15;
inline constexpr uint8_t kReserve6 = 0x16;
inline constexpr uint8_t kRelease6 = 0x17;
inline constexpr uint8_t kModeSense6 = 0x1a;
inline constexpr uint8_t kStartStopUnit = 0x1b;
inline constexpr uint8_t kPreventAllowMediumRemoval = 0x1e;
inline constexpr uint8_t kReadCapacity10 = 0x25;
inline constexpr uint8_t kRead10 = 0x28;
inline constexpr uint8_t kWrite10 = 0x2a;
inline constexpr uint8_t kWriteAndVerify10 = 0x2e;
inline constexpr uint8_t kVerify10 = 0x2f;
inline constexpr uint8_t kPreFetch10 = 0x34;
inline constexpr uint8_t kSynchronizeCache10 = 0x35;
inline constexpr uint8_t kReadDefectData10 = 0x37;
inline constexpr uint8_t kWriteSame10 = 0x41;
inline constexpr uint8_t kUnmap = 0x42;
inline constexpr uint8_t kSanitize = 0x48;
inline constexpr uint8_t kModeSelect10 = 0x55;
inline constexpr uint8_t kModeSense10 = 0x5a;
inline constexpr uint8_t kPersistentReserveIn = 0x5e;
inline constexpr uint8_t kPersistentReserveOut = 0x5f;
inline constexpr uint8_t kExtendedCopy = 0x83;
inline constexpr uint8_t kReceiveCopyResults = 0x84;
inline constexpr uint8_t kRead16 = 0x88;
inline constexpr uint8_t kCompareAndWrite = 0x89;
inline constexpr uint8_t kWrite16 = 0x8a;
inline constexpr uint8_t kOrWrite16 = 0x8b;
inline constexpr uint8_t kWriteAndVerify16 = 0x8e;
inline constexpr uint8_t kVerify16 = 0x8f;
inline constexpr uint8_t kPreFetch16 = 0x90;
inline constexpr uint8_t kSynchronizeCache16 = 0x91;
inline constexpr uint8_t kWriteSame16 = 0x93;
inline constexpr uint8_t kServiceActionIn16 = 0x9e;
inline constexpr uint8_t kReportLuns = 0xa0;
inline constexpr uint8_t kMaintenanceIn = 0xa3;
inline constexpr uint8_t kRead12 = 0xa8;
inline constexpr uint8_t kWrite12 = 0xaa;
inline constexpr uint8_t kWriteAndVerify12 = 0xae;
inline constexpr uint8_t kVerify12 = 0xaf;
inline constexpr uint8_t kReadDefectData12 = 0xb7;
}  // namespace opcode

namespace service_action {
inline constexpr int kNone = -1;
// SERVICE ACTION IN (16)
inline constexpr int kReadCapacity16 = 0x10;
inline constexpr int kGetLbaStatus = 0x12;
// SANITIZE (SBC-3, 5.24)
inline constexpr int kBlockErase = 0x02;
inline constexpr int kExitFailureMode = 0x1f;
// EXTENDED COPY and RECEIVE COPY RESULTS (SPC-4, 6.4 and 6.18): those of one-byte list identifiers
inline constexpr int kExtendedCopyLid1 = 0x00;
inline constexpr int kCopyStatusLid1 = 0x00;
inline constexpr int kCopyOperatingParameters = 0x03;
// MAINTENANCE IN
inline constexpr int kReportTargetPortGroups = 0x0a;
inline constexpr int kReportSupportedOperationCodes = 0x0c;
inline constexpr int kReportSupportedTaskManagementFunctions = 0x0d;
// PERSISTENT RESERVE IN (SPC-4, 6.13)
inline constexpr int kReadKeys = 0x00;
inline constexpr int kReadReservation = 0x01;
inline constexpr int kReportCapabilities = 0x02;
inline constexpr int kReadFullStatus = 0x03;
// PERSISTENT RESERVE OUT (SPC-4, 6.14)
inline constexpr int kRegister = 0x00;
inline constexpr int kReserve = 0x01;
inline constexpr int kRelease = 0x02;
inline constexpr int kClear = 0x03;
inline constexpr int kPreempt = 0x04;
inline constexpr int kPreemptAndAbort = 0x05;
inline constexpr int kRegisterAndIgnoreExistingKey = 0x06;
}  // namespace service_action

// Vital product data pages (SPC-4, 7.8; SBC-3, 6.6).
namespace vpd {
inline constexpr uint8_t kSupportedPages = 0x00;
inline constexpr uint8_t kUnitSerialNumber = 0x80;
inline constexpr uint8_t kDeviceIdentification = 0x83;
inline constexpr uint8_t kExtendedInquiryData = 0x86;
inline constexpr uint8_t kThirdPartyCopy = 0x8f;
inline constexpr uint8_t kBlockLimits = 0xb0;
inline constexpr uint8_t kBlockDeviceCharacteristics = 0xb1;
inline constexpr uint8_t kLogicalBlockProvisioning = 0xb2;
}  // namespace vpd

// The one target port group and port that a volume is reached through.
inline constexpr uint16_t kTargetPortGroup = 1;
inline constexpr uint16_t kRelativeTargetPort = 1;

inline constexpr size_t kFixedSenseBytes = 18;
inline constexpr size_t kPersistentReserveOutBytes = 24;  // without SPEC_I_PT (SPC-4, 6.14.3)

}  // namespace aurochs::scsi
