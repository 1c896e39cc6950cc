#include <gtest/gtest.h>

#include <algorithm>

#include "iscsi/chap.h"
#include "iscsi/text_keys.h"

namespace aurochs::iscsi {
namespace {

constexpr std::string_view kSecret = "secretsecret1";
const ChapCredentials kInitiator{"user", std::string(kSecret)};
const ChapCredentials kTarget{"target", "othersecret12"};

// Bytes that count up, so that identifier and challenge of the n-th login are known.
RandomSource Counting(uint8_t from) {
  return [from](std::span<std::byte> into) {
    for (size_t i = 0; i < into.size(); ++i) into[i] = static_cast<std::byte>(from + i);
    return true;
  };
}

std::vector<std::byte> ChallengeOf(uint8_t from) {
  std::vector<std::byte> challenge(kChapChallengeBytes);
  for (size_t i = 0; i < challenge.size(); ++i) {
    challenge[i] = static_cast<std::byte>(from + 1 + i);
  }
  return challenge;
}

std::string ResponseText(ChapAlgorithm algorithm, uint8_t identifier, std::string_view secret,
                         std::span<const std::byte> challenge) {
  return FormatBinary(ChapResponse(algorithm, identifier, secret, challenge).value());
}

std::string Readable(std::string text) {
  std::replace(text.begin(), text.end(), '\0', ' ');
  return text;
}

// What openssl dgst says of 0x17, "secretsecret1" and "challenge-challenge".
TEST(IscsiChap, ResponsesAreTheHashesOfIdentifierSecretAndChallenge) {
  const auto response = [](ChapAlgorithm algorithm) {
    return ResponseText(algorithm, 0x17, kSecret, AsBytes("challenge-challenge"));
  };
  EXPECT_EQ(response(ChapAlgorithm::kMd5), "0x3e40fd8f4cbd0de122e9ba21d7dce418");
  EXPECT_EQ(response(ChapAlgorithm::kSha1), "0x61b54741171f7bd9f6698e0aca186e04c128c0d1");
  EXPECT_EQ(response(ChapAlgorithm::kSha256),
            "0xd27610942c0e793c93bef90441e14e0f9c26ce96366e57f18618965040687c55");
  EXPECT_EQ(response(ChapAlgorithm::kSha3_256),
            "0xa99e7114239fb353f0788027c2bb975ec9aa400d77e802e905cfad4368207cb9");
}

class IscsiChapTarget : public testing::Test {
 protected:
  ChapTarget::State Offer(std::string_view algorithms) {
    return target_.Step({.algorithms = algorithms}, answer_);
  }
  ChapTarget::State Respond(std::string_view name, const std::string& response) {
    answer_.clear();
    return target_.Step({.name = name, .response = response}, answer_);
  }
  std::string RightResponse(ChapAlgorithm algorithm = ChapAlgorithm::kMd5) {
    return ResponseText(algorithm, 7, kSecret, ChallengeOf(7));
  }

  ChapTarget target_{kInitiator, kTarget, Counting(7)};
  std::string answer_;
};

TEST_F(IscsiChapTarget, LetsInWhoKnowsTheSecret) {
  EXPECT_EQ(Offer("5"), ChapTarget::State::kResponse);
  EXPECT_EQ(Readable(answer_), "CHAP_A=5 CHAP_I=7 CHAP_C=" + FormatBinary(ChallengeOf(7)) + " ");
  EXPECT_EQ(Respond("user", RightResponse()), ChapTarget::State::kDone);
  EXPECT_EQ(answer_, "");
}

TEST_F(IscsiChapTarget, TakesTheStrongestAlgorithmOfTheInitiatorThatItKnows) {
  EXPECT_EQ(Offer("99,x,5,7,6"), ChapTarget::State::kResponse);
  EXPECT_EQ(Readable(answer_).substr(0, 9), "CHAP_A=7 ");
  EXPECT_EQ(Respond("user", RightResponse(ChapAlgorithm::kMd5)), ChapTarget::State::kFailed);
}

TEST_F(IscsiChapTarget, LetsInWithEveryAlgorithm) {
  for (const ChapAlgorithm algorithm : {ChapAlgorithm::kMd5, ChapAlgorithm::kSha1,
                                        ChapAlgorithm::kSha256, ChapAlgorithm::kSha3_256}) {
    ChapTarget target(kInitiator, kTarget, Counting(7));
    const std::string number = std::to_string(static_cast<unsigned>(algorithm));
    std::string answer;
    EXPECT_EQ(target.Step({.algorithms = number}, answer), ChapTarget::State::kResponse);
    const std::string response = RightResponse(algorithm);
    EXPECT_EQ(target.Step({.name = "user", .response = response}, answer),
              ChapTarget::State::kDone);
  }
}

TEST_F(IscsiChapTarget, RefusesWhenNoAlgorithmIsKnown) {
  EXPECT_EQ(Offer("0,4,9,300"), ChapTarget::State::kFailed);
}

TEST_F(IscsiChapTarget, RefusesAWrongSecretAndLeavesNoSecondTry) {
  Offer("5");
  EXPECT_EQ(Respond("user", ResponseText(ChapAlgorithm::kMd5, 7, "wrongwrong123", ChallengeOf(7))),
            ChapTarget::State::kFailed);
  EXPECT_EQ(Respond("user", RightResponse()), ChapTarget::State::kFailed);
}

TEST_F(IscsiChapTarget, RefusesAWrongName) {
  Offer("5");
  EXPECT_EQ(Respond("User", RightResponse()), ChapTarget::State::kFailed);
}

TEST_F(IscsiChapTarget, RefusesAResponseThatWasRightForAnotherChallenge) {
  Offer("5");
  const std::string heard_before = ResponseText(ChapAlgorithm::kMd5, 8, kSecret, ChallengeOf(8));
  EXPECT_EQ(Respond("user", heard_before), ChapTarget::State::kFailed);
}

TEST_F(IscsiChapTarget, RefusesAResponseBeforeThereWasAChallenge) {
  EXPECT_EQ(Respond("user", RightResponse()), ChapTarget::State::kFailed);
}

TEST_F(IscsiChapTarget, RefusesResponsesThatAreNoHash) {
  for (const std::string& bad : {std::string("0x"), std::string("0x00"), std::string("text"),
                                 RightResponse() + "00", "0x" + std::string(10000, '0')}) {
    ChapTarget target(kInitiator, kTarget, Counting(7));
    target.Step({.algorithms = "5"}, answer_);
    EXPECT_EQ(target.Step({.name = "user", .response = bad}, answer_), ChapTarget::State::kFailed);
  }
}

TEST_F(IscsiChapTarget, ProvesItselfWhenItIsChallenged) {
  Offer("5");
  answer_.clear();
  const std::string response = RightResponse();
  EXPECT_EQ(
      target_.Step(
          {.name = "user", .response = response, .identifier = "0x20", .challenge = "0x0102030405"},
          answer_),
      ChapTarget::State::kDone);
  const auto challenge = ParseBinary("0x0102030405", 16).value();
  EXPECT_EQ(Readable(answer_),
            "CHAP_N=target CHAP_R=" +
                ResponseText(ChapAlgorithm::kMd5, 0x20, kTarget.secret, challenge) + " ");
}

TEST_F(IscsiChapTarget, DoesNotAnswerItsOwnChallenge) {
  Offer("5");
  answer_.clear();
  const std::string response = RightResponse();
  const std::string reflected = FormatBinary(ChallengeOf(7));
  EXPECT_EQ(target_.Step(
                {.name = "user", .response = response, .identifier = "9", .challenge = reflected},
                answer_),
            ChapTarget::State::kFailed);
  EXPECT_EQ(answer_, "");
}

TEST_F(IscsiChapTarget, DoesNotAnswerAnyChallengeOfOneWhoDoesNotKnowTheSecret) {
  Offer("5");
  answer_.clear();
  EXPECT_EQ(target_.Step({.name = "user",
                          .response = "0x00112233445566778899aabbccddeeff",
                          .identifier = "9",
                          .challenge = "0x0102"},
                         answer_),
            ChapTarget::State::kFailed);
  EXPECT_EQ(answer_, "");
}

TEST_F(IscsiChapTarget, RefusesAChallengeWhenItHasNoSecretOfItsOwn) {
  ChapTarget target(kInitiator, std::nullopt, Counting(7));
  target.Step({.algorithms = "5"}, answer_);
  const std::string response = RightResponse();
  EXPECT_EQ(
      target.Step({.name = "user", .response = response, .identifier = "9", .challenge = "0x01"},
                  answer_),
      ChapTarget::State::kFailed);
}

TEST_F(IscsiChapTarget, RefusesHalfAChallenge) {
  for (const bool with_identifier : {true, false}) {
    ChapTarget target(kInitiator, kTarget, Counting(7));
    target.Step({.algorithms = "5"}, answer_);
    const std::string response = RightResponse();
    ChapTarget::Keys keys{.name = "user", .response = response};
    if (with_identifier) {
      keys.identifier = "9";
    } else {
      keys.challenge = "0x01";
    }
    EXPECT_EQ(target.Step(keys, answer_), ChapTarget::State::kFailed);
  }
}

TEST_F(IscsiChapTarget, RefusesWhenThereIsNoRandomness) {
  ChapTarget target(kInitiator, kTarget, [](std::span<std::byte>) { return false; });
  EXPECT_EQ(target.Step({.algorithms = "5"}, answer_), ChapTarget::State::kFailed);
}

TEST(IscsiChapRandomness, NeverRepeatsAChallenge) {
  const auto challenge = [] {
    ChapTarget target(kInitiator, kTarget, SecureRandom);
    std::string answer;
    target.Step({.algorithms = "5"}, answer);
    return answer;
  };
  EXPECT_NE(challenge(), challenge());
}

}  // namespace
}  // namespace aurochs::iscsi
