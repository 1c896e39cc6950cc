// What a PDU that breaks the rules gets: one table, so that every such case can be read in one
// place (RFC 7143, 7.7 to 7.10, 11.17).
#pragma once

#include <cstdint>
#include <string_view>

#include "iscsi/spec.h"

namespace aurochs::iscsi {

enum class PduFault : uint8_t {
  kHeaderDigest,  // 7.8: at level 0 the connection ends
  kDataDigest,    // 7.8
  kDataTooLong,   // longer than our MaxRecvDataSegmentLength
  kUnknownOpcode,
  kTargetOpcode,        // an opcode that only targets send
  kLoginInFullFeature,  // 6.3: login is over
  kSnack,               // 11.16: needs level 1
  kOutsideWindow,       // 4.2.2.1: ignored silently
  kTooManyImmediate,    // 4.2.2.1: more than we have room for
  kScsiInDiscovery,     // 4.2.3: discovery sessions carry no tasks
  kTaskTagInUse,
  kExtendedCdb,             // 11.2.2.3: CDBs over 16 bytes
  kDirectionWithoutLength,  // 11.3.1: EDTL without R or W
  kDataOutForNoTask,        // the task may have been aborted a moment ago
  kDataOutWrongTag,         // 11.7.4: a transfer tag that its task has not handed out
  kTextTooLong,             // more text than a request may have
  kTextMalformed,
  kTextOutOfTurn,  // 11.10: a transfer tag that we did not hand out
  kLogoutMalformed,
};

enum class FaultAction : uint8_t {
  kDiscard,
  kReject,
  kRejectAndClose,
  kClose,
};

struct FaultAnswer {
  FaultAction action;
  RejectReason reason;       // for the two that reject
  std::string_view message;  // for the log, where the connection ends
};

FaultAnswer AnswerTo(PduFault fault);

}  // namespace aurochs::iscsi
