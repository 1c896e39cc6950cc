#include "scsi/sense.h"

#include <algorithm>

#include "base/byte_writer.h"
#include "base/limits.h"

namespace aurochs::scsi {

std::array<std::byte, kFixedSenseBytes> EncodeFixedSense(const Sense& sense) {
  constexpr uint8_t kCurrentFixed = 0x70;
  constexpr uint8_t kInformationValid = 0x80;
  constexpr uint8_t kFieldPointerInCdb = 0xc0;  // SKSV, C/D
  constexpr uint8_t kSenseKeySpecificValid = 0x80;
  std::array<std::byte, kFixedSenseBytes> bytes{};
  ByteWriter writer(bytes);
  writer.U8(sense.information ? kCurrentFixed | kInformationValid : kCurrentFixed);
  writer.U8(0);
  writer.U8(static_cast<uint8_t>(sense.key));
  writer.U32(sense.information.value_or(0));
  writer.U8(kFixedSenseBytes - 8);  // ADDITIONAL SENSE LENGTH
  writer.U32(0);
  writer.U16(static_cast<uint16_t>(sense.asc));
  writer.U8(0);  // FIELD REPLACEABLE UNIT CODE
  writer.U8(sense.cdb_byte ? kFieldPointerInCdb : sense.progress ? kSenseKeySpecificValid : 0);
  writer.U16(sense.cdb_byte ? *sense.cdb_byte : sense.progress.value_or(0));
  CHECK(writer.AtEnd());
  return bytes;
}

void UnitAttentionQueue::Add(Asc asc) {
  if (std::find(waiting_.begin(), waiting_.end(), asc) != waiting_.end()) return;
  if (waiting_.size() == kUnitAttentionsMax) {
    waiting_.assign(1, Asc::kPowerOnOrReset);
    return;
  }
  waiting_.push_back(asc);
}

Asc UnitAttentionQueue::Take() {
  CHECK(!waiting_.empty());
  const Asc asc = waiting_.front();
  waiting_.erase(waiting_.begin());
  return asc;
}

}  // namespace aurochs::scsi
