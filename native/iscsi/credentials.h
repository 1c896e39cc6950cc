// Who may log in: the pair that CHAP checks.
#pragma once

#include <string>

namespace aurochs::iscsi {

struct ChapCredentials {
  std::string user;
  std::string secret;  // 12 to 256 bytes (RFC 7143, 9.2.1: no less than 96 bits)
  friend bool operator==(const ChapCredentials&, const ChapCredentials&) = default;
};

}  // namespace aurochs::iscsi
