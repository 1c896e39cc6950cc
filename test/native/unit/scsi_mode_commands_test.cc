#include <gtest/gtest.h>

#include "base/byte_reader.h"
#include "base/byte_writer.h"
#include "block/memory_device.h"
#include "scsi/spec.h"
#include "support/block_io.h"
#include "support/scsi_initiator.h"

namespace aurochs::scsi {
namespace {

using test::MakeCdb;

constexpr unsigned kAllPages = 0x3f;

uint8_t U8At(const std::vector<std::byte>& bytes, size_t offset) {
  return std::to_integer<uint8_t>(bytes.at(offset));
}

class ModePages : public testing::Test {
 protected:
  std::vector<std::byte> Sense6(unsigned page, unsigned control = 0) {
    return initiator.Get(MakeCdb({opcode::kModeSense6, 0x08, control << 6 | page, 0, 255}));
  }
  std::string Select6(std::vector<std::byte> list) {
    list[0] = std::byte{0};  // MODE DATA LENGTH is reserved
    const auto length = static_cast<unsigned>(list.size());
    return initiator.Do(MakeCdb({opcode::kModeSelect6, 0x10, 0, 0, length}), list);
  }

  MemoryDevice memory{{.size_bytes = 4 * kMiB}};
  std::unique_ptr<LogicalUnit> unit = LogicalUnit::Create(memory, {});
  test::Initiator initiator{*unit};
};

TEST_F(ModePages, SayThatTheWriteCacheIsOn) {
  const auto data = Sense6(0x08);
  EXPECT_EQ(U8At(data, 0), data.size() - 1);
  EXPECT_EQ(U8At(data, 2), 0x10) << "DPOFUA, not write-protected";
  EXPECT_EQ(U8At(data, 4), 0x08);
  EXPECT_EQ(U8At(data, 5), 0x12);
  EXPECT_EQ(U8At(data, 6) & 0x04, 0x04) << "WCE";
  EXPECT_EQ(data.size(), 4u + 20);
}

TEST_F(ModePages, AllOfThemAreThoseThatEachGivesByItself) {
  const auto all = Sense6(kAllPages);
  EXPECT_EQ(U8At(all, 0), all.size() - 1);
  int pages = 0;
  for (size_t at = 4; at < all.size(); at += 2 + U8At(all, at + 1), ++pages) {
    const auto one = Sense6(U8At(all, at) & 0x3f);
    const auto begin = all.begin() + static_cast<ptrdiff_t>(at);
    EXPECT_EQ(std::vector<std::byte>(one.begin() + 4, one.end()),
              std::vector<std::byte>(begin, begin + 2 + U8At(all, at + 1)));
  }
  EXPECT_EQ(pages, 4);
  EXPECT_EQ(Sense6(kAllPages, 2), all) << "default values are the current ones";
}

TEST_F(ModePages, HaveNothingToChangeButWriteProtectionAndNothingToSave) {
  for (const unsigned page : {0x01, 0x08, 0x0a, 0x1c}) {
    auto data = Sense6(page, 1);
    if (page == 0x0a) {
      EXPECT_EQ(data[8], std::byte{0x08}) << "SWP";
      data[8] = std::byte{0};
    }
    EXPECT_EQ(std::vector<std::byte>(data.begin() + 6, data.end()),
              test::Bytes(data.size() - 6, 0));
  }
  EXPECT_EQ(initiator.Do(MakeCdb({opcode::kModeSense6, 0, 0xc8, 0, 255})), "5/39/00");
  EXPECT_EQ(initiator.Do(MakeCdb({opcode::kModeSense6, 0, 0x02, 0, 255})), "5/24/00");
  EXPECT_EQ(initiator.Do(MakeCdb({opcode::kModeSense6, 0, 0x0a, 1, 255})), "5/24/00");
}

TEST_F(ModePages, SoftwareWriteProtectionHoldsForEverybodyUntilAReset) {
  test::Initiator other(*unit, "iqn.2026-11.test:b,i,0x1");
  auto control = Sense6(0x0a);
  control[8] |= std::byte{0x08};
  control[2] = std::byte{0};
  EXPECT_EQ(Select6(control), "GOOD");
  EXPECT_EQ(other.TestUnitReady(), "6/2a/01");
  for (test::Initiator* from : {&initiator, &other}) {
    EXPECT_EQ(from->Do(test::MakeCdb10(opcode::kWrite10, 0, 1), test::Bytes(512, 1)), "7/27/02");
    EXPECT_EQ(from->Do(test::MakeCdb10(opcode::kRead10, 0, 1)), "GOOD");
  }
  EXPECT_EQ(U8At(Sense6(0x0a), 2) & 0x80, 0x80) << "WP";
  EXPECT_EQ(U8At(Sense6(0x0a), 8) & 0x08, 0x08);
  EXPECT_EQ(U8At(Sense6(0x0a, 2), 8) & 0x08, 0) << "the default";
  EXPECT_EQ(Select6(control), "GOOD");
  EXPECT_EQ(other.TestUnitReady(), "GOOD") << "nothing changed";
  unit->Reset();
  ASSERT_EQ(initiator.TestUnitReady(), "6/29/03");
  EXPECT_EQ(initiator.Do(test::MakeCdb10(opcode::kWrite10, 0, 1), test::Bytes(512, 1)), "GOOD");
}

TEST_F(ModePages, ComeWithABlockDescriptor) {
  const auto six = initiator.Get(MakeCdb({opcode::kModeSense6, 0, 0x08, 0, 255}));
  ASSERT_EQ(U8At(six, 3), 8);
  EXPECT_EQ(LoadBigEndian<uint32_t>(&six[4]), 8192u);
  EXPECT_EQ(LoadBigEndian<uint32_t>(&six[8]), 512u);
  const auto ten = initiator.Get(MakeCdb({opcode::kModeSense10, 0x10, 0x08, 0, 0, 0, 0, 1, 0}));
  EXPECT_EQ(LoadBigEndian<uint16_t>(&ten[0]), ten.size() - 2);
  EXPECT_EQ(U8At(ten, 4), 1) << "LONGLBA";
  ASSERT_EQ(LoadBigEndian<uint16_t>(&ten[6]), 16);
  EXPECT_EQ(LoadBigEndian<uint64_t>(&ten[8]), 8192u);
  EXPECT_EQ(LoadBigEndian<uint32_t>(&ten[20]), 512u);
}

TEST_F(ModePages, SayThatAReadOnlyUnitIsWriteProtected) {
  const auto read_only = LogicalUnit::Create(memory, {}, {.read_only = true});
  test::Initiator from(*read_only);
  EXPECT_EQ(U8At(from.Get(MakeCdb({opcode::kModeSense6, 0, 0x08, 0, 255})), 2), 0x90);
}

TEST_F(ModePages, SelectTakesWhatIsThereAndRefusesAChange) {
  auto caching = Sense6(0x08);
  EXPECT_EQ(Select6(caching), "GOOD");
  EXPECT_EQ(Select6(Sense6(kAllPages)), "GOOD");
  auto changed = caching;
  changed[6] = std::byte{0};
  EXPECT_EQ(Select6(changed), "5/26/00");
  auto unknown = caching;
  unknown[4] = std::byte{0x02};
  EXPECT_EQ(Select6(unknown), "5/26/00");
  auto saveable = caching;
  saveable[4] |= std::byte{0x80};
  EXPECT_EQ(Select6(saveable), "5/26/00");
}

TEST_F(ModePages, SelectTakesTheBlockDescriptorThatIsThere) {
  auto list = initiator.Get(MakeCdb({opcode::kModeSense6, 0, 0x08, 0, 255}));
  EXPECT_EQ(Select6(list), "GOOD");
  StoreBigEndian(&list[4], uint32_t{0});
  EXPECT_EQ(Select6(list), "GOOD");
  StoreBigEndian(&list[8], uint32_t{4096});
  EXPECT_EQ(Select6(list), "5/26/00");
}

TEST_F(ModePages, SelectWithTenBytesGoesByItsOwnHeader) {
  auto list = initiator.Get(MakeCdb({opcode::kModeSense10, 0x10, kAllPages, 0, 0, 0, 0, 1, 0}));
  StoreBigEndian(list.data(), uint16_t{0});
  const auto cdb =
      MakeCdb({opcode::kModeSelect10, 0x10, 0, 0, 0, 0, 0, 0, static_cast<unsigned>(list.size())});
  EXPECT_EQ(initiator.Do(cdb, list), "GOOD");
  list.back() ^= std::byte{1};
  EXPECT_EQ(initiator.Do(cdb, list), "5/26/00");
}

TEST_F(ModePages, SelectRefusesAListThatEndsTooSoon) {
  const auto list = Sense6(0x08);
  for (size_t length = 1; length < list.size(); ++length) {
    SCOPED_TRACE(length);
    const bool whole = length == 4;  // a header without pages
    std::vector<std::byte> cut(list.begin(), list.begin() + static_cast<ptrdiff_t>(length));
    EXPECT_EQ(Select6(cut), whole ? "GOOD" : "5/1a/00");
  }
  EXPECT_EQ(initiator.Do(MakeCdb({opcode::kModeSelect6, 0x10, 0, 0, 24}), test::Bytes(4, 0)),
            "5/1a/00");
  EXPECT_EQ(initiator.Do(MakeCdb({opcode::kModeSelect6, 0x10, 0, 0, 0})), "GOOD");
  EXPECT_EQ(initiator.Do(MakeCdb({opcode::kModeSelect6, 0x11, 0, 0, 0})), "5/24/00");
}

}  // namespace
}  // namespace aurochs::scsi
