#include "nbd/meta_context.h"

#include <algorithm>

#include "base/limits.h"

namespace aurochs::nbd {
namespace {

constexpr std::string_view kAllocation = "base:allocation";
constexpr std::string_view kBaseWildcard = "base:";
constexpr std::string_view kDirtyPrefix = "aurochs:dirty/";
constexpr std::string_view kDirtyWildcard = "aurochs:";

std::string DirtyName(const SnapshotName& snapshot) {
  return std::string(kDirtyPrefix) + snapshot.name;
}

// The snapshot that a query names in full; null for any other query.
const SnapshotName* FindSnapshot(const SnapshotNames& snapshots, std::string_view query) {
  if (!query.starts_with(kDirtyPrefix)) return nullptr;
  const std::string_view name = query.substr(kDirtyPrefix.size());
  const auto found = std::find_if(snapshots.begin(), snapshots.end(),
                                  [name](const SnapshotName& one) { return one.name == name; });
  return found == snapshots.end() ? nullptr : &*found;
}

void AddNewest(const SnapshotNames& snapshots, std::vector<std::string>* names) {
  const size_t listed = std::min<size_t>(snapshots.size(), kNbdContextsListedMax);
  for (size_t i = snapshots.size() - listed; i < snapshots.size(); ++i) {
    names->push_back(DirtyName(snapshots[i]));
  }
  if (listed < snapshots.size()) names->emplace_back(kDirtyPrefix);
}

}  // namespace

std::vector<std::string> ListContexts(const ExportDescription& chosen,
                                      std::span<const std::string_view> queries) {
  const auto has = [&](std::string_view wanted) {
    return std::find(queries.begin(), queries.end(), wanted) != queries.end();
  };
  std::vector<std::string> names;
  if (queries.empty() || has(kBaseWildcard) || has(kAllocation)) names.emplace_back(kAllocation);
  if (queries.empty() || has(kDirtyWildcard) || has(kDirtyPrefix)) {
    AddNewest(*chosen.snapshots, &names);
  }
  for (const std::string_view query : queries) {
    if (FindSnapshot(*chosen.snapshots, query) == nullptr) continue;
    if (std::find(names.begin(), names.end(), query) == names.end()) names.emplace_back(query);
  }
  return names;
}

std::optional<std::vector<MetaContext>> SelectContexts(const ExportDescription& chosen,
                                                       std::span<const std::string_view> queries) {
  std::vector<MetaContext> selected;
  for (const std::string_view query : queries) {
    const SnapshotName* snapshot = FindSnapshot(*chosen.snapshots, query);
    if (snapshot == nullptr && query != kAllocation) continue;
    const bool again = std::any_of(selected.begin(), selected.end(),
                                   [&](const MetaContext& one) { return one.name == query; });
    if (again) continue;
    if (selected.size() == kNbdContextsSelectedMax) return std::nullopt;
    selected.push_back({.id = static_cast<uint32_t>(selected.size() + 1),
                        .name = std::string(query),
                        .snapshot_id = snapshot == nullptr ? "" : snapshot->id});
  }
  return selected;
}

}  // namespace aurochs::nbd
