#include "replica/layer_tree.h"

#include <algorithm>
#include <set>
#include <utility>

namespace aurochs {
namespace {

Status WrongSize(Directory& directory, const std::string& name, uint64_t is, uint64_t should) {
  return {ErrorCode::kCorruption, directory.path() + "/" + name + " has " + std::to_string(is) +
                                      " bytes where replica.json says " + std::to_string(should)};
}

// An interrupted expansion leaves the head's files larger, an interrupted merge those of a layer
// that is being removed.
Result<std::unique_ptr<File>> OpenLayerFile(Directory& directory, const std::string& name,
                                            uint64_t size_bytes, bool is_head, bool is_removing) {
  auto file = directory.OpenFile(name, OpenMode::kReadWrite);
  if (!file.ok()) {
    if (file.status().code() != ErrorCode::kNotFound) return file.status();
    return Status(ErrorCode::kCorruption,
                  directory.path() + "/" + name + " is missing, although replica.json names it");
  }
  auto size = (*file)->SizeBytes();
  if (!size.ok()) return size.status();
  if (*size < size_bytes || (*size > size_bytes && !is_head && !is_removing)) {
    return WrongSize(directory, name, *size, size_bytes);
  }
  if (is_head && *size > size_bytes) RETURN_IF_ERROR((*file)->Truncate(size_bytes));
  return file;
}

// What an earlier try left behind under a new file's name was never part of the replica.
Status RemoveIfThere(Directory& directory, const std::string& name) {
  Status removed = directory.Remove(name);
  return removed.code() == ErrorCode::kNotFound ? Status::Ok() : removed;
}

Result<std::unique_ptr<Layer>> OpenLayer(Directory& directory, const LayerMeta& meta) {
  const bool is_head = !meta.snapshot.has_value();
  const bool is_removing = meta.snapshot.has_value() && meta.snapshot->removing;
  auto layer = std::make_unique<Layer>();
  layer->number = meta.number;
  layer->size_bytes = meta.size_bytes;
  auto file =
      OpenLayerFile(directory, LayerFileName(meta.number), meta.size_bytes, is_head, is_removing);
  if (!file.ok()) return file.status();
  layer->file = std::move(*file);
  if (meta.has_zero_map) {
    auto zeros = OpenLayerFile(directory, ZeroMapFileName(meta.number),
                               ZeroMap::FileBytes(meta.size_bytes), is_head, is_removing);
    if (!zeros.ok()) return zeros.status();
    layer->zero_map = std::make_unique<ZeroMap>(std::move(*zeros));
  }
  return layer;
}

// Whether an interrupted step can have left data in a layer's file that `meta` does not mention.
// New files are empty until metadata that names them is durable.
bool MayHoldData(const std::string& name, const ReplicaMeta& meta) {
  const uint64_t number = LayerNumberOf(name);
  if (number >= meta.next_layer) return false;
  const LayerMeta* layer = meta.Find(static_cast<uint32_t>(number));
  if (layer == nullptr) return true;  // It was dropped.
  return layer->parent == 0;          // A base drops its zero map.
}

Status CheckHoldsNothingFrom(Directory& directory, const std::string& name, uint64_t from_bytes,
                             const char* where) {
  auto file = directory.OpenFile(name, OpenMode::kReadOnly);
  if (!file.ok()) return file.status();
  auto data = (*file)->NextData(from_bytes, UINT64_MAX);
  if (!data.ok()) return data.status();
  if (!data->has_value()) return Status::Ok();
  return {ErrorCode::kCorruption, directory.path() + "/" + name + " holds data " + where +
                                      ", which must be an old copy; put the newest one back"};
}

Status RemoveLeftOversThat(Directory& directory, const ReplicaMeta& meta,
                           bool (*wanted)(std::string_view name)) {
  auto names = directory.List();
  if (!names.ok()) return names.status();
  for (const std::string& name : FindLeftOvers(*names, meta)) {
    if (wanted(name)) RETURN_IF_ERROR(directory.Remove(name));
  }
  return Status::Ok();
}

}  // namespace

Result<std::unique_ptr<LayerTree>> LayerTree::Open(Directory& directory, ReplicaMeta meta) {
  std::unique_ptr<LayerTree> tree(new LayerTree(std::move(meta)));
  for (const LayerMeta& layer_meta : tree->meta_.layers) {
    auto layer = OpenLayer(directory, layer_meta);
    if (!layer.ok()) return layer.status();
    tree->TakeSlot(**layer);
    tree->layers_.push_back(std::move(*layer));
  }
  tree->FindPath();
  return tree;
}

Layer* LayerTree::Find(uint32_t number) const {
  for (const auto& layer : layers_) {
    if (layer->number == number) return layer.get();
  }
  return nullptr;
}

std::vector<Layer*> LayerTree::PathOf(uint32_t number) const {
  std::vector<Layer*> path;
  // Numbers fall along a path as they do through layers_ from its end.
  auto at = layers_.rbegin();
  for (uint32_t wanted : meta_.PathDown(number)) {
    at = std::find_if(at, layers_.rend(),
                      [&](const auto& layer) { return layer->number == wanted; });
    CHECK(at != layers_.rend());
    path.push_back(at->get());
  }
  return path;
}

void LayerTree::UpdateMeta(ReplicaMeta meta) {
  CHECK(meta.layers.size() == meta_.layers.size());
  meta_ = std::move(meta);
}

std::vector<std::unique_ptr<Layer>> LayerTree::Replace(ReplicaMeta meta,
                                                       std::unique_ptr<Layer> added) {
  meta_ = std::move(meta);
  if (added != nullptr) {
    CHECK(added->number > layers_.back()->number);
    TakeSlot(*added);
    layers_.push_back(std::move(added));
  }
  std::vector<std::unique_ptr<Layer>> kept;
  std::vector<std::unique_ptr<Layer>> dropped;
  for (auto& layer : layers_) {
    const LayerMeta* layer_meta = meta_.Find(layer->number);
    if (layer_meta != nullptr) {
      // Copies read layers that do not change outside the gate, so these are not even written to.
      if (layer->size_bytes != layer_meta->size_bytes) layer->size_bytes = layer_meta->size_bytes;
      if (layer->zero_map != nullptr && !layer_meta->has_zero_map) layer->zero_map.reset();
    }
    (layer_meta != nullptr ? kept : dropped).push_back(std::move(layer));
  }
  for (const auto& layer : dropped) {
    std::replace(slots_.begin(), slots_.end(), layer.get(), static_cast<Layer*>(nullptr));
  }
  layers_ = std::move(kept);
  CHECK(layers_.size() == meta_.layers.size());
  FindPath();
  return dropped;
}

void LayerTree::AliasSlots(Layer& from, Layer& to) {
  std::replace(slots_.begin(), slots_.end(), &from, &to);
}

bool LayerTree::RenumberSlotsIfFull() {
  if (slots_.size() + 1 < kSlotsMax) return false;
  slots_.clear();
  for (const auto& layer : layers_) TakeSlot(*layer);
  return true;
}

void LayerTree::CloseFiles() {
  for (const auto& layer : layers_) {
    layer->file.reset();
    layer->zero_map.reset();
  }
}

void LayerTree::TakeSlot(Layer& layer) {
  CHECK(slots_.size() < kSlotsMax);
  layer.slot = static_cast<LayerSlot>(slots_.size());
  slots_.push_back(&layer);
}

void LayerTree::FindPath() {
  path_ = PathOf(meta_.head);
}

Result<std::unique_ptr<Layer>> CreateLayer(Directory& directory, uint32_t number,
                                           uint64_t size_bytes) {
  const std::string name = LayerFileName(number);
  RETURN_IF_ERROR(RemoveIfThere(directory, name));
  auto file = directory.OpenFile(name, OpenMode::kCreate);
  if (!file.ok()) return file.status();
  Status status = (*file)->Truncate(size_bytes);
  if (status.ok()) status = (*file)->SyncData();
  if (!status.ok()) {
    (void)directory.Remove(name);  // Else the next open removes it.
    return status;
  }
  auto layer = std::make_unique<Layer>();
  layer->number = number;
  layer->size_bytes = size_bytes;
  layer->file = std::move(*file);
  return layer;
}

Result<std::unique_ptr<ZeroMap>> CreateZeroMap(Directory& directory, const LayerMeta& layer) {
  const std::string name = ZeroMapFileName(layer.number);
  RETURN_IF_ERROR(RemoveIfThere(directory, name));
  auto file = directory.OpenFile(name, OpenMode::kCreate);
  if (!file.ok()) return file.status();
  Status status = (*file)->Truncate(ZeroMap::FileBytes(layer.size_bytes));
  if (status.ok()) status = (*file)->SyncData();
  if (status.ok()) status = directory.Sync();
  if (!status.ok()) {
    (void)directory.Remove(name);
    return status;
  }
  return std::make_unique<ZeroMap>(std::move(*file));
}

std::vector<std::string> FindLeftOvers(const std::vector<std::string>& names,
                                       const ReplicaMeta& meta) {
  std::set<std::string> ours;
  for (const LayerMeta& layer : meta.layers) {
    ours.insert(LayerFileName(layer.number));
    if (layer.has_zero_map) ours.insert(ZeroMapFileName(layer.number));
  }
  std::vector<std::string> left_overs;
  for (const std::string& name : names) {
    if (name == ReplacementName(kReplicaMetaFile) || name == ReplacementName(kUnitStateFile) ||
        (IsLayerFileName(name) && !ours.contains(name))) {
      left_overs.push_back(name);
    }
  }
  return left_overs;
}

Status CheckNothingIsNewer(Directory& directory, const ReplicaMeta& meta) {
  auto names = directory.List();
  if (!names.ok()) return names.status();
  for (const std::string& name : FindLeftOvers(*names, meta)) {
    if (!IsLayerFileName(name) || MayHoldData(name, meta)) continue;
    RETURN_IF_ERROR(CheckHoldsNothingFrom(directory, name, 0, "but is newer than replica.json"));
  }
  const std::string head = LayerFileName(meta.head);
  if (!std::binary_search(names->begin(), names->end(), head)) return Status::Ok();
  return CheckHoldsNothingFrom(directory, head, meta.size_bytes(), "past its end in replica.json");
}

Status RemoveLeftOvers(Directory& directory, const ReplicaMeta& meta) {
  return RemoveLeftOversThat(directory, meta, [](std::string_view) { return true; });
}

Status RemoveUnusedLayers(Directory& directory, const ReplicaMeta& meta) {
  return RemoveLeftOversThat(directory, meta, IsLayerFileName);
}

}  // namespace aurochs
