// MODE SENSE and MODE SELECT (SPC-4, 6.10 and 6.12) and the mode pages (SPC-4, 7.5; SBC-3, 6.5).
// Only software write protection (SWP) can be changed: MODE SELECT takes what MODE SENSE returned,
// with that bit either way, and refuses anything else.
#include <algorithm>
#include <limits>

#include "base/byte_reader.h"
#include "scsi/byte_list.h"
#include "scsi/spec.h"
#include "scsi/unit.h"

namespace aurochs::scsi {
namespace {

enum class PageControl : uint8_t { kCurrent, kChangeable, kDefault, kSaved };

constexpr uint8_t kAllPages = 0x3f;
constexpr uint8_t kAllSubpages = 0xff;
constexpr uint8_t kDisableBlockDescriptors = 0x08;
constexpr uint8_t kLongLbaAccepted = 0x10;  // MODE SENSE(10)
constexpr uint8_t kPageFormat = 0x10;       // MODE SELECT
constexpr uint8_t kLongLba = 0x01;          // of the header
constexpr uint8_t kWriteProtect = 0x80;     // DEVICE-SPECIFIC PARAMETER
constexpr uint8_t kDpoFua = 0x10;
constexpr uint8_t kPageCodeBits = 0x3f;

struct ModePage {
  uint8_t code;
  std::vector<std::byte> parameters;  // after PAGE CODE and PAGE LENGTH
};

constexpr uint8_t kControlPage = 0x0a;
constexpr size_t kSwpByte = 2;  // of the control page's parameters
constexpr std::byte kSwp{0x08};

std::vector<ModePage> PagesOf(const DeviceInfo& info, bool software_write_protect) {
  ByteList recovery;  // 01h, read-write error recovery
  recovery.U8(0x80);  // AWRE
  recovery.Zeros(9);

  ByteList caching;  // 08h
  constexpr uint8_t kWriteCacheEnabled = 0x04;
  caching.U8(info.write_cache ? kWriteCacheEnabled : 0);
  caching.Zeros(17);

  ByteList control;  // 0Ah
  control.U8(0);     // fixed format sense data
  control.U8(0x10);  // QUEUE ALGORITHM MODIFIER: unrestricted reordering
  control.U8(software_write_protect ? std::to_integer<uint8_t>(kSwp) : 0);
  control.U8(0x40);  // TAS: who did not abort a command is told that it was
  control.Zeros(2);
  control.U16(0xffff);  // BUSY TIMEOUT PERIOD: no limit
  control.U16(0);

  ByteList exceptions;  // 1Ch, informational exceptions control: there are none to report
  exceptions.U8(0x08);  // DEXCPT
  exceptions.Zeros(9);

  return {{0x01, std::move(recovery).Take()},
          {0x08, std::move(caching).Take()},
          {kControlPage, std::move(control).Take()},
          {0x1c, std::move(exceptions).Take()}};
}

void AddBlockDescriptor(ByteList& data, const DeviceInfo& info, bool long_lba) {
  const uint64_t blocks = info.size_bytes / info.logical_block_bytes;
  if (long_lba) {
    data.U64(blocks);
    data.U32(0);
  } else {
    data.U32(
        static_cast<uint32_t>(std::min<uint64_t>(blocks, std::numeric_limits<uint32_t>::max())));
  }
  data.U32(info.logical_block_bytes);
}

// What differs between the six- and the ten-byte commands.
struct Header {
  bool ten;
  size_t bytes() const { return ten ? 8 : 4; }
};

bool BlockDescriptorIsCurrent(std::span<const std::byte> descriptor, const DeviceInfo& info) {
  ByteReader reader(descriptor);
  const bool long_lba = descriptor.size() == 16;
  const uint64_t blocks = long_lba ? reader.U64() : reader.U32();
  if (long_lba) reader.Skip(4);
  const uint32_t block_bytes = reader.U32() & (long_lba ? 0xffffffff : 0x00ffffff);
  const uint64_t current = info.size_bytes / info.logical_block_bytes;
  const uint64_t current_short = std::min<uint64_t>(current, std::numeric_limits<uint32_t>::max());
  // 0 asks for no change.
  return (blocks == 0 || blocks == (long_lba ? current : current_short)) &&
         block_bytes == info.logical_block_bytes;
}

// The error that MODE SELECT ends with, if any, for the pages after header and block descriptor.
// Sets `software_write_protect` to what the last control page says.
std::optional<Asc> CheckPages(std::span<const std::byte> pages, const DeviceInfo& info,
                              bool& software_write_protect) {
  const auto current = PagesOf(info, false);
  ByteReader reader(pages);
  while (!reader.AtEnd()) {
    if (reader.remaining() < 2) return Asc::kParameterListLengthError;
    const uint8_t code = reader.U8();  // PS is reserved here and so has to be 0
    const uint8_t length = reader.U8();
    const auto page = std::find_if(current.begin(), current.end(),
                                   [&](const ModePage& known) { return known.code == code; });
    if (page == current.end() || length != page->parameters.size()) {
      return Asc::kInvalidFieldInParameterList;
    }
    if (reader.remaining() < length) return Asc::kParameterListLengthError;
    const auto sent = reader.Bytes(length);
    std::vector<std::byte> parameters(sent.begin(), sent.end());
    if (code == kControlPage) {
      software_write_protect = (parameters[kSwpByte] & kSwp) != std::byte{0};
      parameters[kSwpByte] &= ~kSwp;
    }
    if (!std::equal(parameters.begin(), parameters.end(), page->parameters.begin())) {
      return Asc::kInvalidFieldInParameterList;
    }
  }
  return std::nullopt;
}

std::optional<Asc> CheckModeParameters(std::span<const std::byte> list, const Header& header,
                                       const DeviceInfo& info, bool& software_write_protect) {
  if (list.empty()) return std::nullopt;
  if (list.size() < header.bytes()) return Asc::kParameterListLengthError;
  ByteReader reader(list);
  bool long_lba = false;
  size_t descriptor_bytes = 0;
  if (header.ten) {
    reader.Skip(
        4);  // MODE DATA LENGTH is reserved; medium type and device-specific are ours to say
    long_lba = (reader.U8() & kLongLba) != 0;
    reader.Skip(1);
    descriptor_bytes = reader.U16();
  } else {
    reader.Skip(3);
    descriptor_bytes = reader.U8();
  }
  if (descriptor_bytes > reader.remaining()) return Asc::kParameterListLengthError;
  if (descriptor_bytes != 0) {
    if (descriptor_bytes != (long_lba ? 16 : 8) ||
        !BlockDescriptorIsCurrent(reader.Bytes(descriptor_bytes), info)) {
      return Asc::kInvalidFieldInParameterList;
    }
  }
  return CheckPages(reader.Bytes(reader.remaining()), info, software_write_protect);
}

}  // namespace

void Unit::ModeSense(Task& task) {
  const Header header{task.spec->cdb_bytes() == 10};
  const auto control = static_cast<PageControl>(CdbByte(task.cdb(), 2) >> 6);
  const uint8_t page_code = CdbByte(task.cdb(), 2) & kPageCodeBits;
  const uint8_t subpage = CdbByte(task.cdb(), 3);
  const bool with_descriptor = (CdbByte(task.cdb(), 1) & kDisableBlockDescriptors) == 0;
  const bool long_lba = header.ten && (CdbByte(task.cdb(), 1) & kLongLbaAccepted) != 0;
  if (control == PageControl::kSaved) {
    return FailIllegal(task, Asc::kSavingParametersNotSupported);
  }
  if (subpage != 0 && subpage != kAllSubpages) return FailCdbField(task, 3);

  const uint8_t device_specific = static_cast<uint8_t>((read_only() ? kWriteProtect : 0) | kDpoFua);
  const uint8_t descriptor_bytes = !with_descriptor ? 0 : long_lba ? 16 : 8;
  ByteList data;
  if (header.ten) {
    data.U16(0);  // MODE DATA LENGTH, below
    data.U8(0);
    data.U8(device_specific);
    data.U8(with_descriptor && long_lba ? kLongLba : 0);
    data.U8(0);
    data.U16(descriptor_bytes);
  } else {
    data.U8(0);
    data.U8(0);
    data.U8(device_specific);
    data.U8(descriptor_bytes);
  }
  if (with_descriptor) AddBlockDescriptor(data, device_.info(), long_lba);

  bool found = false;
  const bool software_write_protect = control == PageControl::kCurrent && software_write_protect_;
  for (const ModePage& page : PagesOf(device_.info(), software_write_protect)) {
    if (page_code != kAllPages && page_code != page.code) continue;
    found = true;
    data.U8(page.code);
    data.U8(static_cast<uint8_t>(page.parameters.size()));
    if (control == PageControl::kChangeable) {
      const size_t at = data.size();
      data.Zeros(page.parameters.size());
      if (page.code == kControlPage) data.SetU8(at + kSwpByte, std::to_integer<uint8_t>(kSwp));
    } else {
      data.Bytes(page.parameters);
    }
  }
  if (!found) return FailCdbField(task, 2);
  if (header.ten) {
    data.SetLength16(0);
  } else {
    data.SetU8(0, static_cast<uint8_t>(data.size() - 1));
  }
  Answer(task, data.bytes());
}

void Unit::ModeSelect(Task& task) {
  const auto list = ParameterListOrFail(task);
  if (!list) return;
  if ((CdbByte(task.cdb(), 1) & kPageFormat) == 0 && !list->empty()) {
    return FailCdbField(task, 1);
  }
  const Header header{task.spec->cdb_bytes() == 10};
  bool software_write_protect = software_write_protect_;
  if (const auto asc = CheckModeParameters(*list, header, device_.info(), software_write_protect)) {
    return FailIllegal(task, *asc);
  }
  if (software_write_protect != software_write_protect_) {
    software_write_protect_ = software_write_protect;
    AddAttention(Asc::kModeParametersChanged, task.command->nexus);
  }
  Good(task);
}

}  // namespace aurochs::scsi
