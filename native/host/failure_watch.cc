#include "host/failure_watch.h"

#include <utility>
#include <vector>

#include "base/limits.h"

namespace aurochs {

void FailureWatch::Add(const ReplicaDevice& replica, std::function<void()> failed) {
  watched_.emplace(&replica, std::move(failed));
  if (!timer_.active()) timer_.Start(kFailureWatchPeriodMs);
}

void FailureWatch::Remove(const ReplicaDevice& replica) {
  watched_.erase(&replica);
  if (watched_.empty()) timer_.Cancel();
}

void FailureWatch::Look() {
  std::vector<std::function<void()>> failed;
  std::erase_if(watched_, [&failed](auto& entry) {
    if (!entry.first->failed()) return false;
    failed.push_back(std::move(entry.second));
    return true;
  });
  if (!watched_.empty()) timer_.Start(kFailureWatchPeriodMs);
  for (const auto& tell : failed) tell();
}

}  // namespace aurochs
