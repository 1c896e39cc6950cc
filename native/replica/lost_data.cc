#include "replica/lost_data.h"

#include <algorithm>

namespace aurochs {
namespace {

// What waits to be written is written first, for only the rest can be forgotten.
Status ShowWhatDiskHolds(File& file) {
  RETURN_IF_ERROR(file.SyncData());
  return file.DropCached();
}

}  // namespace

Status MarkLostData(Directory& directory) {
  auto file = directory.OpenFile(kLostDataFile, OpenMode::kCreate);
  if (!file.ok() && file.status().code() != ErrorCode::kAlreadyExists) return file.status();
  return directory.Sync();
}

Status SettleLostData(Directory& directory, const LayerTree& tree) {
  auto names = directory.List();
  if (!names.ok()) return names.status();
  if (!std::binary_search(names->begin(), names->end(), kLostDataFile)) return Status::Ok();
  for (const LayerMeta& meta : tree.meta().layers) {
    const Layer& layer = *tree.Find(meta.number);
    RETURN_IF_ERROR(ShowWhatDiskHolds(*layer.file));
    if (layer.zero_map != nullptr) RETURN_IF_ERROR(ShowWhatDiskHolds(layer.zero_map->file()));
  }
  RETURN_IF_ERROR(directory.Remove(kLostDataFile));
  return directory.Sync();
}

}  // namespace aurochs
