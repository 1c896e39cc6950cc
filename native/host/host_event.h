// What a host tells without being asked.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <variant>

#include "base/log.h"
#include "base/status.h"

namespace aurochs {

enum class Frontend : uint8_t { kIscsi, kNbd };

// One initiator at one export.
struct HostSession {
  Frontend frontend = Frontend::kIscsi;
  std::string export_name;  // target name or NBD export name
  std::string initiator;    // iSCSI name; empty for NBD, whose clients have none
  std::string address;
};

// A line of the core names no host, so every open host of the process hears it.
struct LogEvent {
  LogLevel level = LogLevel::kInfo;
  std::string component;
  std::string message;
};

struct SessionEvent {
  bool opened = false;
  HostSession session;
};

struct MergeProgressEvent {
  std::string volume_id;
  std::string snapshot_id;
  double share = 0;  // from 0 to 1
};

struct MergeDoneEvent {
  std::string volume_id;
  std::string snapshot_id;
  Status status;
};

struct CopyProgressEvent {
  std::string volume_id;  // of the replica that is made
  double share = 0;       // from 0 to 1
};

// D4: data was lost below; the volume's writes and flushes fail from now on.
struct ReplicaFailedEvent {
  std::string volume_id;
  std::string message;
};

using HostEvent = std::variant<LogEvent, SessionEvent, MergeProgressEvent, MergeDoneEvent,
                               CopyProgressEvent, ReplicaFailedEvent>;

// Called on any thread, also on data-path loops: must return at once and never call into the host.
using EventSink = std::function<void(HostEvent event)>;

}  // namespace aurochs
