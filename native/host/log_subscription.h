// Delivers the core's log lines to the event sinks of all open hosts. The core has one log sink
// for the process, and hosts come and go: one per environment, several in tests.
//
// Thread: any.
#pragma once

#include <cstdint>

#include "host/host_event.h"

namespace aurochs {

class LogSubscription {
 public:
  explicit LogSubscription(EventSink sink);
  // No call to the sink runs or follows.
  ~LogSubscription();
  LogSubscription(const LogSubscription&) = delete;
  LogSubscription& operator=(const LogSubscription&) = delete;

 private:
  uint64_t id_;
};

}  // namespace aurochs
