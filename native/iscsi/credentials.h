// Who may log in.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace aurochs::iscsi {

struct ChapCredentials {
  std::string user;
  std::string secret;  // 12 to 256 bytes (RFC 7143, 9.2.1: no less than 96 bits)
  friend bool operator==(const ChapCredentials&, const ChapCredentials&) = default;
};

struct TargetAccess {
  std::optional<ChapCredentials> chap;         // the initiator must know these
  std::optional<ChapCredentials> mutual_chap;  // what we answer when it asks us; needs `chap`
  std::vector<std::string> initiators;         // allowed initiator names; empty: all
};

}  // namespace aurochs::iscsi
