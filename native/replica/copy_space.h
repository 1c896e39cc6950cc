// The space that copies of snapshots have claimed and not yet written, by file system. Without it,
// copies that start together would each find the same free space, and fill the disk together below
// the volumes that are in use there.
//
// Thread:    any.
// Ownership: outlives its claims.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "base/status.h"
#include "io/directory.h"

namespace aurochs {

class CopySpace {
 public:
  // Belongs to one copy, one call at a time; gives back what is left of it when it goes.
  class Claim {
   public:
    ~Claim() { ShrinkTo(0); }
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;

    uint64_t bytes() const { return bytes_; }
    // REQUIRES: no more than it is.
    void ShrinkTo(uint64_t bytes);

   private:
    friend class CopySpace;
    Claim(CopySpace& space, uint64_t device, uint64_t bytes)
        : space_(space), device_(device), bytes_(bytes) {}

    CopySpace& space_;
    const uint64_t device_;
    uint64_t bytes_;
  };

  CopySpace() = default;
  ~CopySpace();

  // Claims `bytes` of the file system of `disk`; kNoSpace if they do not fit beside what others
  // have claimed and what copies leave free (kCopyFreeBytesMin, kCopyFreePercentMin). Blocks.
  Result<std::unique_ptr<Claim>> Take(Directory& disk, uint64_t bytes);

 private:
  uint64_t Add(uint64_t device, uint64_t bytes);
  void Subtract(uint64_t device, uint64_t bytes);

  std::mutex mutex_;
  std::map<uint64_t, uint64_t> claimed_bytes_;  // Guarded by mutex_. By device; never 0.
};

}  // namespace aurochs
