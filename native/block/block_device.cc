#include "block/block_device.h"

#include <utility>

namespace aurochs {

std::shared_ptr<const SnapshotNames> BlockDevice::snapshots() const {
  static const auto none = std::make_shared<const SnapshotNames>();
  return none;
}

void BlockDevice::QueryChanges(ChangeQuery* query) {
  query->complete(query, ErrorCode::kNotFound);
}

uint64_t BlockDevice::AddInfoObserver(InfoObserver observer) {
  observers_.push_back({next_observer_id_, std::move(observer)});
  return next_observer_id_++;
}

void BlockDevice::RemoveInfoObserver(uint64_t id) {
  std::erase_if(observers_, [id](const Entry& entry) { return entry.id == id; });
}

void BlockDevice::NotifyInfoChanged() {
  const auto observers = observers_;  // An observer may remove itself.
  for (const Entry& entry : observers) entry.observer(info());
}

}  // namespace aurochs
