// The memory of a failed sync (D4) across the end of a process: a file beside replica.json.
//
// After a failed fdatasync the kernel goes on showing what never reached the disk, and later syncs
// succeed. Whoever opens the replica again would take that for durable: a merge would find its copy
// made already and drop the only good one. So the mark makes the next open forget what is in memory
// and go by what the disk holds. Whether to open at all is its owner's decision.
//
// Thread: any; each call blocks.
#pragma once

#include <string_view>

#include "base/status.h"
#include "io/directory.h"
#include "replica/layer_tree.h"

namespace aurochs {

inline constexpr std::string_view kLostDataFile = "lost-data";

// Sets the mark, durably where the disk still can.
Status MarkLostData(Directory& directory);
// If the mark is set: brings memory in line with the disk, then takes the mark away. An error
// leaves it, and the replica must not be used.
Status SettleLostData(Directory& directory, const LayerTree& tree);

}  // namespace aurochs
