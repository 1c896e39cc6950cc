// What a replica's directory holds, as `replica.json` says it: identity, size, epoch and the tree
// of layers. The one commit point of every change to a replica is the replacement of this file.
//
// Thread: any; Load and Store block.
// Format: docs/replica-format.md. Rules: D2, W1.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "io/directory.h"
#include "replica/small_file.h"

namespace aurochs {

inline constexpr std::string_view kReplicaMetaFile = "replica.json";
// Beside it: what the SCSI unit of the volume remembers (docs/scsi-support.md).
inline constexpr std::string_view kUnitStateFile = "unit-state";
inline constexpr std::string_view kReplicaLockFile = "lock";

struct SnapshotMeta {
  std::string id;
  std::string name;
  uint64_t created_unix_ms = 0;
  bool removing = false;

  friend bool operator==(const SnapshotMeta&, const SnapshotMeta&) = default;
};

struct LayerMeta {
  uint32_t number = 0;      // names its files; never used again
  uint32_t parent = 0;      // number of the layer below, always a smaller one; 0 at a base
  uint64_t size_bytes = 0;  // never less than the parent's
  bool has_zero_map = false;
  std::optional<SnapshotMeta> snapshot;  // nullopt: the head

  friend bool operator==(const LayerMeta&, const LayerMeta&) = default;
};

struct ReplicaMeta {
  uint64_t compatible_features = 0;  // bits that we do not know are kept
  std::string volume_id;
  std::string replica_id;
  uint64_t epoch = 0;
  uint32_t next_layer = 1;
  uint32_t head = 0;
  std::vector<LayerMeta> layers;  // by rising number, so parents come before children

  const LayerMeta* Find(uint32_t number) const;
  LayerMeta* Find(uint32_t number);
  // The layer of snapshot `id`.
  LayerMeta* FindSnapshot(std::string_view id);
  const LayerMeta* FindSnapshot(std::string_view id) const;
  std::vector<uint32_t> Children(uint32_t number) const;
  // Numbers from `number` down to its base.
  std::vector<uint32_t> PathDown(uint32_t number) const;
  void Erase(uint32_t number);
  // Size of the volume.
  uint64_t size_bytes() const;

  friend bool operator==(const ReplicaMeta&, const ReplicaMeta&) = default;
};

// Whether `id` may name a volume, replica or snapshot: 1 to kReplicaIdBytesMax letters, digits and
// ". _ : -"; a UUID by convention.
bool IsReplicaId(std::string_view id);
// Whether `name` may be a snapshot's name: 1 to kSnapshotNameBytesMax bytes of UTF-8 without
// control characters.
bool IsSnapshotName(std::string_view name);

// "layer-000003.img" and "layer-000003.zero".
std::string LayerFileName(uint32_t number);
std::string ZeroMapFileName(uint32_t number);
// Whether a file of this name is ours to remove when metadata does not mention it.
bool IsLayerFileName(std::string_view name);
// REQUIRES: IsLayerFileName.
uint64_t LayerNumberOf(std::string_view name);

// Everything is checked before anything is believed: kCorruption says what is wrong, kUnsupported
// that a newer version wrote it.
Result<ReplicaMeta> DecodeReplicaMeta(std::string_view text);
// REQUIRES: `meta` is valid, as what DecodeReplicaMeta returns is.
std::string EncodeReplicaMeta(const ReplicaMeta& meta);

Result<ReplicaMeta> LoadReplicaMeta(Directory& directory);

// Replaces the file atomically and durably. `status` tells why the outcome is not kStored.
StoreOutcome StoreReplicaMeta(Directory& directory, const ReplicaMeta& meta, Status* status);

}  // namespace aurochs
