#include "base/crc32c.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <vector>

namespace aurochs {
namespace {

// RFC 3720, B.4.
TEST(Crc32c, GivesTheValuesOfTheRfcsExamples) {
  std::array<std::byte, 32> bytes{};
  EXPECT_EQ(Crc32c(bytes), 0x8a9136aau);
  bytes.fill(std::byte{0xff});
  EXPECT_EQ(Crc32c(bytes), 0x62a8ab43u);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i);
  EXPECT_EQ(Crc32c(bytes), 0x46dd794eu);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(31 - i);
  EXPECT_EQ(Crc32c(bytes), 0x113fdb5cu);
}

TEST(Crc32c, OfAWholeIsThatOfItsPartsOneAfterTheOther) {
  std::vector<std::byte> bytes(1000);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 7);
  const std::span<const std::byte> all(bytes);
  for (size_t cut : {0u, 1u, 7u, 8u, 500u, 999u, 1000u}) {
    EXPECT_EQ(Crc32c(all.subspan(cut), Crc32c(all.first(cut))), Crc32c(all)) << "cut at " << cut;
  }
}

}  // namespace
}  // namespace aurochs
