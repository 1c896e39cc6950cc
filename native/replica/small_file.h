// The atomic and durable replacement of a small file (D2), and its reading.
//
// Thread: any; both block.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "io/directory.h"

namespace aurochs {

// How far a replacement of a file came.
enum class StoreOutcome : uint8_t {
  kStored,
  kUnchanged,  // the old file is still there
  kUnknown,    // renamed, but the directory did not sync: after a power cut either may be there
};

// The name under which a replacement of `name` is written; worth nothing until it is renamed.
std::string ReplacementName(std::string_view name);

// `status` tells why the outcome is not kStored.
StoreOutcome ReplaceFile(Directory& directory, std::string_view name,
                         std::span<const std::byte> bytes, Status* status);

// kNotFound if there is none, kCorruption if it is larger than `bytes_max`. Errors name the file.
Result<std::vector<std::byte>> LoadSmallFile(Directory& directory, std::string_view name,
                                             uint64_t bytes_max);

}  // namespace aurochs
