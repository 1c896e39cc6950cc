// The metadata contexts of an export (proto.md, "Metadata querying"): base:allocation, and for each
// snapshot aurochs:dirty/<name>, what has changed since it (docs/nbd-support.md, "Changes since a
// snapshot").
//
// Thread: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nbd/export_catalog.h"

namespace aurochs::nbd {

// A context that a client has selected. It belongs to the snapshot that had the name then, whatever
// has the name later.
struct MetaContext {
  uint32_t id = 0;  // on this connection
  std::string name;
  std::string snapshot_id;  // empty: base:allocation
};

// Which contexts the queries of LIST_META_CONTEXT match, each once. No query asks for all, and
// "base:", "aurochs:" and "aurochs:dirty/" for all below them; of these, kNbdContextsListedMax
// snapshots are listed, the newest, and if there are more the last entry is "aurochs:dirty/".
std::vector<std::string> ListContexts(const ExportDescription& chosen,
                                      std::span<const std::string_view> queries);
// Which contexts the queries of SET_META_CONTEXT name in full, each once, numbered from 1. Nothing
// if they are more than kNbdContextsSelectedMax.
std::optional<std::vector<MetaContext>> SelectContexts(const ExportDescription& chosen,
                                                       std::span<const std::string_view> queries);

}  // namespace aurochs::nbd
