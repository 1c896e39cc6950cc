#include "replica/meta_steps.h"

#include <algorithm>
#include <utility>

#include "base/limits.h"

namespace aurochs {
namespace {

Status CheckNewSnapshot(const ReplicaMeta& meta, const SnapshotMeta& snapshot) {
  if (!IsReplicaId(snapshot.id)) {
    return {ErrorCode::kInvalidArgument,
            "snapshot id \"" + snapshot.id + "\" is not 1 to 64 letters, digits or \"._:-\""};
  }
  if (!IsSnapshotName(snapshot.name)) {
    return {ErrorCode::kInvalidArgument,
            "a snapshot's name has 1 to 253 bytes of UTF-8 without control characters"};
  }
  if (snapshot.created_unix_ms > kUnixMsMax) {
    return {ErrorCode::kInvalidArgument, "the snapshot's time is past the year 9999"};
  }
  for (const LayerMeta& layer : meta.layers) {
    if (!layer.snapshot) continue;
    if (layer.snapshot->id == snapshot.id) {
      return {ErrorCode::kAlreadyExists, "snapshot " + snapshot.id + " exists"};
    }
    if (!layer.snapshot->removing && layer.snapshot->name == snapshot.name) {
      return {ErrorCode::kAlreadyExists,
              "snapshot \"" + snapshot.name + "\" exists; choose another name"};
    }
  }
  return Status::Ok();
}

Status AddHead(ReplicaMeta* meta, uint32_t parent, uint64_t size_bytes) {
  if (meta->layers.size() >= kChainLayersMax) {
    return {ErrorCode::kLimitExceeded, "the replica has " + std::to_string(kChainLayersMax) +
                                           " layers, the most there may be; delete snapshots"};
  }
  if (meta->next_layer > kLayerNumberMax) {
    return {ErrorCode::kLimitExceeded, "the replica has used up its layer numbers"};
  }
  LayerMeta head;
  head.number = meta->next_layer++;
  head.parent = parent;
  head.size_bytes = size_bytes;
  meta->head = head.number;
  meta->layers.push_back(head);
  return Status::Ok();
}

}  // namespace

Result<const LayerMeta*> FindLivingSnapshot(const ReplicaMeta& meta, std::string_view id) {
  const LayerMeta* layer = meta.FindSnapshot(id);
  if (layer == nullptr) {
    return Status(ErrorCode::kNotFound, "there is no snapshot " + std::string(id));
  }
  if (layer->snapshot->removing) {
    return Status(ErrorCode::kFailedPrecondition,
                  "snapshot " + std::string(id) + " is being removed");
  }
  return layer;
}

Status StepSnapshot(ReplicaMeta* meta, SnapshotMeta snapshot) {
  RETURN_IF_ERROR(CheckNewSnapshot(*meta, snapshot));
  const uint32_t frozen = meta->head;
  RETURN_IF_ERROR(AddHead(meta, frozen, meta->size_bytes()));
  meta->Find(frozen)->snapshot = std::move(snapshot);
  return Status::Ok();
}

Status StepRevert(ReplicaMeta* meta, std::string_view id) {
  auto base = FindLivingSnapshot(*meta, id);
  if (!base.ok()) return base.status();
  const uint32_t parent = (*base)->number;
  const uint64_t size_bytes = meta->size_bytes();
  meta->Erase(meta->head);
  return AddHead(meta, parent, size_bytes);
}

Status StepExpand(ReplicaMeta* meta, uint64_t size_bytes) {
  if (!IsAligned(size_bytes, kBlockBytes)) {
    return {ErrorCode::kInvalidArgument, "a volume's size is a multiple of 4096 bytes"};
  }
  if (size_bytes < meta->size_bytes()) {
    return {ErrorCode::kInvalidArgument,
            "a volume cannot shrink; it has " + std::to_string(meta->size_bytes()) + " bytes"};
  }
  if (size_bytes > kVolumeBytesMax) {
    return {ErrorCode::kOutOfRange,
            "a volume has at most " + std::to_string(kVolumeBytesMax) + " bytes"};
  }
  meta->Find(meta->head)->size_bytes = size_bytes;
  return Status::Ok();
}

Status StepMarkRemoving(ReplicaMeta* meta, std::string_view id) {
  LayerMeta* layer = meta->FindSnapshot(id);
  if (layer == nullptr) {
    return {ErrorCode::kNotFound, "there is no snapshot " + std::string(id)};
  }
  layer->snapshot->removing = true;
  return Status::Ok();
}

void StepDropLeaf(ReplicaMeta* meta, uint32_t number) {
  CHECK(meta->Children(number).empty() && number != meta->head);
  meta->Erase(number);
}

void StepMergeUp(ReplicaMeta* meta, uint32_t number) {
  const auto children = meta->Children(number);
  CHECK(children.size() == 1);
  LayerMeta* child = meta->Find(children[0]);
  child->parent = meta->Find(number)->parent;
  if (child->parent == 0) child->has_zero_map = false;  // Nothing is left to hide.
  meta->Erase(number);
}

void StepMergeDown(ReplicaMeta* meta, uint32_t number) {
  const auto children = meta->Children(number);
  CHECK(children.size() == 1 && children[0] != meta->head);
  LayerMeta* layer = meta->Find(number);
  const LayerMeta* child = meta->Find(children[0]);
  layer->snapshot = child->snapshot;
  layer->size_bytes = child->size_bytes;
  for (uint32_t grandchild : meta->Children(child->number)) meta->Find(grandchild)->parent = number;
  meta->Erase(children[0]);
}

}  // namespace aurochs
