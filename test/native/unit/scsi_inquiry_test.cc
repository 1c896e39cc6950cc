#include <gtest/gtest.h>

#include <string>

#include "base/byte_reader.h"
#include "base/limits.h"
#include "block/checked_device.h"
#include "block/memory_device.h"
#include "scsi/spec.h"
#include "support/block_io.h"
#include "support/scsi_initiator.h"

namespace aurochs::scsi {
namespace {

using test::MakeCdb;

std::string TextAt(const std::vector<std::byte>& bytes, size_t offset, size_t count) {
  std::string text;
  for (size_t i = offset; i < offset + count; ++i) text += static_cast<char>(bytes.at(i));
  return text;
}

uint8_t U8At(const std::vector<std::byte>& bytes, size_t offset) {
  return std::to_integer<uint8_t>(bytes.at(offset));
}
uint16_t U16At(const std::vector<std::byte>& bytes, size_t offset) {
  return LoadBigEndian<uint16_t>(&bytes.at(offset));
}
uint32_t U32At(const std::vector<std::byte>& bytes, size_t offset) {
  return LoadBigEndian<uint32_t>(&bytes.at(offset));
}

class Inquiry : public testing::Test {
 protected:
  std::vector<std::byte> Page(unsigned code) {
    return initiator.Get(MakeCdb({opcode::kInquiry, 1, code, 0x01, 0x00}));
  }

  MemoryDevice memory{{.size_bytes = 4 * kMiB}};
  CheckedDevice device{memory};
  std::unique_ptr<LogicalUnit> unit =
      LogicalUnit::Create(device, {.serial = "0123-4567",
                                   .naa = 0x3123456789abcdef,
                                   .target_name = "iqn.2026-11.io.aurochs:v"});
  test::Initiator initiator{*unit};
};

TEST_F(Inquiry, NamesTheProductAndTheStandards) {
  const auto data = initiator.Get(MakeCdb({opcode::kInquiry, 0, 0, 0, 255}));
  EXPECT_EQ(U8At(data, 0), 0x00);
  EXPECT_EQ(U8At(data, 2), 0x06);
  EXPECT_EQ(U8At(data, 3) & 0x0f, 2);
  EXPECT_EQ(U8At(data, 4), data.size() - 5);
  EXPECT_EQ(U8At(data, 5) >> 4 & 3, 1) << "TPGS";
  EXPECT_EQ(U8At(data, 7) & 0x02, 0x02) << "CMDQUE";
  EXPECT_EQ(TextAt(data, 8, 8), "AUROCHS ");
  EXPECT_EQ(TextAt(data, 16, 16), "VOLUME          ");
  EXPECT_EQ(TextAt(data, 32, 4), "0001");
  EXPECT_EQ(U16At(data, 58 + 4), 0x04c0) << "SBC-3";
}

TEST_F(Inquiry, CutsItsDataAtTheAllocationLength) {
  const auto whole = initiator.Get(MakeCdb({opcode::kInquiry, 0, 0, 2, 0}));
  for (unsigned length = 0; length < whole.size(); ++length) {
    const auto sent = initiator.Send(MakeCdb({opcode::kInquiry, 0, 0, 0, length}));
    EXPECT_EQ(sent->data(), std::vector<std::byte>(whole.begin(), whole.begin() + length));
  }
  const auto sent = initiator.Send(MakeCdb({opcode::kInquiry, 0, 0, 0, 36}), {}, 20);
  EXPECT_EQ(sent->data().size(), 20u);
  EXPECT_EQ(sent->untruncated(), 36u);
}

// Linux does so when it is told to look for one LUN: echo "0 0 1" > /sys/class/scsi_host/hostN/scan
TEST_F(Inquiry, TakesALunInItsCommandAsScsi2HadIt) {
  EXPECT_EQ(initiator.Get(MakeCdb({opcode::kInquiry, 1 << 5, 0, 0, 36})).size(), 36u);
}

TEST_F(Inquiry, RefusesAPageCodeWithoutEvpdAndPagesThatAreNotThere) {
  EXPECT_EQ(initiator.Do(MakeCdb({opcode::kInquiry, 0, 0x80, 0, 255})), "5/24/00");
  EXPECT_EQ(initiator.Do(MakeCdb({opcode::kInquiry, 1, 0xb3, 0, 255})), "5/24/00");
  EXPECT_EQ(initiator.Do(MakeCdb({opcode::kInquiry, 2, 0, 0, 255})), "5/24/00");
}

TEST_F(Inquiry, ListsItsPagesInOrderAndHasThemAll) {
  const auto list = Page(0x00);
  ASSERT_EQ(U16At(list, 2), list.size() - 4);
  for (size_t i = 4; i < list.size(); ++i) {
    EXPECT_TRUE(i == 4 || list[i] > list[i - 1]);
    const auto page = Page(U8At(list, i));
    EXPECT_EQ(page.at(1), list[i]);
    EXPECT_EQ(U16At(page, 2), page.size() - 4);
  }
  EXPECT_EQ(list.size(), 4u + 8u);
}

TEST_F(Inquiry, IdentifiesTheVolumeAndThePort) {
  EXPECT_EQ(TextAt(Page(0x80), 4, 9), "0123-4567");
  const auto page = Page(0x83);
  std::string types;
  for (size_t at = 4; at < page.size(); at += 4 + U8At(page, at + 3)) {
    types += std::to_string(U8At(page, at + 1) & 0x3f) + " ";
    if ((U8At(page, at + 1) & 0x0f) == 3) {
      EXPECT_EQ(LoadBigEndian<uint64_t>(&page.at(at + 4)), 0x3123456789abcdefu);
    }
    if ((U8At(page, at + 1) & 0x0f) == 8) {
      const std::string name = "iqn.2026-11.io.aurochs:v,t,0x0001";
      EXPECT_EQ(TextAt(page, at + 4, name.size() + 1), name + '\0');
      EXPECT_EQ(U8At(page, at + 3) % 4, 0);
    }
  }
  EXPECT_EQ(types, "3 1 20 21 24 ");
}

TEST_F(Inquiry, BlockLimitsAreTheLimitsThatCommandsKeep) {
  const auto page = Page(0xb0);
  ASSERT_EQ(page.size(), 64u);
  EXPECT_EQ(U8At(page, 4), 1) << "WSNZ";
  EXPECT_EQ(U8At(page, 5), kCompareAndWriteBlocksMax);
  EXPECT_EQ(U16At(page, 6), 8) << "OPTIMAL TRANSFER LENGTH GRANULARITY";
  EXPECT_EQ(U32At(page, 8), kRequestBytesMax / 512);
  EXPECT_EQ(U32At(page, 12), 128u);
  EXPECT_EQ(U32At(page, 20), kUnmapBytesMax / 512);
  EXPECT_EQ(U32At(page, 24), kUnmapDescriptorsMax);
  EXPECT_EQ(U32At(page, 28), 8u);
  EXPECT_EQ(U32At(page, 32), 0x80000000u);
  EXPECT_EQ(LoadBigEndian<uint64_t>(&page.at(36)), kWriteSameBytesMax / 512);
}

TEST_F(Inquiry, ThirdPartyCopyHasItsMandatoryDescriptors) {
  const auto page = Page(0x8f);
  std::vector<unsigned> types;
  size_t at = 4;
  for (; at < page.size(); at += 4u + U16At(page, at + 2)) {
    types.push_back(U16At(page, at));
    EXPECT_EQ(U16At(page, at + 2) % 4, 0);
  }
  EXPECT_EQ(at, page.size());
  EXPECT_EQ(types, (std::vector<unsigned>{0x0001, 0x0004, 0x0008, 0x000c, 0x8001}));
}

TEST_F(Inquiry, ProvisioningPageFollowsWhatTheDeviceCan) {
  EXPECT_EQ(U8At(Page(0xb2), 5), 0xe4) << "LBPU, LBPWS, LBPWS10, LBPRZ";
  EXPECT_EQ(U8At(Page(0xb2), 6), 2) << "thin";
  EXPECT_EQ(U16At(Page(0xb1), 4), 1) << "non-rotating";
  EXPECT_EQ(U8At(Page(0xb1), 7) >> 6, 1) << "WABEREQ";

  MemoryDevice thick({.size_bytes = kMiB, .can_unmap = false});
  const auto other = LogicalUnit::Create(thick, {});
  test::Initiator from(*other);
  const auto page = from.Get(MakeCdb({opcode::kInquiry, 1, 0xb2, 0, 255}));
  EXPECT_EQ(U8At(page, 5), 0);
  EXPECT_EQ(U8At(page, 6), 0);
  EXPECT_EQ(from.Do(test::MakeCdb10(opcode::kUnmap, 0, 0)), "5/20/00");
}

TEST(AbsentUnit, AnswersOnlyWhatAnIncorrectLunMust) {
  const auto unit = CreateAbsentUnit();
  test::Initiator initiator(*unit, "iqn.2026-11.test:a,i,0x1", false);
  EXPECT_EQ(initiator.Get(MakeCdb({opcode::kInquiry, 0, 0, 0, 36})).at(0), std::byte{0x7f});
  const auto luns = initiator.Get(MakeCdb({opcode::kReportLuns, 0, 0, 0, 0, 0, 0, 0, 1, 0}));
  EXPECT_EQ(U32At(luns, 0), 8u);
  EXPECT_EQ(U16At(luns, 8), kVolumeLun);
  const auto sense = initiator.Get(MakeCdb({opcode::kRequestSense, 0, 0, 0, 18}));
  EXPECT_EQ(U8At(sense, 2), 0x05);
  EXPECT_EQ(U16At(sense, 12), 0x2500);
  EXPECT_EQ(initiator.TestUnitReady(), "5/25/00");
  EXPECT_EQ(initiator.Do(test::MakeCdb10(opcode::kRead10, 0, 1)), "5/25/00");
  EXPECT_EQ(initiator.Do(test::MakeCdb10(opcode::kWrite10, 0, 1), test::Bytes(512, 0)), "5/25/00");
  EXPECT_EQ(initiator.Do(MakeCdb({0xff})), "5/25/00");
}

}  // namespace
}  // namespace aurochs::scsi
