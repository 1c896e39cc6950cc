// The copying half of a merge: moves what one layer holds into its neighbour, range by range.
// Neither direction changes what any living state reads as, so each may stop, be repeated from the
// start, or be followed by the other. And that of a copy: moves what a chain of layers reads as
// into a layer of another replica.
//
// Thread: any; blocks. The caller keeps others from writing to the target in the range.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/status.h"
#include "block/extent.h"
#include "replica/layer.h"

namespace aurochs {

// A layer that is being removed, and its only child.
struct MergePair {
  Layer* layer = nullptr;
  Layer* child = nullptr;
  bool on_base = false;  // `layer` has no parent
};

struct MergeStep {
  Extent range;                // inside one region
  std::vector<Extent> copied;  // result: data that the target now holds
  uint64_t next_bytes = 0;     // result: where the next step starts; past the end when none is left
};

// Whether `cloned`, what CloneRangeFrom answered, says that data has to be read and written
// instead.
bool MustCopy(const Status& cloned);

// Copies up: gives the child the data and zeros of `layer` that it lacks.
Status CopyUp(const MergePair& pair, MergeStep* step, std::vector<std::byte>* buffer);
// Copies down: gives `layer` the data and zeros of the child, which is frozen and goes on hiding
// whatever of this is not durable yet.
Status CopyDown(const MergePair& pair, MergeStep* step, std::vector<std::byte>* buffer);
// Gives `target`, which stands on nothing and holds nothing in the range, the data that the chain
// `path` (from the top down) reads as there. What reads as zeros stays a hole.
Status CopyChain(std::span<Layer* const> path, Layer& target, MergeStep* step,
                 std::vector<std::byte>* buffer);
// Grows the files of `layer` to the child's size, for CopyDown.
Status PrepareCopyDown(const MergePair& pair);

// Syncs zero map and file.
Status SyncLayer(const Layer& layer);

}  // namespace aurochs
