// The iSCSI target node of this agent (RFC 7143): portals that listen, and targets with one logical
// unit (LUN 1) each. A connection logs in on the portal's loop; once it names a target it moves to
// that target's loop and stays there, so the hot path takes no lock.
//
// Thread:    any; callbacks run on the loop given to Create.
// Ownership: the server does not own devices; RemoveTarget's callback gives a device back.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/limits.h"
#include "base/status.h"
#include "block/block_device.h"
#include "io/event_loop.h"
#include "iscsi/credentials.h"
#include "scsi/logical_unit.h"

namespace aurochs::iscsi {

struct TargetConfig {
  std::string name;  // IQN
  scsi::UnitIdentity identity;
  scsi::UnitOptions unit;
  scsi::UnitStateStore* unit_state = nullptr;  // outlives the target
  TargetAccess access;
};

struct SessionInfo {
  std::string target;
  std::string initiator;
  std::string address;  // "127.0.0.1:40312"
  uint16_t tsih = 0;
};

// How long the server waits for initiators; tests are less patient.
struct Timeouts {
  uint32_t login_ms = kLoginTimeoutMs;        // from accepting to the end of the login
  uint32_t nop_idle_ms = kNopIdleMs;          // silence before an initiator is asked
  uint32_t nop_timeout_ms = kNopTimeoutMs;    // silence after that before it is given up
  uint32_t logout_grace_ms = kLogoutGraceMs;  // between asking for a logout and closing
};

class Server {
 public:
  using Done = std::function<void(Status)>;
  struct Events {
    std::function<void(const SessionInfo&)> session_opened;  // on the session's loop
    std::function<void(const SessionInfo&)> session_closed;
  };

  static std::unique_ptr<Server> Create(EventLoop& portal_loop, Events events,
                                        Timeouts timeouts = {});
  virtual ~Server() = default;  // Only after Close.

  // Listens on "HOST:PORT" ("[::1]:3260" too; port 0 takes a free one). Returns the address in use;
  // kBusy names the address when the port is taken. Targets may be added before and after: each
  // portal offers all of them.
  virtual Result<std::string> Listen(const std::string& portal) = 0;

  // Discovery needs these when set; otherwise it is open and lists what the initiator may see.
  virtual void SetDiscoveryAuth(std::optional<ChapCredentials> chap,
                                std::optional<ChapCredentials> mutual) = 0;

  // Offers `device`, which belongs to `device_loop`. kAlreadyExists if the name is taken.
  virtual Status AddTarget(TargetConfig config, BlockDevice& device, EventLoop& device_loop) = 0;
  // Who may log in from now on; open sessions stay. kNotFound if there is no such target.
  virtual Status SetAccess(const std::string& name, TargetAccess access) = 0;
  // Ends its sessions (asynchronous logout request, then close), waits for their commands.
  virtual void RemoveTarget(const std::string& name, Done done) = 0;
  virtual std::vector<SessionInfo> Sessions() const = 0;

  // Stops listening, then drops every session without a word, as a crash would, and frees every
  // target: initiators are to wait and come back.
  virtual void Close(Done done) = 0;
};

}  // namespace aurochs::iscsi
