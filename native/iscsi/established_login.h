// A connection that has logged in, on its way from the portal's loop to its session's loop.
//
// Thread: passed from one to another, used by one at a time.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "base/unique_fd.h"
#include "iscsi/login.h"
#include "iscsi/parameters.h"
#include "iscsi/pdu.h"

namespace aurochs::iscsi {

// A place among the kConnectionsMax of a server; given back at its end.
class ConnectionSlot {
 public:
  using Counter = std::shared_ptr<std::atomic<uint32_t>>;

  ConnectionSlot() = default;
  // Empty if all places are taken.
  static ConnectionSlot Take(const Counter& counter) {
    ConnectionSlot slot;
    if (counter->fetch_add(1) < kConnectionsMax) {
      slot.counter_ = counter;
    } else {
      counter->fetch_sub(1);
    }
    return slot;
  }
  ConnectionSlot(ConnectionSlot&& other) noexcept = default;
  ConnectionSlot& operator=(ConnectionSlot&&) = delete;
  ~ConnectionSlot() {
    if (counter_ != nullptr) counter_->fetch_sub(1);
  }
  explicit operator bool() const { return counter_ != nullptr; }

 private:
  Counter counter_;
};

struct EstablishedLogin {
  UniqueFd fd;
  ConnectionSlot slot;
  LoginIdentity identity;
  Parameters parameters;
  LoginNegotiation::Answer last_answer;  // not sent yet: lacks the TSIH
  std::vector<std::byte> unused;         // bytes received after the last request
  std::string local_address;             // "127.0.0.1:3260", as the initiator connected to it
  std::string remote_address;
};

}  // namespace aurochs::iscsi
