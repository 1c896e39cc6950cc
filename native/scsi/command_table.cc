#include <array>

#include "scsi/command_spec.h"
#include "scsi/spec.h"
#include "scsi/unit.h"

namespace aurochs::scsi {
namespace {

using enum Transfer;
using enum Access;
using Usage = std::array<uint8_t, 15>;
namespace op = opcode;
namespace sa = service_action;

constexpr auto kNoAction = service_action::kNone;
constexpr auto kKeepsAttention = CommandSpec::kKeepsUnitAttention;
constexpr auto kNeedsUnmap = CommandSpec::kNeedsUnmap;
constexpr auto kWhileSanitizeFailed = CommandSpec::kWhileSanitizeFailed;
constexpr auto kMedium = CommandSpec::kNeedsMedium;
constexpr uint8_t kChangesMedium = CommandSpec::kModifies | CommandSpec::kNeedsMedium;

// Byte 1. The bits for protection information are missing: there is none.
constexpr uint8_t kCache = kCdbDpo | kCdbFua | kCdbFuaNv;
constexpr uint8_t kVerify = kCdbDpo | 0x06;  // BYTCHK
constexpr uint8_t kImmed = 0x02;
constexpr uint8_t kSyncNvImmed = 0x06;
constexpr uint8_t kSanitizeFlags = 0xa0;  // IMMED, AUSE
constexpr uint8_t kGroup = 0x1f;          // GROUP NUMBER: accepted, means nothing here

// The usual forms of CDBs, from byte 1 on.
constexpr Usage Blocks6() {
  return {0x1f, 0xff, 0xff, 0xff};
}
constexpr Usage Blocks10(uint8_t flags) {
  return {flags, 0xff, 0xff, 0xff, 0xff, kGroup, 0xff, 0xff};
}
constexpr Usage Blocks12(uint8_t flags) {
  return {flags, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, kGroup};
}
constexpr Usage Blocks16(uint8_t flags) {
  return {flags, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, kGroup};
}
constexpr Usage CompareAndWrite16() {
  Usage usage = Blocks16(kCache);
  for (size_t byte : {10, 11, 12}) usage[byte - 1] = 0;  // its length has one byte
  return usage;
}
constexpr Usage GetLbaStatus16() {
  Usage usage = Blocks16(0);
  usage[13] = 0;
  return usage;
}
constexpr Usage ReadCapacity16() {
  return {0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
}
constexpr Usage CopyCdb(uint8_t list_identifier) {
  return {0, list_identifier, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff};
}
constexpr Usage ReserveIn() {
  return {0, 0, 0, 0, 0, 0, 0xff, 0xff};
}
constexpr Usage ReserveOut() {
  return {0, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff};
}
// Bytes 1 to 5, and an allocation length in bytes 6 to 9.
constexpr Usage Report12(std::array<uint8_t, 5> first) {
  return {first[0], first[1], first[2], first[3], first[4], 0xff, 0xff, 0xff, 0xff};
}

// clang-format off
constexpr CommandSpec kCommands[] = {
    {op::kTestUnitReady, kNoAction, "TEST UNIT READY",
     kNone, {}, kUnreserved, kMedium, {}, &Unit::TestUnitReady},
    {op::kRequestSense, kNoAction, "REQUEST SENSE",
     kAllocation, {4, 1}, kAlways, kKeepsAttention, {0x01, 0, 0, 0xff}, &Unit::RequestSense},
    {op::kRead6, kNoAction, "READ(6)",
     kReadBlocks, {}, kReads, kMedium, Blocks6(), &Unit::Read},
    {op::kWrite6, kNoAction, "WRITE(6)",
     kWriteBlocks, {}, kWrites, kChangesMedium, Blocks6(), &Unit::Write},
    // Bits 7 to 5 of byte 1 were the LUN until SCSI-2. Linux writes it there while it does not know
    // the unit's version: in the first INQUIRY to a LUN that it is told to look for.
    {op::kInquiry, kNoAction, "INQUIRY",
     kAllocation, {3, 2}, kAlways, kKeepsAttention, {0xe1, 0xff, 0xff, 0xff}, &Unit::Inquiry},
    {op::kModeSelect6, kNoAction, "MODE SELECT(6)",
     kParameterList, {4, 1}, kWrites, 0, {0x10, 0, 0, 0xff}, &Unit::ModeSelect},
    {op::kReserve6, kNoAction, "RESERVE(6)",
     kNone, {}, kReservation, 0, {}, &Unit::Reserve6},
    {op::kRelease6, kNoAction, "RELEASE(6)",
     kNone, {}, kReservation, 0, {}, &Unit::Release6},
    {op::kModeSense6, kNoAction, "MODE SENSE(6)",
     kAllocation, {4, 1}, kReads, 0, {0x08, 0xff, 0xff, 0xff}, &Unit::ModeSense},
    {op::kStartStopUnit, kNoAction, "START STOP UNIT",
     kNone, {}, kWrites, 0, {0x01, 0, 0, 0xf7}, &Unit::StartStopUnit},
    {op::kPreventAllowMediumRemoval, kNoAction, "PREVENT ALLOW MEDIUM REMOVAL",
     kNone, {}, kUnreserved, 0, {0, 0, 0, 0x03}, &Unit::PreventAllowMediumRemoval},
    {op::kReadCapacity10, kNoAction, "READ CAPACITY(10)",
     kAllocation, {0, 0, 8}, kUnreserved, kMedium, {}, &Unit::ReadCapacity10},
    {op::kRead10, kNoAction, "READ(10)",
     kReadBlocks, {}, kReads, kMedium, Blocks10(kCache), &Unit::Read},
    {op::kWrite10, kNoAction, "WRITE(10)",
     kWriteBlocks, {}, kWrites, kChangesMedium, Blocks10(kCache), &Unit::Write},
    {op::kWriteAndVerify10, kNoAction, "WRITE AND VERIFY(10)",
     kWriteBlocks, {}, kWrites, kChangesMedium, Blocks10(kVerify), &Unit::WriteAndVerify},
    {op::kVerify10, kNoAction, "VERIFY(10)",
     kByteCheck, {}, kReads, kMedium, Blocks10(kVerify), &Unit::Verify},
    {op::kPreFetch10, kNoAction, "PRE-FETCH(10)",
     kNone, {}, kReads, kMedium, Blocks10(kImmed), &Unit::PreFetch},
    {op::kSynchronizeCache10, kNoAction, "SYNCHRONIZE CACHE(10)",
     kNone, {}, kWrites, kMedium, Blocks10(kSyncNvImmed), &Unit::SynchronizeCache},
    {op::kReadDefectData10, kNoAction, "READ DEFECT DATA(10)",
     kAllocation, {7, 2}, kReads, kMedium, {0, 0x1f, 0, 0, 0, 0, 0xff, 0xff},
     &Unit::ReadDefectData},
    {op::kWriteSame10, kNoAction, "WRITE SAME(10)",
     kPatternBlock, {}, kWrites, kChangesMedium, Blocks10(kCdbUnmap), &Unit::WriteSame},
    {op::kUnmap, kNoAction, "UNMAP",
     kParameterList, {7, 2}, kWrites, kChangesMedium | kNeedsUnmap, {0, 0, 0, 0, 0, kGroup, 0xff, 0xff},
     &Unit::Unmap},
    {op::kSanitize, sa::kBlockErase, "SANITIZE, BLOCK ERASE",
     kParameterList, {7, 2}, kWrites, kChangesMedium | kNeedsUnmap | kWhileSanitizeFailed,
     {kSanitizeFlags, 0, 0, 0, 0, 0, 0xff, 0xff}, &Unit::SanitizeBlockErase},
    {op::kSanitize, sa::kExitFailureMode, "SANITIZE, EXIT FAILURE MODE",
     kParameterList, {7, 2}, kWrites, kNeedsUnmap | kWhileSanitizeFailed,
     {kSanitizeFlags, 0, 0, 0, 0, 0, 0xff, 0xff}, &Unit::SanitizeExitFailureMode},
    {op::kModeSelect10, kNoAction, "MODE SELECT(10)",
     kParameterList, {7, 2}, kWrites, 0, {0x10, 0, 0, 0, 0, 0, 0xff, 0xff}, &Unit::ModeSelect},
    {op::kModeSense10, kNoAction, "MODE SENSE(10)",
     kAllocation, {7, 2}, kReads, 0, {0x18, 0xff, 0xff, 0, 0, 0, 0xff, 0xff}, &Unit::ModeSense},
    {op::kPersistentReserveIn, sa::kReadKeys, "PERSISTENT RESERVE IN, READ KEYS",
     kAllocation, {7, 2}, kReservation, 0, ReserveIn(), &Unit::PersistentReserveIn},
    {op::kPersistentReserveIn, sa::kReadReservation, "PERSISTENT RESERVE IN, READ RESERVATION",
     kAllocation, {7, 2}, kReservation, 0, ReserveIn(), &Unit::PersistentReserveIn},
    {op::kPersistentReserveIn, sa::kReportCapabilities,
     "PERSISTENT RESERVE IN, REPORT CAPABILITIES",
     kAllocation, {7, 2}, kReservation, 0, ReserveIn(), &Unit::PersistentReserveIn},
    {op::kPersistentReserveIn, sa::kReadFullStatus, "PERSISTENT RESERVE IN, READ FULL STATUS",
     kAllocation, {7, 2}, kReservation, 0, ReserveIn(), &Unit::PersistentReserveIn},
    {op::kPersistentReserveOut, sa::kRegister, "PERSISTENT RESERVE OUT, REGISTER",
     kParameterList, {5, 4}, kReservation, 0, ReserveOut(), &Unit::PersistentReserveOut},
    {op::kPersistentReserveOut, sa::kReserve, "PERSISTENT RESERVE OUT, RESERVE",
     kParameterList, {5, 4}, kReservation, 0, ReserveOut(), &Unit::PersistentReserveOut},
    {op::kPersistentReserveOut, sa::kRelease, "PERSISTENT RESERVE OUT, RELEASE",
     kParameterList, {5, 4}, kReservation, 0, ReserveOut(), &Unit::PersistentReserveOut},
    {op::kPersistentReserveOut, sa::kClear, "PERSISTENT RESERVE OUT, CLEAR",
     kParameterList, {5, 4}, kReservation, 0, ReserveOut(), &Unit::PersistentReserveOut},
    {op::kPersistentReserveOut, sa::kPreempt, "PERSISTENT RESERVE OUT, PREEMPT",
     kParameterList, {5, 4}, kReservation, 0, ReserveOut(), &Unit::PersistentReserveOut},
    {op::kPersistentReserveOut, sa::kPreemptAndAbort, "PERSISTENT RESERVE OUT, PREEMPT AND ABORT",
     kParameterList, {5, 4}, kReservation, 0, ReserveOut(), &Unit::PersistentReserveOut},
    {op::kPersistentReserveOut, sa::kRegisterAndIgnoreExistingKey,
     "PERSISTENT RESERVE OUT, REGISTER AND IGNORE EXISTING KEY",
     kParameterList, {5, 4}, kReservation, 0, ReserveOut(), &Unit::PersistentReserveOut},
    {op::kExtendedCopy, sa::kExtendedCopyLid1, "EXTENDED COPY(LID1)",
     kParameterList, {10, 4}, kWrites, kChangesMedium, CopyCdb(0), &Unit::ExtendedCopy},
    {op::kReceiveCopyResults, sa::kCopyStatusLid1, "RECEIVE COPY STATUS(LID1)",
     kAllocation, {10, 4}, kWrites, 0, CopyCdb(0xff), &Unit::ReceiveCopyStatus},
    {op::kReceiveCopyResults, sa::kCopyOperatingParameters, "RECEIVE COPY OPERATING PARAMETERS",
     kAllocation, {10, 4}, kWrites, 0, CopyCdb(0xff), &Unit::ReceiveCopyOperatingParameters},
    {op::kRead16, kNoAction, "READ(16)",
     kReadBlocks, {}, kReads, kMedium, Blocks16(kCache), &Unit::Read},
    {op::kCompareAndWrite, kNoAction, "COMPARE AND WRITE",
     kCompareWrite, {}, kWrites, kChangesMedium, CompareAndWrite16(), &Unit::CompareAndWrite},
    {op::kWrite16, kNoAction, "WRITE(16)",
     kWriteBlocks, {}, kWrites, kChangesMedium, Blocks16(kCache), &Unit::Write},
    {op::kOrWrite16, kNoAction, "ORWRITE(16)",
     kWriteBlocks, {}, kWrites, kChangesMedium, Blocks16(kCache), &Unit::OrWrite},
    {op::kWriteAndVerify16, kNoAction, "WRITE AND VERIFY(16)",
     kWriteBlocks, {}, kWrites, kChangesMedium, Blocks16(kVerify), &Unit::WriteAndVerify},
    {op::kVerify16, kNoAction, "VERIFY(16)",
     kByteCheck, {}, kReads, kMedium, Blocks16(kVerify), &Unit::Verify},
    {op::kPreFetch16, kNoAction, "PRE-FETCH(16)",
     kNone, {}, kReads, kMedium, Blocks16(kImmed), &Unit::PreFetch},
    {op::kSynchronizeCache16, kNoAction, "SYNCHRONIZE CACHE(16)",
     kNone, {}, kWrites, kMedium, Blocks16(kSyncNvImmed), &Unit::SynchronizeCache},
    {op::kWriteSame16, kNoAction, "WRITE SAME(16)",
     kPatternBlock, {}, kWrites, kChangesMedium, Blocks16(kCdbUnmap | kCdbNdob), &Unit::WriteSame},
    {op::kServiceActionIn16, sa::kReadCapacity16, "READ CAPACITY(16)",
     kAllocation, {10, 4}, kUnreserved, kMedium, ReadCapacity16(), &Unit::ReadCapacity16},
    {op::kServiceActionIn16, sa::kGetLbaStatus, "GET LBA STATUS",
     kAllocation, {10, 4}, kReads, kMedium, GetLbaStatus16(), &Unit::GetLbaStatus},
    {op::kReportLuns, kNoAction, "REPORT LUNS",
     kAllocation, {6, 4}, kAlways, kKeepsAttention, Report12({0, 0xff}), &Unit::ReportLuns},
    {op::kMaintenanceIn, sa::kReportTargetPortGroups, "REPORT TARGET PORT GROUPS",
     kAllocation, {6, 4}, kUnreserved, 0, Report12({0xe0}), &Unit::ReportTargetPortGroups},
    {op::kMaintenanceIn, sa::kReportSupportedOperationCodes, "REPORT SUPPORTED OPERATION CODES",
     kAllocation, {6, 4}, kReads, 0, Report12({0, 0x87, 0xff, 0xff, 0xff}),
     &Unit::ReportSupportedOperationCodes},
    {op::kMaintenanceIn, sa::kReportSupportedTaskManagementFunctions,
     "REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS",
     kAllocation, {6, 4}, kReads, 0, Report12({0, 0x80}),
     &Unit::ReportSupportedTaskManagementFunctions},
    {op::kRead12, kNoAction, "READ(12)",
     kReadBlocks, {}, kReads, kMedium, Blocks12(kCache), &Unit::Read},
    {op::kWrite12, kNoAction, "WRITE(12)",
     kWriteBlocks, {}, kWrites, kChangesMedium, Blocks12(kCache), &Unit::Write},
    {op::kWriteAndVerify12, kNoAction, "WRITE AND VERIFY(12)",
     kWriteBlocks, {}, kWrites, kChangesMedium, Blocks12(kVerify), &Unit::WriteAndVerify},
    {op::kVerify12, kNoAction, "VERIFY(12)",
     kByteCheck, {}, kReads, kMedium, Blocks12(kVerify), &Unit::Verify},
    {op::kReadDefectData12, kNoAction, "READ DEFECT DATA(12)",
     kAllocation, {6, 4}, kReads, kMedium, Report12({0x1f, 0xff, 0xff, 0xff, 0xff}),
     &Unit::ReadDefectData},
};
// clang-format on

}  // namespace

std::span<const CommandSpec> AllCommands() {
  return kCommands;
}

}  // namespace aurochs::scsi
