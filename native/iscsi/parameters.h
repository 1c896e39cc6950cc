// What login settles for one session and its connection (RFC 7143, section 13). The initial values
// are the standard's defaults.
#pragma once

#include <cstdint>

#include "base/limits.h"
#include "iscsi/spec.h"

namespace aurochs::iscsi {

struct Parameters {
  bool discovery = false;                       // SessionType (13.21)
  bool header_digest = false;                   // 13.1
  bool data_digest = false;                     // 13.1
  bool initial_r2t = true;                      // 13.10
  bool immediate_data = true;                   // 13.11
  bool data_pdu_in_order = true;                // 13.18
  bool data_sequence_in_order = true;           // 13.19
  uint32_t initiator_segment_bytes_max = 8192;  // its MaxRecvDataSegmentLength (13.12)
  uint32_t max_burst_bytes = 256 * kKiB;        // 13.13
  uint32_t first_burst_bytes = 64 * kKiB;       // 13.14
  uint32_t time_to_wait_s = 2;                  // 13.15
  uint32_t time_to_retain_s = 20;               // 13.16
  uint32_t outstanding_r2t_max = 1;             // 13.17
  uint32_t connections_max = 1;                 // 13.2
  uint32_t error_recovery_level = 0;            // 13.20
};

// What we offer and accept at most.
inline constexpr uint32_t kOurMaxBurstBytes = 1 * kMiB;
inline constexpr uint32_t kOurFirstBurstBytes = kFirstBurstBytesMax;
inline constexpr uint32_t kOurOutstandingR2tMax = 4;
// 13.15: when an initiator comes back after its connection has died. open-iscsi's next try is 3 s
// later, so not before an agent with some volumes has started.
inline constexpr uint32_t kOurTimeToWaitS = 2;
inline constexpr uint32_t kOurTimeToRetainS = 0;  // 7.1.4: nothing to retain at level 0
inline constexpr uint16_t kPortalGroupTag = 1;

}  // namespace aurochs::iscsi
