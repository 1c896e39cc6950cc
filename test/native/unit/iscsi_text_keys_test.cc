#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "iscsi/text_keys.h"

namespace aurochs::iscsi {
namespace {

using testing::ElementsAre;

std::string Text(std::initializer_list<std::string_view> pairs) {
  std::string text;
  for (std::string_view pair : pairs) text.append(pair).push_back('\0');
  return text;
}

std::vector<std::string> PairsOf(std::string_view text) {
  std::vector<std::string> pairs;
  const auto parsed = ParseText(text);
  if (!parsed.ok()) return {"malformed"};
  for (const TextPair& pair : *parsed) {
    pairs.push_back(std::string(pair.key) + "->" + std::string(pair.value));
  }
  return pairs;
}

TEST(IscsiText, IsCutIntoPairsAtItsNulBytes) {
  EXPECT_THAT(PairsOf(Text({"A=1", "X-b.c@d=", "C=x=y"})),
              ElementsAre("A->1", "X-b.c@d->", "C->x=y"));
  EXPECT_THAT(PairsOf(""), ElementsAre());
}

TEST(IscsiText, MayBePaddedWithNulBytes) {
  EXPECT_THAT(PairsOf(Text({"A=1", "", ""})), ElementsAre("A->1"));
}

TEST(IscsiText, IsRefusedWhenAPairIsNoPair) {
  EXPECT_THAT(PairsOf("A=1"), ElementsAre("malformed"));  // no NUL at its end
  EXPECT_THAT(PairsOf(Text({"no equals sign"})), ElementsAre("malformed"));
  EXPECT_THAT(PairsOf(Text({"=value"})), ElementsAre("malformed"));
  EXPECT_THAT(PairsOf(Text({"A B=1"})), ElementsAre("malformed"));
  EXPECT_THAT(PairsOf(Text({std::string(64, 'k') + "=1"})), ElementsAre("malformed"));
  EXPECT_EQ(PairsOf(Text({std::string(63, 'k') + "=1"})).size(), 1u);
}

TEST(IscsiText, NumbersAreDecimalOrHexadecimalAndNothingElse) {
  EXPECT_EQ(ParseNumber("0"), 0u);
  EXPECT_EQ(ParseNumber("262144"), 262144u);
  EXPECT_EQ(ParseNumber("0x40000"), 262144u);
  EXPECT_EQ(ParseNumber("0Xff"), 255u);
  for (std::string_view bad : {"", "-1", "+1", " 1", "1 ", "1k", "0x", "0x-1", "0xg",
                               "18446744073709551616", "0x10000000000000000"}) {
    EXPECT_EQ(ParseNumber(bad), std::nullopt) << bad;
  }
}

TEST(IscsiText, BooleansAreYesAndNo) {
  EXPECT_EQ(ParseBoolean("Yes"), true);
  EXPECT_EQ(ParseBoolean("No"), false);
  for (std::string_view bad : {"", "yes", "NO", "1", "Yes,No"}) {
    EXPECT_EQ(ParseBoolean(bad), std::nullopt) << bad;
  }
}

TEST(IscsiText, BinaryValuesAreHexadecimalBase64OrSmallNumbers) {
  const auto text_of = [](std::string_view value) -> std::string {
    const auto bytes = ParseBinary(value, 16);
    return bytes ? FormatBinary(*bytes) : "refused";
  };
  EXPECT_EQ(text_of("0x00ff10"), "0x00ff10");
  EXPECT_EQ(text_of("0XABC"), "0x0abc");
  EXPECT_EQ(text_of("0bAP8Q"), "0x00ff10");
  EXPECT_EQ(text_of("0BAP8="), "0x00ff");
  EXPECT_EQ(text_of("0bAA=="), "0x00");
  EXPECT_EQ(text_of("258"), "0x0102");
  EXPECT_EQ(text_of("0x" + std::string(32, 'a')), "0x" + std::string(32, 'a'));
  for (const std::string& bad : {std::string("0xzz"), std::string("0bA"), std::string("0bAA="),
                                 std::string("0bA==="), std::string("text"), std::string(""),
                                 "0x" + std::string(34, 'a'), std::string(100000, '1')}) {
    EXPECT_EQ(text_of(bad), "refused") << bad.substr(0, 40);
  }
}

TEST(IscsiText, ListsAreCutAtCommas) {
  EXPECT_THAT(SplitList("CHAP,None"), ElementsAre("CHAP", "None"));
  EXPECT_THAT(SplitList("None"), ElementsAre("None"));
  EXPECT_THAT(SplitList("a,,b,"), ElementsAre("a", "", "b", ""));
}

}  // namespace
}  // namespace aurochs::iscsi
