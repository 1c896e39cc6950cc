#include "replica/copy_space.h"

#include <algorithm>
#include <string>

#include "base/check.h"
#include "base/limits.h"

namespace aurochs {

CopySpace::~CopySpace() {
  CHECK(claimed_bytes_.empty());
}

// Claims first and measures then, and no lock is held while a disk may hang: what others write in
// between counts twice, never not at all.
Result<std::unique_ptr<CopySpace::Claim>> CopySpace::Take(Directory& disk, uint64_t bytes) {
  auto device = disk.DeviceNumber();
  if (!device.ok()) return device.status();
  const uint64_t others_bytes = Add(*device, bytes);
  std::unique_ptr<Claim> claim(new Claim(*this, *device, bytes));
  auto space = disk.Space();
  if (!space.ok()) return space.status();
  const uint64_t spared_bytes =
      std::max(kCopyFreeBytesMin, space->size_bytes / 100 * kCopyFreePercentMin);
  if (bytes == 0 || space->free_bytes >= spared_bytes + others_bytes + bytes) return claim;
  return Status(ErrorCode::kNoSpace,
                "up to " + std::to_string(bytes) + " bytes do not fit below " + disk.path() + ": " +
                    std::to_string(space->free_bytes) + " are free, other copies under way have " +
                    std::to_string(others_bytes) + " still to write, and " +
                    std::to_string(spared_bytes) + " are left to volumes in use");
}

void CopySpace::Claim::ShrinkTo(uint64_t bytes) {
  CHECK(bytes <= bytes_);
  space_.Subtract(device_, bytes_ - bytes);
  bytes_ = bytes;
}

// Returns what the others have claimed.
uint64_t CopySpace::Add(uint64_t device, uint64_t bytes) {
  if (bytes == 0) return 0;
  std::lock_guard lock(mutex_);
  uint64_t& claimed_bytes = claimed_bytes_[device];
  claimed_bytes += bytes;
  return claimed_bytes - bytes;
}

void CopySpace::Subtract(uint64_t device, uint64_t bytes) {
  if (bytes == 0) return;
  std::lock_guard lock(mutex_);
  const auto claimed = claimed_bytes_.find(device);
  CHECK(claimed != claimed_bytes_.end() && claimed->second >= bytes);
  claimed->second -= bytes;
  if (claimed->second == 0) claimed_bytes_.erase(claimed);
}

}  // namespace aurochs
