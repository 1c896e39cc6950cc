// The layers of one replica with their files open: a tree, of which one path leads from the head
// down to a base. A read takes each block from the highest layer of the path that holds it; a write
// only ever touches the head.
//
// Thread: the replica's loop. Layers are read from workers too; the tree changes only while no work
//         is inside the replica's gate.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "io/directory.h"
#include "replica/layer.h"
#include "replica/replica_meta.h"

namespace aurochs {

inline constexpr LayerSlot kSlotZeros = 0xffff;  // no layer: the block reads as zeros
inline constexpr size_t kSlotsMax = 0xff00;

class LayerTree {
 public:
  // Opens the files that `meta` names. kCorruption names a file that is missing or of wrong size. A
  // head that an interrupted expansion left too large is cut back. Blocks.
  static Result<std::unique_ptr<LayerTree>> Open(Directory& directory, ReplicaMeta meta);

  const ReplicaMeta& meta() const { return meta_; }
  Layer& head() const { return *path_.front(); }
  // From the head down to the base.
  std::span<Layer* const> path() const { return path_; }
  bool single() const { return path_.size() == 1; }
  Layer* Find(uint32_t number) const;
  // From layer `number` down to its base.
  std::vector<Layer*> PathOf(uint32_t number) const;
  // REQUIRES: a slot of a layer of this tree, not kSlotZeros.
  Layer& InSlot(LayerSlot slot) const { return *slots_[slot]; }

  // Metadata changed on disk without a change to the tree: epoch, marks, names.
  void UpdateMeta(ReplicaMeta meta);
  // Takes over the tree that `meta` describes; `added` is its new layer, if it has one. Returns the
  // layers that are no longer part of it.
  std::vector<std::unique_ptr<Layer>> Replace(ReplicaMeta meta, std::unique_ptr<Layer> added);
  // What the block map says of `from` holds of `to` from now on: a merge has made it so.
  void AliasSlots(Layer& from, Layer& to);
  // Hands out all slots anew once few are left; true if it did, and no slot known before is valid.
  bool RenumberSlotsIfFull();
  // The last call but the destructor's. Blocks.
  void CloseFiles();

 private:
  explicit LayerTree(ReplicaMeta meta) : meta_(std::move(meta)) {}
  void TakeSlot(Layer& layer);
  void FindPath();

  ReplicaMeta meta_;
  std::vector<std::unique_ptr<Layer>> layers_;  // as in meta_.layers
  std::vector<Layer*> path_;
  std::vector<Layer*> slots_;
};

// Creates the files of a new layer of `size_bytes`, synced, but without a sync of the directory.
Result<std::unique_ptr<Layer>> CreateLayer(Directory& directory, uint32_t number,
                                           uint64_t size_bytes);
// Creates the zero map of a layer, durably; metadata does not mention it yet.
Result<std::unique_ptr<ZeroMap>> CreateZeroMap(Directory& directory, const LayerMeta& layer);
// kCorruption if there is data that `meta` has no place for yet, in a new layer, a new zero map or
// past the head's end: an interrupted step leaves these empty, so this metadata is older than the
// files, and going by it would remove the data.
Status CheckNothingIsNewer(Directory& directory, const ReplicaMeta& meta);
// Removes what interrupted steps left behind: files of ours that `meta` does not mention. Only
// before the replica is in use: replacements that are being written are among them.
Status RemoveLeftOvers(Directory& directory, const ReplicaMeta& meta);
// Removes those of them that are a layer's.
Status RemoveUnusedLayers(Directory& directory, const ReplicaMeta& meta);
// Their names, in `names`.
std::vector<std::string> FindLeftOvers(const std::vector<std::string>& names,
                                       const ReplicaMeta& meta);

}  // namespace aurochs
