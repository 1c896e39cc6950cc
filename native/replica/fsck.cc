#include "replica/fsck.h"

#include <algorithm>

#include "replica/layer_tree.h"
#include "replica/lost_data.h"
#include "replica/replica_meta.h"
#include "replica/zero_map.h"

namespace aurochs {
namespace {

using Severity = FsckFinding::Severity;

class Fsck {
 public:
  explicit Fsck(Directory& directory) : directory_(directory) {}

  std::vector<FsckFinding> Run() {
    CheckAll();
    std::stable_sort(findings_.begin(), findings_.end(),
                     [](const auto& a, const auto& b) { return a.severity < b.severity; });
    return std::move(findings_);
  }

 private:
  void Add(Severity severity, std::string message) {
    findings_.push_back({severity, std::move(message)});
  }

  void CheckAll() {
    auto lock = directory_.Lock(kReplicaLockFile);
    if (!lock.ok()) {
      Add(Severity::kError, lock.status().code() == ErrorCode::kBusy
                                ? directory_.path() + " is in use; check it when it is closed"
                                : lock.status().ToString());
      return;
    }
    auto meta = LoadReplicaMeta(directory_);
    if (!meta.ok()) {
      Add(Severity::kError, meta.status().ToString());
      return;
    }
    auto names = directory_.List();
    if (!names.ok()) {
      Add(Severity::kError, names.status().ToString());
      return;
    }
    if (const Status newer = CheckNothingIsNewer(directory_, *meta); !newer.ok()) {
      Add(Severity::kError, newer.message());
    }
    for (const std::string& name : FindLeftOvers(*names, *meta)) {
      Add(Severity::kWarning, name + " is a left-over of an interrupted step");
    }
    if (std::binary_search(names->begin(), names->end(), kLostDataFile)) {
      Add(Severity::kWarning, "the disk failed to keep what was written since the last flush");
    }
    for (const LayerMeta& layer : meta->layers) CheckLayer(layer);
  }

  void CheckLayer(const LayerMeta& layer) {
    const bool may_be_larger = !layer.snapshot || layer.snapshot->removing;
    CheckFile(LayerFileName(layer.number), layer.size_bytes, may_be_larger);
    if (layer.has_zero_map) {
      CheckFile(ZeroMapFileName(layer.number), ZeroMap::FileBytes(layer.size_bytes), may_be_larger);
    }
    if (layer.snapshot && layer.snapshot->removing) {
      Add(Severity::kWarning, "snapshot " + layer.snapshot->id + " (\"" + layer.snapshot->name +
                                  "\") is being removed; its merge is not finished");
    }
  }

  void CheckFile(const std::string& name, uint64_t size_bytes, bool may_be_larger) {
    auto file = directory_.OpenFile(name, OpenMode::kReadOnly);
    if (!file.ok()) {
      Add(Severity::kError, name + ": " + file.status().ToString());
      return;
    }
    auto size = (*file)->SizeBytes();
    if (!size.ok()) {
      Add(Severity::kError, name + ": " + size.status().ToString());
      return;
    }
    if (*size != size_bytes) {
      const bool too_small = *size < size_bytes;
      Add(too_small || !may_be_larger ? Severity::kError : Severity::kWarning,
          name + " has " + std::to_string(*size) + " bytes where replica.json says " +
              std::to_string(size_bytes));
    }
  }

  Directory& directory_;
  std::vector<FsckFinding> findings_;
};

}  // namespace

std::vector<FsckFinding> FsckReplica(Directory& directory) {
  return Fsck(directory).Run();
}

}  // namespace aurochs
