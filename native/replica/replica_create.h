// Parts of creating, describing and sizing replicas that several operations use.
//
// Thread: any; each call blocks.
#pragma once

#include <cstdint>

#include "base/status.h"
#include "io/directory.h"
#include "replica/layer_tree.h"
#include "replica/replica_device.h"

namespace aurochs {

// The largest file, at most kVolumeBytesMax, that the file system of `directory` can hold.
Result<uint64_t> LargestFileBytes(Directory& directory);
// kOutOfRange, with a message that names that limit.
Status TooLargeForFileSystem(Directory& directory, uint64_t size_bytes);

Result<ReplicaInfo> DescribeLayers(const ReplicaMeta& meta, const LayerTree& tree);

}  // namespace aurochs
