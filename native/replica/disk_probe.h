// Whether a directory's file system behaves as replicas need it to.
//
// Thread: any; each call blocks.
// Format: docs/replica-format.md, "What the file system has to do".
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "io/directory.h"

namespace aurochs {

struct DiskProbe {
  std::string file_system;  // "ext4"
  uint64_t free_bytes = 0;  // that ordinary users may still write
  uint64_t total_bytes = 0;
  uint64_t file_bytes_max = 0;  // the largest volume; at most kVolumeBytesMax
  bool can_share_extents = false;
};

// kUnsupported says which behaviour is missing; kReadOnly, kNoSpace and kPermissionDenied what
// stands in the way of finding out. Leaves nothing behind.
Result<DiskProbe> ProbeDisk(const std::string& path);

// The part that tries files: holes, punching, syncs, renames. Sets whether extents can be shared.
Status ProbeFiles(Directory& directory, bool* can_share_extents);

}  // namespace aurochs
