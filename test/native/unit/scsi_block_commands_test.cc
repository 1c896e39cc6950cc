#include <gtest/gtest.h>

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
using test::Cdb;
using test::MakeCdb;
using test::MakeCdb10;
using test::MakeCdb16;
using test::Pattern;

constexpr uint64_t kBlocks = 8192;  // 4 MiB

Cdb MakeCdb12(uint8_t opcode, uint32_t lba, uint32_t blocks, uint8_t flags = 0) {
  return MakeCdb({opcode, flags, lba >> 24, lba >> 16 & 0xff, lba >> 8 & 0xff, lba & 0xff,
                  blocks >> 24, blocks >> 16 & 0xff, blocks >> 8 & 0xff, blocks & 0xff});
}

class BlockCommands : public testing::Test {
 protected:
  MemoryDevice memory{{.size_bytes = kBlocks * 512}};
  FaultDevice faulty{memory};
  CheckedDevice device{faulty};
  std::unique_ptr<LogicalUnit> unit = LogicalUnit::Create(device, {.serial = "s", .naa = 1});
  test::Initiator initiator{*unit};

  std::vector<std::byte> OnDisk(uint64_t lba, uint64_t blocks) {
    return test::ReadFrom(memory, lba * 512, blocks * 512);
  }
};

TEST_F(BlockCommands, ReadWhatWasWrittenWithCdbsOfEveryLength) {
  const auto data = Pattern(3 * 512, 5);
  EXPECT_EQ(initiator.Do(MakeCdb({opcode::kWrite6, 0, 0, 7, 3}), data), "GOOD");
  EXPECT_EQ(initiator.Get(MakeCdb({opcode::kRead6, 0, 0, 7, 3})), data);
  EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kWrite10, 1000, 3), data), "GOOD");
  EXPECT_EQ(initiator.Get(MakeCdb10(opcode::kRead10, 1000, 3)), data);
  EXPECT_EQ(initiator.Do(MakeCdb12(opcode::kWrite12, 2000, 3), data), "GOOD");
  EXPECT_EQ(initiator.Get(MakeCdb12(opcode::kRead12, 2000, 3)), data);
  EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kWrite16, kBlocks - 3, 3), data), "GOOD");
  EXPECT_EQ(initiator.Get(MakeCdb16(opcode::kRead16, kBlocks - 3, 3)), data);
  EXPECT_EQ(OnDisk(7, 3), data);
}

TEST_F(BlockCommands, TakeALengthOfZeroAs256InSixByteCdbsOnly) {
  const auto data = Pattern(256 * 512, 1);
  EXPECT_EQ(initiator.Do(MakeCdb({opcode::kWrite6, 0x00, 0, 0, 0}), data), "GOOD");
  EXPECT_EQ(initiator.Get(MakeCdb({opcode::kRead6, 0, 0, 0, 0})), data);
  EXPECT_TRUE(initiator.Get(MakeCdb10(opcode::kRead10, 0, 0)).empty());
  EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kWrite10, kBlocks, 0)), "GOOD");
}

TEST_F(BlockCommands, RefuseWhatLeavesTheUnit) {
  const auto block = Bytes(512, 1);
  for (uint64_t lba : {kBlocks, kBlocks + 1, uint64_t{1} << 63, ~uint64_t{0}}) {
    SCOPED_TRACE(lba);
    EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kRead16, lba, 1)), "5/21/00");
    EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kWrite16, lba, 1), block), "5/21/00");
    EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kVerify16, lba, 1)), "5/21/00");
    EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kOrWrite16, lba, 1), block), "5/21/00");
    EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kPreFetch16, lba, 1)), "5/21/00");
    EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kSynchronizeCache16, lba, 1)), "5/21/00");
    EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kCompareAndWrite, lba, 1), Bytes(1024, 1)), "5/21/00");
    EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kWriteSame16, lba, 1), block), "5/21/00");
  }
  EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kRead16, kBlocks - 1, 2)), "5/21/00");
  EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kRead16, kBlocks + 1, 0)), "5/21/00");
}

TEST_F(BlockCommands, RefuseATransferLongerThanARequestMayBe) {
  MemoryDevice large({.size_bytes = kGiB});
  CheckedDevice checked(large);
  const auto large_unit = LogicalUnit::Create(checked, {});
  test::Initiator other(*large_unit);
  EXPECT_EQ(other.Do(MakeCdb16(opcode::kRead16, 0, kRequestBytesMax / 512 + 1)), "5/24/00");
  EXPECT_EQ(other.Get(MakeCdb16(opcode::kRead16, 0, kRequestBytesMax / 512)).size(),
            kRequestBytesMax);
}

TEST_F(BlockCommands, RefuseBitsThatAreNotSupported) {
  for (uint8_t protect = 1; protect < 8; ++protect) {
    const auto flags = static_cast<uint8_t>(protect << 5);
    EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kRead10, 0, 1, flags)), "5/24/00");
    EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kWrite10, 0, 1, flags), Bytes(512, 1)), "5/24/00");
    EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kVerify10, 0, 1, flags)), "5/24/00");
  }
  Cdb naca = MakeCdb({0});
  naca[5] = std::byte{0x04};
  EXPECT_EQ(initiator.Do(naca), "5/24/00");
  EXPECT_EQ(OnDisk(0, 1), Bytes(512, 0));
}

TEST_F(BlockCommands, SenseDataPointsToTheFieldInError) {
  const auto protect = initiator.Send(MakeCdb10(opcode::kRead10, 0, 1, 0x20));
  EXPECT_EQ(protect->field_pointer(), 1);
  const auto opcodes = initiator.Send(MakeCdb({0xa3, 0x0c, 2, opcode::kRead10, 0, 0, 0, 0, 4, 0}));
  EXPECT_EQ(opcodes->result(), "5/24/00");
  EXPECT_EQ(opcodes->field_pointer(), 2);
  const auto range = initiator.Send(MakeCdb10(opcode::kRead10, kBlocks, 1));
  EXPECT_EQ(range->result(), "5/21/00");
  EXPECT_FALSE(range->field_pointer().has_value());
}

TEST_F(BlockCommands, PassForceUnitAccessOnToTheDevice) {
  bool fua = false;
  faulty.FailMatching(
      [&](const IoRequest& request) {
        fua = request.fua;
        return false;
      },
      ErrorCode::kIo);
  const auto block = Bytes(512, 1);
  EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kWrite10, 0, 1, 0x08), block), "GOOD");
  EXPECT_TRUE(fua);
  EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kWrite10, 0, 1, 0x10), block), "GOOD");
  EXPECT_FALSE(fua);
  EXPECT_EQ(initiator.Do(MakeCdb({opcode::kWrite6, 0x08, 0, 0, 1}), block), "5/21/00");
  EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kWriteAndVerify10, 0, 1), block), "GOOD");
  EXPECT_TRUE(fua);
  EXPECT_EQ(initiator.Do(MakeCdb({opcode::kWrite6, 0x00, 0, 0, 1}), block), "GOOD");
  EXPECT_FALSE(fua);
}

// RFC 7143, 11.4.5.2: the transfer is cut at what the initiator expects.
TEST_F(BlockCommands, CutAReadAtTheExpectedLength) {
  const auto data = Pattern(1024, 9);
  ASSERT_EQ(initiator.Do(MakeCdb10(opcode::kWrite10, 0, 2), data), "GOOD");
  for (uint64_t expected : {0, 200, 512, 700, 1024, 10000}) {
    SCOPED_TRACE(expected);
    const auto sent = initiator.Send(MakeCdb10(opcode::kRead10, 0, 2), {}, expected);
    EXPECT_EQ(sent->result(), "GOOD");
    const size_t got = std::min<uint64_t>(expected, 1024);
    EXPECT_EQ(sent->data(),
              std::vector<std::byte>(data.begin(), data.begin() + static_cast<ptrdiff_t>(got)));
    EXPECT_EQ(sent->untruncated(), 1024u);
  }
}

TEST_F(BlockCommands, WriteTheWholeBlocksThatWereSent) {
  ASSERT_EQ(initiator.Do(MakeCdb10(opcode::kWrite10, 0, 2), Bytes(1024, 'a')), "GOOD");
  EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kWrite10, 0, 2), Bytes(512, 'b')), "GOOD");
  EXPECT_EQ(OnDisk(0, 1), Bytes(512, 'b'));
  EXPECT_EQ(OnDisk(1, 1), Bytes(512, 'a'));
  EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kWrite10, 0, 1), Bytes(200, 'c')), "5/0e/03");
  EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kWrite10, 0, 1)), "GOOD");
  EXPECT_EQ(OnDisk(0, 1), Bytes(512, 'b'));
  EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kWrite10, 0, 1), Bytes(10000, 'd')), "GOOD");
  EXPECT_EQ(OnDisk(0, 1), Bytes(512, 'd'));
  EXPECT_EQ(OnDisk(1, 1), Bytes(512, 'a'));
}

TEST_F(BlockCommands, WriteDataThatCameInMorePiecesThanARequestTakes) {
  auto data = Pattern(4096, 3);
  std::vector<iovec> crumbs;
  for (size_t i = 0; i < data.size(); i += 2) crumbs.push_back({data.data() + i, 2});
  test::SentCommand sent(*unit, initiator.nexus(), MakeCdb10(opcode::kWrite10, 0, 8), {}, 0);
  sent.command().data_out = crumbs;
  sent.Submit();
  EXPECT_EQ(sent.result(), "GOOD");
  EXPECT_EQ(OnDisk(0, 8), data);
}

TEST_F(BlockCommands, VerifyComparesWhenAskedTo) {
  const uint64_t blocks = 3 * kMiB / 512;  // three steps
  const auto data = Pattern(blocks * 512, 2);
  ASSERT_EQ(test::WriteTo(memory, 0, data), ErrorCode::kOk);
  const auto verify = MakeCdb10(opcode::kVerify10, 0, blocks, 0x02);
  EXPECT_EQ(initiator.Do(verify, data), "GOOD");
  for (size_t at : {size_t{0}, size_t{511}, size_t{kMiB}, data.size() - 1}) {
    auto other = data;
    other[at] ^= std::byte{1};
    const auto sent = initiator.Send(verify, other);
    EXPECT_EQ(sent->result(), "e/1d/00");
    EXPECT_EQ(sent->information(), at);
  }
  EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kVerify10, 0, blocks)), "GOOD");
  EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kVerify10, 0, 1, 0x04), data), "5/24/00");
  EXPECT_EQ(initiator.Do(verify, Bytes(512, 0)), "5/24/00");
}

TEST_F(BlockCommands, VerifyComparesEveryBlockWithOneWhenAskedTo) {
  ASSERT_EQ(test::WriteTo(memory, 0, Bytes(4 * 512, 'x')), ErrorCode::kOk);
  const auto verify = MakeCdb16(opcode::kVerify16, 0, 4, 0x06);
  EXPECT_EQ(initiator.Do(verify, Bytes(512, 'x')), "GOOD");
  ASSERT_EQ(test::WriteTo(memory, 1024, Bytes(512, 'y')), ErrorCode::kOk);
  const auto sent = initiator.Send(verify, Bytes(512, 'x'));
  EXPECT_EQ(sent->result(), "e/1d/00");
  EXPECT_EQ(sent->information(), 1024u);
}

TEST_F(BlockCommands, WriteAndVerifyReadsBackWhatItWrote) {
  const auto data = Pattern(2 * kMiB, 7);
  EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kWriteAndVerify10, 8, 4096, 0x02), data), "GOOD");
  EXPECT_EQ(OnDisk(8, 4096), data);
  EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kWriteAndVerify10, 0, 1, 0x04), Bytes(512, 1)),
            "5/24/00");
  faulty.FailAll(IoOp::kRead, ErrorCode::kCorruption, 1);
  EXPECT_EQ(initiator.Do(MakeCdb10(opcode::kWriteAndVerify10, 0, 1, 0x02), Bytes(512, 1)),
            "3/11/00");
}

TEST_F(BlockCommands, CompareAndWriteWritesOnlyIfTheBlocksAreAsExpected) {
  ASSERT_EQ(test::WriteTo(memory, 0, Bytes(1024, 'a')), ErrorCode::kOk);
  auto data = Bytes(1024, 'a');
  const auto replacement = Pattern(1024, 4);
  data.insert(data.end(), replacement.begin(), replacement.end());
  const auto cdb = MakeCdb16(opcode::kCompareAndWrite, 0, 2);
  EXPECT_EQ(initiator.Do(cdb, data), "GOOD");
  EXPECT_EQ(OnDisk(0, 2), replacement);

  const auto sent = initiator.Send(cdb, data);
  EXPECT_EQ(sent->result(), "e/1d/00");
  EXPECT_TRUE(sent->information().has_value());
  EXPECT_EQ(OnDisk(0, 2), replacement);
  EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kCompareAndWrite, 0, 0)), "GOOD");
}

TEST_F(BlockCommands, CompareAndWriteWantsExactlyTwiceItsBlocks) {
  const auto cdb = MakeCdb16(opcode::kCompareAndWrite, 0, 2);
  EXPECT_EQ(initiator.Do(cdb, Bytes(1024, 0)), "5/24/00");
  EXPECT_EQ(initiator.Do(cdb, Bytes(4096, 0)), "5/24/00");
  EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kCompareAndWrite, 0, 0), Bytes(1024, 0)), "5/24/00");
  EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kCompareAndWrite, 0, 256), Bytes(512, 0)), "5/24/00");
  EXPECT_EQ(OnDisk(0, 2), Bytes(1024, 0));
}

TEST_F(BlockCommands, CompareAndWriteIsNotInterrupted) {
  const auto write = MakeCdb10(opcode::kWrite10, 0, 1);
  auto data = Bytes(512, 0);
  const auto replacement = Bytes(512, 'n');
  data.insert(data.end(), replacement.begin(), replacement.end());
  faulty.DelayAll(IoOp::kRead, 1);

  const auto compare = initiator.Send(MakeCdb16(opcode::kCompareAndWrite, 0, 1), data);
  const auto same = initiator.Send(write, Bytes(512, 'w'));
  const auto elsewhere = initiator.Send(MakeCdb10(opcode::kWrite10, 1, 1), Bytes(512, 'e'));
  EXPECT_EQ(compare->result(), "PENDING");
  EXPECT_EQ(same->result(), "PENDING");
  EXPECT_EQ(elsewhere->result(), "GOOD");
  EXPECT_EQ(OnDisk(0, 1), Bytes(512, 0));
  faulty.Release();
  EXPECT_EQ(compare->result(), "GOOD");
  EXPECT_EQ(same->result(), "GOOD");
  EXPECT_EQ(OnDisk(0, 1), Bytes(512, 'w'));
}

TEST_F(BlockCommands, CompareAndWriteWaitsForTheWritesBeforeIt) {
  faulty.DelayAll(IoOp::kWrite, 1);
  auto data = Bytes(512, 'w');
  data.resize(1024, std::byte{'n'});
  const auto write = initiator.Send(MakeCdb10(opcode::kWrite10, 0, 1), Bytes(512, 'w'));
  const auto compare = initiator.Send(MakeCdb16(opcode::kCompareAndWrite, 0, 1), data);
  EXPECT_EQ(compare->result(), "PENDING");
  faulty.Release();
  EXPECT_EQ(write->result(), "GOOD");
  EXPECT_EQ(compare->result(), "GOOD");
  EXPECT_EQ(OnDisk(0, 1), Bytes(512, 'n'));
}

TEST_F(BlockCommands, OrWriteSetsBits) {
  ASSERT_EQ(test::WriteTo(memory, 0, Bytes(512, 0xa0)), ErrorCode::kOk);
  EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kOrWrite16, 0, 2), Bytes(1024, 0x05)), "GOOD");
  EXPECT_EQ(OnDisk(0, 1), Bytes(512, 0xa5));
  EXPECT_EQ(OnDisk(1, 1), Bytes(512, 0x05));
}

TEST_F(BlockCommands, SynchronizeCacheAnswersAfterTheFlush) {
  faulty.DelayAll(IoOp::kFlush);
  for (uint8_t immed : {uint8_t{0}, uint8_t{2}}) {
    const auto sent = initiator.Send(MakeCdb10(opcode::kSynchronizeCache10, 0, 0, immed));
    EXPECT_EQ(sent->result(), "PENDING");
    faulty.Release();
    EXPECT_EQ(sent->result(), "GOOD");
  }
  faulty.ClearFaults();
  faulty.FailAll(IoOp::kFlush, ErrorCode::kIo);
  EXPECT_EQ(initiator.Do(MakeCdb16(opcode::kSynchronizeCache16, 0, 0)), "3/0c/00");
}

}  // namespace
}  // namespace aurochs::scsi
