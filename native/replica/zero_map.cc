#include "replica/zero_map.h"

#include <algorithm>
#include <vector>

namespace aurochs {
namespace {

constexpr uint64_t kSetStepBytes = 64 * kKiB;  // of the bitmap; 2 GiB of the layer
constexpr uint64_t kRegionBitsBytes = kRegionBlocks / 8;

}  // namespace

Status ZeroMap::Set(uint64_t first_block, uint64_t block_count) {
  const uint64_t end_block = first_block + block_count;
  std::lock_guard lock(set_mutex_);
  std::vector<std::byte> bytes;
  while (first_block < end_block) {
    const uint64_t first_byte = first_block / 8;
    const uint64_t end_byte = std::min((end_block + 7) / 8, first_byte + kSetStepBytes);
    const uint64_t step_end_block = std::min(end_block, end_byte * 8);
    bytes.assign(end_byte - first_byte, std::byte{0xff});

    // The first and the last byte may keep bits of neighbours.
    const auto set_within = [&](uint64_t byte, uint64_t from_block, uint64_t to_block) {
      std::byte old{};
      RETURN_IF_ERROR(file_->ReadAt({&old, 1}, byte));
      for (uint64_t block = from_block; block < to_block; ++block) {
        old |= std::byte{1} << (block % 8);
      }
      bytes[byte - first_byte] = old;
      return Status::Ok();
    };
    if (first_block % 8 != 0 || step_end_block < (first_byte + 1) * 8) {
      RETURN_IF_ERROR(
          set_within(first_byte, first_block, std::min(step_end_block, (first_byte + 1) * 8)));
    }
    if (step_end_block % 8 != 0 && end_byte - 1 != first_byte) {
      RETURN_IF_ERROR(set_within(end_byte - 1, (end_byte - 1) * 8, step_end_block));
    }
    RETURN_IF_ERROR(file_->WriteAt(bytes, first_byte));
    first_block = step_end_block;
  }
  return Status::Ok();
}

Status ZeroMap::ReadRegion(uint64_t region, BlockSet* zeros) {
  std::array<std::byte, kRegionBitsBytes> bits;
  RETURN_IF_ERROR(file_->ReadAt(bits, region * kRegionBitsBytes));
  zeros->AddBits(bits);
  return Status::Ok();
}

Result<uint64_t> ZeroMap::NextRegion(uint64_t region, uint64_t region_end) {
  auto range = file_->NextData(region * kRegionBitsBytes, region_end * kRegionBitsBytes);
  if (!range.ok()) return range.status();
  if (!range->has_value()) return region_end;
  return std::max(region, (*range)->offset_bytes / kRegionBitsBytes);
}

}  // namespace aurochs
