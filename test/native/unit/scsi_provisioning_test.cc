#include <gtest/gtest.h>

#include <cstring>

#include "base/byte_reader.h"
#include "base/byte_writer.h"
#include "base/limits.h"
#include "block/checked_device.h"
#include "block/fault_device.h"
#include "block/memory_device.h"
#include "scsi/spec.h"
#include "support/block_io.h"
#include "support/scsi_initiator.h"

namespace aurochs::scsi {
namespace {

using test::Bytes;
using test::MakeCdb10;
using test::MakeCdb16;
using test::Pattern;

constexpr uint64_t kBlocks = 2048 * 1024;  // 1 GiB
constexpr uint8_t kUnmapBit = 0x08;
constexpr uint8_t kNdobBit = 0x01;

struct Range {
  uint64_t lba;
  uint32_t blocks;
};

std::vector<std::byte> UnmapList(const std::vector<Range>& ranges) {
  std::vector<std::byte> list(8 + ranges.size() * 16);
  ByteWriter writer(list);
  writer.U16(static_cast<uint16_t>(list.size() - 2));
  writer.U16(static_cast<uint16_t>(list.size() - 8));
  writer.U32(0);
  for (const Range& range : ranges) {
    writer.U64(range.lba);
    writer.U32(range.blocks);
    writer.U32(0);
  }
  return list;
}

class Provisioning : public testing::Test {
 protected:
  std::string Unmap(const std::vector<Range>& ranges) { return UnmapRaw(UnmapList(ranges)); }
  std::string UnmapRaw(const std::vector<std::byte>& list) {
    return initiator.Do(MakeCdb10(opcode::kUnmap, 0, static_cast<uint16_t>(list.size())), list);
  }
  // "m16 d32": mapped and deallocated blocks from `lba` on.
  std::string LbaStatus(uint64_t lba, uint32_t allocation_length = 4096) {
    auto cdb = MakeCdb16(opcode::kServiceActionIn16, lba, allocation_length, 0x12);
    const auto data = initiator.Get(cdb);
    std::string text;
    for (size_t at = 8; at + 16 <= data.size(); at += 16) {
      EXPECT_EQ(LoadBigEndian<uint64_t>(&data[at]), lba);
      const uint32_t blocks = LoadBigEndian<uint32_t>(&data[at + 8]);
      if (!text.empty()) text += ' ';
      text += data[at + 12] == std::byte{0} ? 'm' : 'd';
      text += std::to_string(blocks);
      lba += blocks;
    }
    return text;
  }

  MemoryDevice memory{{.size_bytes = kBlocks * 512}};
  FaultDevice faulty{memory};
  CheckedDevice device{faulty};
  std::unique_ptr<LogicalUnit> unit = LogicalUnit::Create(device, {});
  test::Initiator initiator{*unit};
};

TEST_F(Provisioning, UnmapGivesSpaceBackAndReadsZeros) {
  ASSERT_EQ(test::WriteTo(memory, 0, Bytes(64 * kKiB, 1)), ErrorCode::kOk);
  EXPECT_EQ(Unmap({{8, 8}, {64, 16}, {3, 0}, {17, 1}}), "GOOD");
  EXPECT_EQ(LbaStatus(0), "m8 d8 m48 d16 m48 d" + std::to_string(kBlocks - 128));
  EXPECT_EQ(test::ReadFrom(memory, 8 * 512, 8 * 512), Bytes(8 * 512, 0));
  EXPECT_EQ(test::ReadFrom(memory, 17 * 512, 512), Bytes(512, 0));
  EXPECT_EQ(test::ReadFrom(memory, 18 * 512, 512), Bytes(512, 1));
}

TEST_F(Provisioning, UnmapTakesEmptyListsAndRangesOfNothing) {
  EXPECT_EQ(UnmapRaw({}), "GOOD");
  EXPECT_EQ(Unmap({}), "GOOD");
  EXPECT_EQ(Unmap({{0, 0}, {kBlocks, 0}}), "GOOD");
}

TEST_F(Provisioning, UnmapDoesNothingUnlessTheWholeListIsGood) {
  ASSERT_EQ(test::WriteTo(memory, 0, Bytes(4096, 1)), ErrorCode::kOk);
  EXPECT_EQ(Unmap({{0, 8}, {kBlocks - 1, 2}}), "5/21/00");
  EXPECT_EQ(Unmap({{0, 8}, {~uint64_t{0}, 1}}), "5/21/00");
  EXPECT_EQ(Unmap({{0, kUnmapBytesMax / 512}, {0, 1}}), "5/26/00");
  EXPECT_EQ(Unmap(std::vector<Range>(kUnmapDescriptorsMax + 1, {0, 1})), "5/26/00");
  EXPECT_EQ(UnmapRaw(Bytes(7, 0)), "5/1a/00");
  auto long_list = UnmapList({{0, 8}});
  StoreBigEndian(&long_list[2], uint16_t{32});
  EXPECT_EQ(UnmapRaw(long_list), "5/1a/00");
  EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kUnmap, 0, 24), Bytes(8, 0)), "5/1a/00");
  EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kUnmap, 0, 24, 1), UnmapList({{0, 8}})), "5/24/00")
      << "ANCHOR";
  EXPECT_EQ(test::ReadFrom(memory, 0, 4096), Bytes(4096, 1));
  EXPECT_EQ(Unmap(std::vector<Range>(kUnmapDescriptorsMax, {0, 8})), "GOOD");
}

TEST_F(Provisioning, UnmapStopsAtTheFirstRangeThatFails) {
  ASSERT_EQ(test::WriteTo(memory, 0, Bytes(64 * kKiB, 1)), ErrorCode::kOk);
  faulty.FailMatching([](const IoRequest& io) { return io.extent.offset_bytes == 32 * 512; },
                      ErrorCode::kIo);
  EXPECT_EQ(Unmap({{0, 8}, {32, 8}, {64, 8}}), "3/0c/00");
  EXPECT_EQ(LbaStatus(0, 24 + 16), "d8 m120");
}

TEST_F(Provisioning, UnmapWaitsForADeviceThatTakesItsTime) {
  ASSERT_EQ(test::WriteTo(memory, 0, Bytes(64 * kKiB, 1)), ErrorCode::kOk);
  faulty.DelayAll(IoOp::kUnmap);
  const auto list = UnmapList({{0, 64}, {64, 64}});
  const auto sent = initiator.Send(MakeCdb10(opcode::kUnmap, 0, 40), list);
  faulty.Release();
  EXPECT_EQ(sent->result(), "PENDING");
  faulty.Release();
  EXPECT_EQ(sent->result(), "GOOD");
  EXPECT_EQ(memory.allocated_bytes(), 0u);
}

TEST_F(Provisioning, WriteSameRepeatsItsBlock) {
  const auto block = Pattern(512, 8);
  const uint32_t blocks = 5000;  // more than two steps
  EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kWriteSame16, 3, blocks), block), "GOOD");
  const auto data = test::ReadFrom(memory, 3 * 512, blocks * 512);
  for (size_t at = 0; at < data.size(); at += 512) {
    ASSERT_EQ(std::memcmp(&data[at], block.data(), 512), 0) << at;
  }
  EXPECT_EQ(test::ReadFrom(memory, 0, 3 * 512), Bytes(3 * 512, 0));
  EXPECT_EQ(test::ReadFrom(memory, (3 + blocks) * 512, 512), Bytes(512, 0));
}

TEST_F(Provisioning, WriteSameOfZerosKeepsSpaceUnlessItUnmaps) {
  EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kWriteSame10, 0, 16), Bytes(512, 0)), "GOOD");
  EXPECT_EQ(LbaStatus(0, 24), "m16");
  EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kWriteSame10, 0, 16, kUnmapBit), Bytes(512, 0)), "GOOD");
  EXPECT_EQ(memory.allocated_bytes(), 0u);
  EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kWriteSame16, 0, 16, kNdobBit)), "GOOD");
  EXPECT_EQ(LbaStatus(0, 24), "m16");
  EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kWriteSame16, 0, 16, kNdobBit | kUnmapBit)), "GOOD");
  EXPECT_EQ(memory.allocated_bytes(), 0u);
}

TEST_F(Provisioning, WriteSameWithUnmapWritesABlockThatIsNotZero) {
  EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kWriteSame16, 0, 8, kUnmapBit), Bytes(512, 'x')),
            "GOOD");
  EXPECT_EQ(test::ReadFrom(memory, 0, 4096), Bytes(4096, 'x'));
}

TEST_F(Provisioning, WriteSameHasToNameItsLengthAndKeepToItsLimit) {
  EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kWriteSame16, kBlocks - 4, 0), Bytes(512, 0)), "5/24/00")
      << "WSNZ";
  EXPECT_EQ(
      initiator.Do(MakeCdb16(opcode::kWriteSame16, 0, kWriteSameBytesMax / 512 + 1), Bytes(512, 0)),
      "5/24/00");
}

TEST_F(Provisioning, WriteSameWantsExactlyOneBlock) {
  const auto cdb = MakeCdb16(opcode::kWriteSame16, 0, 8, kUnmapBit);
  EXPECT_EQ(initiator.Do(cdb, Bytes(256, 0)), "5/24/00");
  EXPECT_EQ(initiator.Do(cdb, Bytes(1024, 0)), "5/24/00");
  EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kWriteSame16, 0, 8, 0x10), Bytes(512, 0)), "5/24/00")
      << "ANCHOR";
}

TEST_F(Provisioning, LbaStatusStartsWhereAskedAndFitsTheAllocationLength) {
  ASSERT_EQ(test::WriteTo(memory, 4096, Bytes(4096, 1)), ErrorCode::kOk);
  EXPECT_EQ(LbaStatus(3, 24), "d5");
  EXPECT_EQ(LbaStatus(9, 40), "m7 d" + std::to_string(kBlocks - 16));
  EXPECT_EQ(LbaStatus(kBlocks - 1), "d1");
  EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kServiceActionIn16, kBlocks, 24, 0x12)), "5/21/00");
  EXPECT_EQ(initiator.Get(MakeCdb16(opcode::kServiceActionIn16, 0, 4, 0x12)).size(), 4u);
  faulty.FailQueries(ErrorCode::kIo);
  EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kServiceActionIn16, 0, 24, 0x12)), "3/3e/01");
}

TEST_F(Provisioning, LbaStatusOfAVeryLongRunEndsWithWhatItsFieldHolds) {
  MemoryDevice large({.size_bytes = 8 * kTiB});
  const auto other = LogicalUnit::Create(large, {});
  test::Initiator from(*other);
  const auto data = from.Get(MakeCdb16(opcode::kServiceActionIn16, 0, 4096, 0x12));
  ASSERT_EQ(data.size(), 24u);
  EXPECT_EQ(LoadBigEndian<uint32_t>(&data[16]), 0xffffffffu);
}

}  // namespace
}  // namespace aurochs::scsi
