// CHAP as iSCSI uses it (RFC 7143, 12.1.3 and 9.2.1; RFC 1994): the target's side of one login.
//
// Steps, one login request each: the initiator offers algorithms, we send a challenge, it answers
// and, if it wants, challenges us. A challenge of ours is used for one answer only, and an
// initiator that sends our own challenge back is refused.
//
// Thread: any; one object per login.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "iscsi/credentials.h"

namespace aurochs::iscsi {

enum class ChapAlgorithm : uint8_t {  // 12.1.3
  kMd5 = 5,
  kSha1 = 6,
  kSha256 = 7,
  kSha3_256 = 8,
};

inline constexpr size_t kChapSecretBytesMin = 12;  // 9.2.1
inline constexpr size_t kChapSecretBytesMax = 256;
inline constexpr size_t kChapChallengeBytes = 32;
inline constexpr size_t kChapBinaryBytesMax = 1024;  // 6.1: binary values

// Hash of identifier, secret and challenge; nothing where the library lacks the algorithm.
std::optional<std::vector<std::byte>> ChapResponse(ChapAlgorithm algorithm, uint8_t identifier,
                                                   std::string_view secret,
                                                   std::span<const std::byte> challenge);
bool ChapAlgorithmAvailable(ChapAlgorithm algorithm);

// Fills bytes with randomness that nobody can guess; false if the library has none.
using RandomSource = std::function<bool(std::span<std::byte>)>;
bool SecureRandom(std::span<std::byte> into);

class ChapTarget {
 public:
  enum class State : uint8_t {
    kAlgorithm,  // CHAP_A expected
    kResponse,   // challenge sent; CHAP_N and CHAP_R expected
    kDone,       // the initiator knows the secret
    kFailed,     // and stays so
  };

  ChapTarget(ChapCredentials initiator, std::optional<ChapCredentials> target, RandomSource random);

  // The CHAP keys of one request; those that are absent are empty.
  struct Keys {
    std::optional<std::string_view> algorithms;  // CHAP_A
    std::optional<std::string_view> name;        // CHAP_N
    std::optional<std::string_view> response;    // CHAP_R
    std::optional<std::string_view> identifier;  // CHAP_I
    std::optional<std::string_view> challenge;   // CHAP_C
    bool any() const { return algorithms || name || response || identifier || challenge; }
  };

  // Judges one step and appends the answer's keys to `answer`.
  State Step(const Keys& keys, std::string& answer);
  State state() const { return state_; }

 private:
  State OnAlgorithms(const Keys& keys, std::string& answer);
  State OnResponse(const Keys& keys, std::string& answer);
  bool AnswerChallenge(const Keys& keys, std::string& answer) const;

  const ChapCredentials initiator_;
  const std::optional<ChapCredentials> target_;
  const RandomSource random_;
  State state_ = State::kAlgorithm;
  ChapAlgorithm algorithm_ = ChapAlgorithm::kMd5;
  uint8_t identifier_ = 0;
  std::vector<std::byte> challenge_;
};

}  // namespace aurochs::iscsi
