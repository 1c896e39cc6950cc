// The text of replica.json: a header line with checksum and length, then one JSON object.
#include <cstdio>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <span>

#include "base/crc32c.h"
#include "base/limits.h"
#include "replica/replica_meta.h"

namespace aurochs {
namespace {

using Json = nlohmann::json;

constexpr std::string_view kMagic = "aurochs-replica ";
constexpr uint64_t kKnownIncompatible = 0;

uint32_t ChecksumOf(std::string_view body) {
  return Crc32c(std::as_bytes(std::span(body)));
}

std::string HeaderFor(std::string_view body) {
  char header[96];
  std::snprintf(header, sizeof header, "aurochs-replica 1 crc32c=%08x length=%zu\n",
                ChecksumOf(body), body.size());
  return header;
}

Status Corruption(std::string what) {
  return {ErrorCode::kCorruption, std::move(what)};
}

// The body behind a header line that fits it.
Result<std::string_view> CheckHeader(std::string_view text) {
  if (!text.starts_with(kMagic)) return Corruption("does not start with \"aurochs-replica\"");
  const size_t line_end = text.find('\n');
  if (line_end == std::string_view::npos) return Corruption("the header line has no end");
  if (!text.substr(kMagic.size()).starts_with("1 ")) {
    const std::string_view version =
        text.substr(kMagic.size(), std::min<size_t>(16, line_end - kMagic.size()));
    return Status(ErrorCode::kUnsupported, "format version \"" + std::string(version) +
                                               "\" is not 1; a newer version of aurochs reads it");
  }
  const std::string_view body = text.substr(line_end + 1);
  // Only one header is right for these bytes, so it is made again and compared.
  if (text.substr(0, line_end + 1) != HeaderFor(body)) {
    return Corruption("checksum or length in the header line does not fit the content");
  }
  return body;
}

// Takes members out of an object one by one; remembers the first that is missing or of wrong kind.
class Fields {
 public:
  Fields(const Json& object, std::string where) : object_(object), where_(std::move(where)) {
    if (!object.is_object()) Fail("is not an object");
  }

  uint64_t Number(const char* key, uint64_t min, uint64_t max) {
    const Json* value = Member(key);
    const auto* number = value ? value->get_ptr<const Json::number_unsigned_t*>() : nullptr;
    if (number == nullptr) {
      Fail(std::string(key) + " is missing or not a whole number");
      return min;
    }
    if (*number < min || *number > max) Fail(std::string(key) + " is out of range");
    return *number;
  }

  uint32_t LayerNumber(const char* key, uint32_t min) {
    return static_cast<uint32_t>(Number(key, min, kLayerNumberMax));
  }

  uint64_t Size(const char* key) {
    const uint64_t size_bytes = Number(key, kVolumeBytesMin, kVolumeBytesMax);
    if (!IsAligned(size_bytes, kBlockBytes)) Fail(std::string(key) + " is not whole blocks");
    return size_bytes;
  }

  bool Bool(const char* key) {
    const Json* value = Member(key);
    const auto* boolean = value ? value->get_ptr<const Json::boolean_t*>() : nullptr;
    if (boolean == nullptr) Fail(std::string(key) + " is missing or not a boolean");
    return boolean != nullptr && *boolean;
  }

  std::string Text(const char* key, bool (*valid)(std::string_view)) {
    const Json* value = Member(key);
    const auto* text = value ? value->get_ptr<const Json::string_t*>() : nullptr;
    if (text == nullptr || !valid(*text)) {
      Fail(std::string(key) + " is missing or not what it may be");
      return {};
    }
    return *text;
  }

  const Json* Member(const char* key) const {
    if (!object_.is_object()) return nullptr;
    const auto at = object_.find(key);
    return at != object_.end() ? &*at : nullptr;
  }

  void Fail(std::string what) {
    if (status_.ok()) status_ = Corruption(where_ + ": " + std::move(what));
  }
  const Status& status() const { return status_; }

 private:
  const Json& object_;
  std::string where_;
  Status status_;
};

Result<LayerMeta> DecodeLayer(const Json& json, size_t index) {
  Fields fields(json, "layer at index " + std::to_string(index));
  LayerMeta layer;
  layer.number = fields.LayerNumber("number", 1);
  layer.parent = fields.LayerNumber("parent", 0);
  layer.size_bytes = fields.Size("size_bytes");
  layer.has_zero_map = fields.Bool("zero_map");
  if (layer.has_zero_map && layer.parent == 0) fields.Fail("a base has no zero map");
  const Json* snapshot_json = fields.Member("snapshot");
  if (!fields.status().ok()) return fields.status();
  if (snapshot_json == nullptr) return layer;

  Fields inner(*snapshot_json, "snapshot of layer " + std::to_string(layer.number));
  SnapshotMeta snapshot;
  snapshot.id = inner.Text("id", IsReplicaId);
  snapshot.name = inner.Text("name", IsSnapshotName);
  snapshot.created_unix_ms = inner.Number("created_unix_ms", 0, kUnixMsMax);
  snapshot.removing = inner.Bool("removing");
  if (!inner.status().ok()) return inner.status();
  layer.snapshot = std::move(snapshot);
  return layer;
}

// What holds between layers: see docs/replica-format.md, "The tree of layers".
Status CheckTree(const ReplicaMeta& meta) {
  std::set<std::string_view> ids;
  std::set<std::string_view> names;
  uint32_t before = 0;
  for (const LayerMeta& layer : meta.layers) {
    const std::string what = "layer " + std::to_string(layer.number);
    if (layer.number <= before) return Corruption(what + " does not come in rising order");
    before = layer.number;
    if (layer.number >= meta.next_layer) return Corruption(what + " is not below next_layer");
    if (layer.snapshot.has_value() == (layer.number == meta.head)) {
      return Corruption(what + (layer.snapshot ? " is the head and a snapshot"
                                               : " is neither the head nor a snapshot"));
    }
    if (layer.parent != 0) {
      // A parent's smaller number rules out loops.
      const LayerMeta* parent = meta.Find(layer.parent);
      if (parent == nullptr || layer.parent >= layer.number || layer.parent == meta.head) {
        return Corruption(what + ": its parent " + std::to_string(layer.parent) +
                          " is not a snapshot below it");
      }
      if (parent->size_bytes > layer.size_bytes) {
        return Corruption(what + " is smaller than its parent");
      }
    }
    if (!layer.snapshot) continue;
    if (!ids.insert(layer.snapshot->id).second) {
      return Corruption("snapshot id " + layer.snapshot->id + " appears twice");
    }
    if (!layer.snapshot->removing && !names.insert(layer.snapshot->name).second) {
      return Corruption("snapshot name \"" + layer.snapshot->name + "\" appears twice");
    }
  }
  if (meta.Find(meta.head) == nullptr) return Corruption("the head is not among the layers");
  for (const LayerMeta& layer : meta.layers) {
    if (layer.size_bytes > meta.size_bytes()) {
      return Corruption("layer " + std::to_string(layer.number) + " is larger than the head");
    }
  }
  return Status::Ok();
}

Json EncodeLayer(const LayerMeta& layer) {
  Json json = {{"number", layer.number},
               {"parent", layer.parent},
               {"size_bytes", layer.size_bytes},
               {"zero_map", layer.has_zero_map}};
  if (layer.snapshot) {
    json["snapshot"] = {{"id", layer.snapshot->id},
                        {"name", layer.snapshot->name},
                        {"created_unix_ms", layer.snapshot->created_unix_ms},
                        {"removing", layer.snapshot->removing}};
  }
  return json;
}

}  // namespace

Result<ReplicaMeta> DecodeReplicaMeta(std::string_view text) {
  auto body = CheckHeader(text);
  if (!body.ok()) return body.status();
  const Json json = Json::parse(*body, nullptr, false);
  if (json.is_discarded()) return Corruption("the content is not JSON");

  constexpr uint64_t kAny = std::numeric_limits<uint64_t>::max();
  Fields fields(json, "replica");
  const uint64_t incompatible = fields.Number("incompatible_features", 0, kAny);
  if (fields.status().ok() && (incompatible & ~kKnownIncompatible) != 0) {
    char bits[32];
    std::snprintf(bits, sizeof bits, "0x%llx",
                  static_cast<unsigned long long>(incompatible & ~kKnownIncompatible));
    return Status(ErrorCode::kUnsupported,
                  std::string("needs features (") + bits + ") that only a newer version knows");
  }
  ReplicaMeta meta;
  meta.compatible_features = fields.Number("compatible_features", 0, kAny);
  (void)fields.Number("autoclear_features", 0,
                      kAny);  // We know none, so the next write clears all.
  meta.volume_id = fields.Text("volume_id", IsReplicaId);
  meta.replica_id = fields.Text("replica_id", IsReplicaId);
  meta.epoch = fields.Number("epoch", 0, kAny);
  meta.next_layer = static_cast<uint32_t>(fields.Number("next_layer", 2, kLayerNumberMax + 1));
  meta.head = fields.LayerNumber("head", 1);
  const Json* layers = fields.Member("layers");
  if (layers == nullptr || !layers->is_array() || layers->empty() ||
      layers->size() > kChainLayersMax) {
    fields.Fail("layers is missing, empty or too long");
  }
  if (!fields.status().ok()) return fields.status();

  meta.layers.reserve(layers->size());
  for (const Json& layer_json : *layers) {
    auto layer = DecodeLayer(layer_json, meta.layers.size());
    if (!layer.ok()) return layer.status();
    meta.layers.push_back(std::move(*layer));
  }
  RETURN_IF_ERROR(CheckTree(meta));
  return meta;
}

std::string EncodeReplicaMeta(const ReplicaMeta& meta) {
  Json layers = Json::array();
  for (const LayerMeta& layer : meta.layers) layers.push_back(EncodeLayer(layer));
  const Json json = {
      {"incompatible_features", 0},    {"compatible_features", meta.compatible_features},
      {"autoclear_features", 0},       {"volume_id", meta.volume_id},
      {"replica_id", meta.replica_id}, {"epoch", meta.epoch},
      {"next_layer", meta.next_layer}, {"head", meta.head},
      {"layers", std::move(layers)}};
  const std::string body = json.dump() + "\n";
  return HeaderFor(body) + body;
}

}  // namespace aurochs
