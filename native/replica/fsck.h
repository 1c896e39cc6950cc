// The offline check of a replica's directory. Changes nothing, and reads no data of the
// volume, so it is quick.
//
// Thread: any; blocks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "io/directory.h"

namespace aurochs {

struct FsckFinding {
  enum class Severity : uint8_t {
    kError,    // the replica cannot be opened, or has lost data
    kWarning,  // the next open, or the merge after it, puts it right
  };
  Severity severity = Severity::kError;
  std::string message;
};

// Everything found, worst first; empty: the replica is sound.
std::vector<FsckFinding> FsckReplica(Directory& directory);

}  // namespace aurochs
