#include "iscsi/chap.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <array>
#include <memory>
#include <utility>

#include "iscsi/text_keys.h"

namespace aurochs::iscsi {
namespace {

const EVP_MD* DigestFor(ChapAlgorithm algorithm) {
  switch (algorithm) {
    case ChapAlgorithm::kMd5: return EVP_md5();
    case ChapAlgorithm::kSha1: return EVP_sha1();
    case ChapAlgorithm::kSha256: return EVP_sha256();
    case ChapAlgorithm::kSha3_256: return EVP_sha3_256();
  }
  Unreachable("DigestFor");
}

bool IsKnown(uint64_t number) {
  return number >= static_cast<uint64_t>(ChapAlgorithm::kMd5) &&
         number <= static_cast<uint64_t>(ChapAlgorithm::kSha3_256);
}

// 6.2.1: the first of the list that we support and allow; we allow none that is weaker than another
// of the list. The numbers grow with the strength.
std::optional<ChapAlgorithm> StrongestOf(std::string_view offered) {
  uint64_t strongest = 0;
  for (std::string_view item : SplitList(offered)) {
    const uint64_t number = ParseNumber(item).value_or(0);
    if (number > strongest && IsKnown(number) &&
        ChapAlgorithmAvailable(static_cast<ChapAlgorithm>(number))) {
      strongest = number;
    }
  }
  if (strongest == 0) return std::nullopt;
  return static_cast<ChapAlgorithm>(strongest);
}

// In constant time where the lengths agree; the length of a digest is no secret.
bool SameBytes(std::span<const std::byte> a, std::span<const std::byte> b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

std::optional<std::vector<std::byte>> ChapResponse(ChapAlgorithm algorithm, uint8_t identifier,
                                                   std::string_view secret,
                                                   std::span<const std::byte> challenge) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        EVP_MD_CTX_free);
  std::vector<std::byte> digest(EVP_MAX_MD_SIZE);
  unsigned digest_bytes = 0;
  // A library in FIPS mode refuses MD5 here.
  if (context == nullptr || EVP_DigestInit_ex(context.get(), DigestFor(algorithm), nullptr) != 1 ||
      EVP_DigestUpdate(context.get(), &identifier, 1) != 1 ||
      EVP_DigestUpdate(context.get(), secret.data(), secret.size()) != 1 ||
      EVP_DigestUpdate(context.get(), challenge.data(), challenge.size()) != 1 ||
      EVP_DigestFinal_ex(context.get(), reinterpret_cast<unsigned char*>(digest.data()),
                         &digest_bytes) != 1) {
    return std::nullopt;
  }
  digest.resize(digest_bytes);
  return digest;
}

bool ChapAlgorithmAvailable(ChapAlgorithm algorithm) {
  return ChapResponse(algorithm, 0, {}, {}).has_value();
}

bool SecureRandom(std::span<std::byte> into) {
  return RAND_bytes(reinterpret_cast<unsigned char*>(into.data()), static_cast<int>(into.size())) ==
         1;
}

ChapTarget::ChapTarget(ChapCredentials initiator, std::optional<ChapCredentials> target,
                       RandomSource random)
    : initiator_(std::move(initiator)), target_(std::move(target)), random_(std::move(random)) {}

ChapTarget::State ChapTarget::Step(const Keys& keys, std::string& answer) {
  switch (state_) {
    case State::kAlgorithm: state_ = OnAlgorithms(keys, answer); break;
    case State::kResponse: state_ = OnResponse(keys, answer); break;
    case State::kDone:
    case State::kFailed: state_ = State::kFailed; break;  // Nothing may follow.
  }
  return state_;
}

ChapTarget::State ChapTarget::OnAlgorithms(const Keys& keys, std::string& answer) {
  if (!keys.algorithms || keys.name || keys.response) return State::kFailed;
  const std::optional<ChapAlgorithm> strongest = StrongestOf(*keys.algorithms);
  if (!strongest) return State::kFailed;
  algorithm_ = *strongest;
  std::array<std::byte, 1 + kChapChallengeBytes> random;
  if (!random_(random)) return State::kFailed;
  identifier_ = std::to_integer<uint8_t>(random[0]);
  challenge_.assign(random.begin() + 1, random.end());
  AppendPair(answer, "CHAP_A", std::to_string(static_cast<unsigned>(algorithm_)));
  AppendPair(answer, "CHAP_I", std::to_string(identifier_));
  AppendPair(answer, "CHAP_C", FormatBinary(challenge_));
  return State::kResponse;
}

ChapTarget::State ChapTarget::OnResponse(const Keys& keys, std::string& answer) {
  if (!keys.name || !keys.response || keys.algorithms) return State::kFailed;
  const auto received = ParseBinary(*keys.response, kChapBinaryBytesMax);
  const auto expected = ChapResponse(algorithm_, identifier_, initiator_.secret, challenge_);
  if (!received || !expected) return State::kFailed;
  // Both are compared before the verdict, so that its time does not tell which was wrong.
  const bool name_matches = SameBytes(AsBytes(*keys.name), AsBytes(initiator_.user));
  const bool response_matches = SameBytes(*received, *expected);
  if (!name_matches || !response_matches) return State::kFailed;
  if (!keys.identifier && !keys.challenge) return State::kDone;
  return AnswerChallenge(keys, answer) ? State::kDone : State::kFailed;
}

bool ChapTarget::AnswerChallenge(const Keys& keys, std::string& answer) const {
  if (!target_ || !keys.identifier || !keys.challenge) return false;
  const std::optional<uint64_t> identifier = ParseNumber(*keys.identifier);
  const auto challenge = ParseBinary(*keys.challenge, kChapBinaryBytesMax);
  if (!identifier || *identifier > 0xff || !challenge || challenge->empty()) return false;
  // 9.2.1: an initiator that reflects our challenge may be after our answer to it.
  if (*challenge == challenge_) return false;
  const auto response =
      ChapResponse(algorithm_, static_cast<uint8_t>(*identifier), target_->secret, *challenge);
  if (!response) return false;
  AppendPair(answer, "CHAP_N", target_->user);
  AppendPair(answer, "CHAP_R", FormatBinary(*response));
  return true;
}

}  // namespace aurochs::iscsi
