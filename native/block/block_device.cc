#include "block/block_device.h"

#include <utility>

namespace aurochs {

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
