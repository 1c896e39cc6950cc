// The changes of a replica's tree of layers, as changes of its metadata alone. Each checks that it
// is allowed, and leaves metadata that DecodeReplicaMeta accepts.
//
// Thread: any. Format: docs/replica-format.md, "Operations".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"
#include "replica/replica_meta.h"

namespace aurochs {

// The head becomes snapshot `snapshot`, below a new head.
Status StepSnapshot(ReplicaMeta* meta, SnapshotMeta snapshot);
// The head goes; a new one stands on snapshot `id`.
Status StepRevert(ReplicaMeta* meta, std::string_view id);
Status StepExpand(ReplicaMeta* meta, uint64_t size_bytes);
// Snapshot `id` is to be merged away.
Status StepMarkRemoving(ReplicaMeta* meta, std::string_view id);
// The layer, which no other stands on, goes.
void StepDropLeaf(ReplicaMeta* meta, uint32_t number);
// The layer's only child holds all that counts: the layer goes, the child stands on its parent.
void StepMergeUp(ReplicaMeta* meta, uint32_t number);
// The layer holds all that its only child, a snapshot, does: the child's file is the layer's now.
void StepMergeDown(ReplicaMeta* meta, uint32_t number);

// The snapshot, if it is there and not being removed.
Result<const LayerMeta*> FindLivingSnapshot(const ReplicaMeta& meta, std::string_view id);

}  // namespace aurochs
