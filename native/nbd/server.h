// The NBD server of this agent (the NBD project's proto.md): listeners on TCP and UNIX sockets and
// the exports that clients choose from. A connection negotiates on the listener's loop and moves to
// its export's loop for transmission.
//
// Thread:    any; callbacks run on the loop given to Create.
// Ownership: the server does not own devices; RemoveExport's callback gives a device back.
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

namespace aurochs::nbd {

struct TlsConfig {
  std::string certificate_file;  // PEM chain
  std::string key_file;          // PEM
  std::string client_ca_file;    // empty: clients are not asked for a certificate
  bool required = true;          // refuse options other than STARTTLS and ABORT before TLS
};

struct ExportConfig {
  std::string name;
  std::string description;
  bool read_only = false;
};

struct ConnectionInfo {
  std::string export_name;
  std::string address;
};

class Server {
 public:
  using Done = std::function<void(Status)>;
  struct Events {
    std::function<void(const ConnectionInfo&)> connection_opened;  // on the export's loop
    std::function<void(const ConnectionInfo&)> connection_closed;
  };

  // Tests are less patient with clients that do not get through the handshake.
  static std::unique_ptr<Server> Create(EventLoop& listener_loop, Events events,
                                        uint32_t handshake_timeout_ms = kHandshakeTimeoutMs);
  virtual ~Server() = default;  // Only after Close.

  // "HOST:PORT" or "unix:PATH". TLS applies to TCP listeners only. A stale socket file that nobody
  // serves is replaced. Returns the address in use.
  virtual Result<std::string> Listen(const std::string& address, std::optional<TlsConfig> tls) = 0;

  // The device's info() must not change during the call; call it on the device's loop if it could.
  virtual Status AddExport(ExportConfig config, BlockDevice& device, EventLoop& device_loop) = 0;
  // No request is taken from its connections any more; those in flight are answered. Then calls
  // back, and the device and its loop are not used any more. kNotFound if there is no such export.
  virtual void RemoveExport(const std::string& name, Done done) = 0;
  virtual std::vector<ConnectionInfo> Connections() const = 0;

  // Once. Stops listening, drops what is still negotiating, removes all exports, then calls back.
  virtual void Close(Done done) = 0;
};

}  // namespace aurochs::nbd
