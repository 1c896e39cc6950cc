// Who is connected to a server: counts all connections, and lists those that serve an export.
//
// Thread:    any.
// Ownership: shared by the server and the tickets of its connections.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "nbd/server.h"

namespace aurochs::nbd {

class ConnectionRegistry : public std::enable_shared_from_this<ConnectionRegistry> {
 public:
  // A connection's place in the registry, until the ticket ends.
  class Ticket {
   public:
    Ticket() = default;
    Ticket(Ticket&& other) noexcept = default;
    Ticket& operator=(Ticket&& other) noexcept;
    ~Ticket();

    explicit operator bool() const { return registry_ != nullptr; }
    const std::string& address() const { return address_; }
    // From now on the connection is listed.
    void List(const std::string& export_name);

   private:
    friend class ConnectionRegistry;
    std::shared_ptr<ConnectionRegistry> registry_;
    uint64_t id_ = 0;
    std::string address_;
  };

  // Empty if kConnectionsMax are connected.
  Ticket Admit(std::string address);
  std::vector<ConnectionInfo> Listed() const;

 private:
  void Leave(uint64_t id);

  mutable std::mutex mutex_;
  uint64_t connections_ = 0;                   // Guarded by mutex_.
  uint64_t next_id_ = 1;                       // Guarded by mutex_.
  std::map<uint64_t, ConnectionInfo> listed_;  // Guarded by mutex_.
};

}  // namespace aurochs::nbd
