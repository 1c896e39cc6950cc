// INQUIRY and the vital product data pages (SPC-4, 6.6 and 7.8; SBC-3, 6.6).
#include <algorithm>

#include "base/limits.h"
#include "scsi/byte_list.h"
#include "scsi/spec.h"
#include "scsi/unit.h"

namespace aurochs::scsi {
namespace {

constexpr uint8_t kDirectAccessBlockDevice = 0x00;
constexpr uint8_t kNoDeviceAtThisLun = 0x7f;  // PERIPHERAL QUALIFIER 3, DEVICE TYPE 1Fh
constexpr uint8_t kEvpd = 0x01;
constexpr uint8_t kIscsiProtocol = 5;
constexpr size_t kSbc3PageBytes = 0x3c;  // PAGE LENGTH of B0h and B1h

constexpr uint8_t kPages[] = {vpd::kSupportedPages,
                              vpd::kUnitSerialNumber,
                              vpd::kDeviceIdentification,
                              vpd::kExtendedInquiryData,
                              vpd::kThirdPartyCopy,
                              vpd::kBlockLimits,
                              vpd::kBlockDeviceCharacteristics,
                              vpd::kLogicalBlockProvisioning};

// SAM-5, SPC-4, SBC-3, iSCSI (SPC-4, 6.6.2).
constexpr uint16_t kVersionDescriptors[] = {0x00a0, 0x0460, 0x04c0, 0x0960};

enum class CodeSet : uint8_t { kBinary = 1, kAscii = 2, kUtf8 = 3 };
enum class Association : uint8_t { kLogicalUnit = 0, kTargetPort = 1 };
enum class DesignatorType : uint8_t {
  kT10VendorId = 1,
  kNaa = 3,
  kRelativeTargetPort = 4,
  kTargetPortGroup = 5,
  kScsiNameString = 8,
};

void AddDesignator(ByteList& page, CodeSet code_set, Association association, DesignatorType type,
                   std::span<const std::byte> designator) {
  const bool of_port = association == Association::kTargetPort;
  constexpr uint8_t kProtocolIdentifierValid = 0x80;
  page.U8(
      static_cast<uint8_t>((of_port ? kIscsiProtocol << 4 : 0) | static_cast<uint8_t>(code_set)));
  page.U8(static_cast<uint8_t>((of_port ? kProtocolIdentifierValid : 0) |
                               static_cast<uint8_t>(association) << 4 |
                               static_cast<uint8_t>(type)));
  page.U8(0);
  page.U8(static_cast<uint8_t>(designator.size()));
  page.Bytes(designator);
}

void AddDeviceIdentification(ByteList& page, const UnitIdentity& identity) {
  ByteList naa;
  naa.U64(NaaOf(identity));
  AddDesignator(page, CodeSet::kBinary, Association::kLogicalUnit, DesignatorType::kNaa,
                naa.bytes());

  ByteList vendor;
  vendor.PaddedText(identity.vendor, 8);
  vendor.PaddedText(identity.product, 16);
  vendor.Text(identity.serial.substr(0, 36));
  AddDesignator(page, CodeSet::kAscii, Association::kLogicalUnit, DesignatorType::kT10VendorId,
                vendor.bytes());

  ByteList port;
  port.U16(0);
  port.U16(kRelativeTargetPort);
  AddDesignator(page, CodeSet::kBinary, Association::kTargetPort,
                DesignatorType::kRelativeTargetPort, port.bytes());
  ByteList group;
  group.U16(0);
  group.U16(kTargetPortGroup);
  AddDesignator(page, CodeSet::kBinary, Association::kTargetPort, DesignatorType::kTargetPortGroup,
                group.bytes());

  if (identity.target_name.empty()) return;
  ByteList name;  // RFC 7143, 4.4.1: the iSCSI target port; null-terminated, in fours
  name.Text(identity.target_name);
  name.Text(",t,0x0001");
  name.Zeros(4 - name.size() % 4);
  AddDesignator(page, CodeSet::kUtf8, Association::kTargetPort, DesignatorType::kScsiNameString,
                name.bytes());
}

void AddExtendedInquiryData(ByteList& page) {
  page.U8(0);
  page.U8(0x07);  // HEADSUP, ORDSUP, SIMPSUP
  page.U8(0x01);  // V_SUP: the cache is volatile
  page.Zeros(kSbc3PageBytes - 3);
}

void AddBlockLimits(ByteList& page, const DeviceInfo& info, bool thin) {
  const uint32_t block_bytes = info.logical_block_bytes;
  const auto granularity = static_cast<uint16_t>(info.physical_block_bytes / block_bytes);
  constexpr uint32_t kAlignmentValid = 0x80000000;  // UGAVALID, with an alignment of 0
  page.U8(0x01);                                    // WSNZ: WRITE SAME names its length
  page.U8(kCompareAndWriteBlocksMax);
  page.U16(granularity);                     // OPTIMAL TRANSFER LENGTH GRANULARITY
  page.U32(kRequestBytesMax / block_bytes);  // MAXIMUM TRANSFER LENGTH
  page.U32(info.optimal_io_bytes / block_bytes);
  page.U32(0);  // MAXIMUM PREFETCH LENGTH
  page.U32(thin ? static_cast<uint32_t>(kUnmapBytesMax / block_bytes) : 0);
  page.U32(thin ? kUnmapDescriptorsMax : 0);
  page.U32(thin ? granularity : 0);
  page.U32(thin ? kAlignmentValid : 0);
  page.U64(kWriteSameBytesMax / block_bytes);
  page.Zeros(kSbc3PageBytes - 40);  // no atomic writes
}

void AddBlockDeviceCharacteristics(ByteList& page, bool thin) {
  constexpr uint8_t kReadsAfterErase = 0x40;  // WABEREQ: reads succeed after a BLOCK ERASE
  page.U16(1);                                // non-rotating medium
  page.U8(0);
  page.U8(thin ? kReadsAfterErase : 0);
  page.Zeros(kSbc3PageBytes - 4);
}

void AddLogicalBlockProvisioning(ByteList& page, bool thin) {
  constexpr uint8_t kUnmapAndWriteSame = 0xe0;  // LBPU, LBPWS, LBPWS10
  constexpr uint8_t kReadsZeros = 0x04;         // LBPRZ
  constexpr uint8_t kThin = 2;
  page.U8(0);  // THRESHOLD EXPONENT
  page.U8(thin ? kUnmapAndWriteSame | kReadsZeros : 0);
  page.U8(thin ? kThin : 0);
  page.U8(0);
}

}  // namespace

// Whatever its form was, it is a locally assigned one.
uint64_t NaaOf(const UnitIdentity& identity) {
  constexpr uint64_t kLocallyAssigned = uint64_t{3} << 60;
  constexpr uint64_t kNaaBits = uint64_t{0xf} << 60;
  return (identity.naa & ~kNaaBits) | kLocallyAssigned;
}

std::vector<std::byte> StandardInquiryData(const UnitIdentity& identity, const UnitTraits& traits) {
  ByteList data;
  constexpr uint8_t kRemovable = 0x80;  // RMB
  data.U8(traits.present ? kDirectAccessBlockDevice : kNoDeviceAtThisLun);
  data.U8(traits.removable ? kRemovable : 0);
  data.U8(0x06);  // VERSION: SPC-4
  data.U8(0x12);  // HISUP, RESPONSE DATA FORMAT
  data.U8(0);     // ADDITIONAL LENGTH, below
  data.U8(0x18);  // TPGS: implicit asymmetric access only; 3PC: EXTENDED COPY
  data.U8(0);
  data.U8(0x02);  // CMDQUE
  data.PaddedText(identity.vendor, 8);
  data.PaddedText(identity.product, 16);
  data.PaddedText(identity.revision, 4);
  data.Zeros(22);
  for (uint16_t version : kVersionDescriptors) data.U16(version);
  data.Zeros(8);
  data.SetU8(4, static_cast<uint8_t>(data.size() - 5));
  return std::move(data).Take();
}

std::optional<std::vector<std::byte>> VpdPage(uint8_t page_code, const UnitIdentity& identity,
                                              const DeviceInfo& info, const UnitTraits& traits) {
  ByteList page;
  page.U8(kDirectAccessBlockDevice);
  page.U8(page_code);
  page.U16(0);  // PAGE LENGTH, below
  switch (page_code) {
    case vpd::kSupportedPages:
      for (uint8_t code : kPages) page.U8(code);
      break;
    case vpd::kUnitSerialNumber: page.Text(identity.serial.substr(0, 36)); break;
    case vpd::kDeviceIdentification: AddDeviceIdentification(page, identity); break;
    case vpd::kExtendedInquiryData: AddExtendedInquiryData(page); break;
    case vpd::kThirdPartyCopy: AddThirdPartyCopy(page, info); break;
    case vpd::kBlockLimits: AddBlockLimits(page, info, traits.thin); break;
    case vpd::kBlockDeviceCharacteristics: AddBlockDeviceCharacteristics(page, traits.thin); break;
    case vpd::kLogicalBlockProvisioning: AddLogicalBlockProvisioning(page, traits.thin); break;
    default: return std::nullopt;
  }
  page.SetLength16(2);
  return std::move(page).Take();
}

void Unit::Inquiry(Task& task) {
  const uint8_t page_code = CdbByte(task.cdb(), 2);
  if ((CdbByte(task.cdb(), 1) & kEvpd) == 0) {
    if (page_code != 0) return FailCdbField(task, 2);
    return Answer(task, StandardInquiryData(identity_, traits()));
  }
  const auto page = VpdPage(page_code, identity_, device_.info(), traits());
  if (!page) return FailCdbField(task, 2);
  Answer(task, *page);
}

}  // namespace aurochs::scsi
