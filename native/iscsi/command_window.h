// The CmdSN window of a session (RFC 7143, 4.2.2.1): which command is expected next, and how many
// the initiator may send.
//
// Thread: of the session.
#pragma once

#include <cstdint>

#include "base/check.h"
#include "base/limits.h"
#include "iscsi/spec.h"

namespace aurochs::iscsi {

class CommandWindow {
 public:
  enum class Place : uint8_t {
    kNow,      // it is the next one
    kLater,    // earlier ones are missing
    kOutside,  // a duplicate, or more than was allowed
  };

  explicit CommandWindow(uint32_t first) : expected_(first), max_(first + kCommandWindow - 1) {}

  Place PlaceOf(uint32_t cmd_sn) const {
    if (cmd_sn == expected_) return SerialLess(max_, cmd_sn) ? Place::kOutside : Place::kNow;
    const bool inside = SerialLess(expected_, cmd_sn) && !SerialLess(max_, cmd_sn);
    return inside ? Place::kLater : Place::kOutside;
  }
  void Advance() { ++expected_; }

  // `open` commands of the window are not answered. MaxCmdSN never goes back.
  void SetOpen(uint32_t open) {
    CHECK(open <= kCommandWindow);
    const uint32_t max = expected_ - 1 + kCommandWindow - open;
    if (SerialLess(max_, max)) max_ = max;
  }

  uint32_t expected() const { return expected_; }
  uint32_t max() const { return max_; }

 private:
  uint32_t expected_;
  uint32_t max_;
};

}  // namespace aurochs::iscsi
