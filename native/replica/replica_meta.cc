#include "replica/replica_meta.h"

#include <algorithm>
#include <cstdio>
#include <span>

#include "base/limits.h"

namespace aurochs {
namespace {

constexpr std::string_view kLayerFilePrefix = "layer-";

template <typename Layers>
auto* FindLayer(Layers& layers, uint32_t number) {
  auto at = std::lower_bound(layers.begin(), layers.end(), number,
                             [](const LayerMeta& layer, uint32_t n) { return layer.number < n; });
  return at != layers.end() && at->number == number ? &*at : nullptr;
}

template <typename Layers>
auto* FindSnapshotIn(Layers& layers, std::string_view id) {
  auto at = std::find_if(layers.begin(), layers.end(), [id](const LayerMeta& layer) {
    return layer.snapshot.has_value() && layer.snapshot->id == id;
  });
  return at != layers.end() ? &*at : nullptr;
}

// Length of the UTF-8 sequence that starts `text`, or 0 if it is not a well-formed one.
size_t Utf8SequenceBytes(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const uint8_t second = byte(1);
  if (first == 0xe0 && second < 0xa0) return 0;  // Overlong.
  if (first == 0xed && second > 0x9f) return 0;  // Surrogates.
  if (first == 0xf0 && second < 0x90) return 0;  // Overlong.
  if (first == 0xf4 && second > 0x8f) return 0;  // Past U+10FFFF.
  return length;
}

std::string LayerFileNameWith(uint32_t number, const char* suffix) {
  char name[32];
  std::snprintf(name, sizeof name, "layer-%06u%s", number, suffix);
  return name;
}

}  // namespace

const LayerMeta* ReplicaMeta::Find(uint32_t number) const {
  return FindLayer(layers, number);
}
LayerMeta* ReplicaMeta::Find(uint32_t number) {
  return FindLayer(layers, number);
}

LayerMeta* ReplicaMeta::FindSnapshot(std::string_view id) {
  return FindSnapshotIn(layers, id);
}
const LayerMeta* ReplicaMeta::FindSnapshot(std::string_view id) const {
  return FindSnapshotIn(layers, id);
}

std::vector<uint32_t> ReplicaMeta::Children(uint32_t number) const {
  std::vector<uint32_t> children;
  for (const LayerMeta& layer : layers) {
    if (layer.parent == number) children.push_back(layer.number);
  }
  return children;
}

std::vector<uint32_t> ReplicaMeta::PathDown(uint32_t number) const {
  std::vector<uint32_t> path;
  while (number != 0) {
    path.push_back(number);
    const LayerMeta* layer = Find(number);
    CHECK(layer != nullptr);
    number = layer->parent;
  }
  return path;
}

void ReplicaMeta::Erase(uint32_t number) {
  const LayerMeta* layer = Find(number);
  CHECK(layer != nullptr);
  layers.erase(layers.begin() + (layer - layers.data()));
}

uint64_t ReplicaMeta::size_bytes() const {
  const LayerMeta* layer = Find(head);
  CHECK(layer != nullptr);
  return layer->size_bytes;
}

bool IsReplicaId(std::string_view id) {
  return !id.empty() && id.size() <= kReplicaIdBytesMax &&
         std::all_of(id.begin(), id.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                  c == '.' || c == '_' || c == ':' || c == '-';
         });
}

bool IsSnapshotName(std::string_view name) {
  if (name.empty() || name.size() > kSnapshotNameBytesMax) return false;
  while (!name.empty()) {
    const auto first = static_cast<uint8_t>(name.front());
    if (first < 0x20 || first == 0x7f) return false;
    const size_t bytes = Utf8SequenceBytes(name);
    if (bytes == 0) return false;
    name.remove_prefix(bytes);
  }
  return true;
}

std::string LayerFileName(uint32_t number) {
  return LayerFileNameWith(number, ".img");
}
std::string ZeroMapFileName(uint32_t number) {
  return LayerFileNameWith(number, ".zero");
}

bool IsLayerFileName(std::string_view name) {
  if (!name.starts_with(kLayerFilePrefix)) return false;
  name.remove_prefix(kLayerFilePrefix.size());
  const size_t digits = std::min(name.find_first_not_of("0123456789"), name.size());
  name.remove_prefix(digits);
  return digits >= 6 && digits <= 10 && (name == ".img" || name == ".zero");
}

uint64_t LayerNumberOf(std::string_view name) {
  CHECK(IsLayerFileName(name));
  uint64_t number = 0;
  for (const char c : name.substr(kLayerFilePrefix.size())) {
    if (c == '.') break;
    number = number * 10 + static_cast<uint64_t>(c - '0');
  }
  return number;
}

Result<ReplicaMeta> LoadReplicaMeta(Directory& directory) {
  const std::string name = directory.path() + "/" + std::string(kReplicaMetaFile);
  auto bytes = LoadSmallFile(directory, kReplicaMetaFile, kReplicaMetaBytesMax);
  if (!bytes.ok()) {
    if (bytes.status().code() != ErrorCode::kNotFound) return bytes.status();
    return Status(ErrorCode::kNotFound,
                  name + " does not exist; this is not a replica's directory");
  }
  auto meta = DecodeReplicaMeta({reinterpret_cast<const char*>((*bytes).data()), (*bytes).size()});
  if (!meta.ok()) return meta.status().WithContext(name);
  return meta;
}

StoreOutcome StoreReplicaMeta(Directory& directory, const ReplicaMeta& meta, Status* status) {
  const std::string text = EncodeReplicaMeta(meta);
  if (text.size() > kReplicaMetaBytesMax) {
    *status =
        Status(ErrorCode::kLimitExceeded, "replica.json would be larger than " +
                                              std::to_string(kReplicaMetaBytesMax) + " bytes");
    return StoreOutcome::kUnchanged;
  }
  return ReplaceFile(directory, kReplicaMetaFile, std::as_bytes(std::span(text)), status);
}

}  // namespace aurochs
