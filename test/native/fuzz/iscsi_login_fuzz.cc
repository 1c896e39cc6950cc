// Login text of an initiator: first byte flags, then requests of the form length, stage flags,
// text. Whatever comes, nobody gets in who has not shown the secret, and answers keep their bounds.

#include <algorithm>
#include <string_view>

#include "base/check.h"
#include "iscsi/login.h"

namespace {

using namespace aurochs::iscsi;

class Policy final : public LoginPolicy {
 public:
  explicit Policy(bool chap) {
    if (!chap) return;
    access_.chap = ChapCredentials{"user", "secretsecret1"};
    access_.mutual_chap = ChapCredentials{"target", "othersecret12"};
  }
  Access AccessToTarget(std::string_view, std::string_view) override { return access_; }
  Access AccessToDiscovery() override { return access_; }

 private:
  Access access_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const bool chap = (data[0] & 1) != 0;
  ++data;
  --size;
  Policy policy(chap);
  // A challenge that no input can have been made for: 32 secret bytes, new in every process.
  LoginNegotiation login(policy, SecureRandom);
  while (size >= 3 && login.state() != LoginNegotiation::State::kDone &&
         login.state() != LoginNegotiation::State::kFailed) {
    const size_t text_bytes = std::min<size_t>(size - 3, data[0] | size_t{data[1]} << 8);
    Bhs request(Opcode::kLoginRequest, data[2]);
    const auto answer = login.OnRequest(
        request, std::string_view(reinterpret_cast<const char*>(data + 3), text_bytes));
    CHECK(answer.text.size() <= kLoginPduTextBytes);
    CHECK(answer.bhs.opcode() == Opcode::kLoginResponse);
    data += 3 + text_bytes;
    size -= 3 + text_bytes;
  }
  CHECK(!(chap && login.state() == LoginNegotiation::State::kDone));
  return 0;
}
