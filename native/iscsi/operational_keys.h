// Negotiation of the operational keys of RFC 7143, section 13, one key at a time, from one table.
//
// Thread: any.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "iscsi/parameters.h"

namespace aurochs::iscsi {

// Keeps track of the keys of one login, so that each is negotiated once (6.2).
class OperationalKeys {
 public:
  enum class Verdict : uint8_t {
    kAnswered,      // possibly with Reject, Irrelevant or NotUnderstood
    kRenegotiated,  // a protocol error: the key was settled before
    kMalformed,     // a declaration that makes no sense; there is no answer to declarations
  };

  // Judges "key=value" of an initiator, notes the result in `parameters`, and appends the answer.
  Verdict OnKey(std::string_view key, std::string_view value, Parameters& parameters,
                std::string& answer);

  // Appends what we declare ourselves, unless that has been done.
  void Declare(std::string& answer);

  // After the last key: what keys say of each other. FirstBurstLength never exceeds MaxBurstLength
  // (13.14), whichever of them was left at its default.
  static void Settle(Parameters& parameters);

 private:
  uint64_t seen_ = 0;  // One bit for each row of the table.
  bool declared_ = false;
};

// Judges a key of a text request in the full feature phase, where only MaxRecvDataSegmentLength may
// be declared anew (13.12).
void OnFullFeatureKey(std::string_view key, std::string_view value, Parameters& parameters,
                      std::string& answer);

}  // namespace aurochs::iscsi
