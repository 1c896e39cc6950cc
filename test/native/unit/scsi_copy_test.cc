// EXTENDED COPY and RECEIVE COPY RESULTS.
#include <gtest/gtest.h>

#include "base/byte_reader.h"
#include "base/limits.h"
#include "block/checked_device.h"
#include "block/fault_device.h"
#include "block/memory_device.h"
#include "scsi/byte_list.h"
#include "scsi/spec.h"
#include "support/block_io.h"
#include "support/scsi_initiator.h"

namespace aurochs::scsi {
namespace {

using test::Bytes;
using test::MakeCdb;
using test::MakeCdb10;
using test::MakeCdb16;
using test::Pattern;

constexpr uint64_t kNaa = 0x3123456789abcdef;
constexpr uint8_t kKeepStatus = 0, kNoStatus = 3 << 3;

struct Segment {
  uint16_t blocks = 0;
  uint64_t from = 0;
  uint64_t to = 0;
  uint16_t source = 0;  // index of the target descriptor
  uint16_t destination = 0;
  uint8_t type = 0x02;
};

struct List {
  uint8_t id = 1;
  uint8_t usage = kKeepStatus;
  std::vector<uint64_t> targets{kNaa};
  std::vector<Segment> segments;
  uint8_t target_type = 0xe4;
  uint32_t block_bytes = 512;

  std::vector<std::byte> Encode() const {
    ByteList list;
    list.U8(id);
    list.U8(usage);
    list.U16(static_cast<uint16_t>(32 * targets.size()));
    list.U32(0);
    list.U32(static_cast<uint32_t>(28 * segments.size()));
    list.U32(0);
    for (uint64_t naa : targets) {
      list.U32(uint32_t{target_type} << 24);
      list.U32(0x01030008);  // binary, logical unit, NAA, 8 bytes
      list.U64(naa);
      list.Zeros(12);
      list.U32(block_bytes);
    }
    for (const Segment& segment : segments) {
      list.U8(segment.type);
      list.U8(0);
      list.U16(24);
      list.U16(segment.source);
      list.U16(segment.destination);
      list.U16(0);
      list.U16(segment.blocks);
      list.U64(segment.from);
      list.U64(segment.to);
    }
    return std::move(list).Take();
  }
};

class ExtendedCopyTest : public testing::Test {
 protected:
  static test::Cdb CopyCdb(size_t length) {
    return MakeCdb({opcode::kExtendedCopy, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                    static_cast<unsigned>(length >> 8), static_cast<unsigned>(length & 0xff)});
  }
  static std::string Copy(test::Initiator& from, const List& list) {
    const auto bytes = list.Encode();
    return from.Do(CopyCdb(bytes.size()), bytes);
  }
  static test::Cdb StatusCdb(uint8_t id) {
    return MakeCdb({opcode::kReceiveCopyResults, 0, id, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0});
  }

  MemoryDevice memory{{.size_bytes = 16 * kMiB}};
  FaultDevice faulty{memory};
  CheckedDevice device{faulty};
  std::unique_ptr<LogicalUnit> unit = LogicalUnit::Create(device, {.naa = kNaa});
  test::Initiator one{*unit};
};

TEST_F(ExtendedCopyTest, CopiesSegmentsOneAfterTheOther) {
  const auto data = Pattern(3 * kMiB + 512, 1);
  ASSERT_EQ(test::WriteTo(memory, 0, data), ErrorCode::kOk);
  const List list{.segments = {{.blocks = 6145, .from = 0, .to = 10'001},
                               {.blocks = 8, .from = 10'001, .to = 20'000}}};
  EXPECT_EQ(Copy(one, list), "GOOD");
  EXPECT_EQ(test::ReadFrom(memory, 10'001 * 512, data.size()), data);
  EXPECT_EQ(test::ReadFrom(memory, 20'000 * 512, 8 * 512),
            std::vector<std::byte>(data.begin(), data.begin() + 8 * 512));
}

TEST_F(ExtendedCopyTest, CopiesOntoItselfAsIfThroughABuffer) {
  const auto data = Pattern(4 * kMiB, 2);
  for (const uint64_t shift : {1u, 2048u, 3000u}) {
    ASSERT_EQ(test::WriteTo(memory, 2 * kMiB, data), ErrorCode::kOk);
    ASSERT_EQ(Copy(one, {.segments = {{.blocks = 8192, .from = 4096, .to = 4096 + shift}}}),
              "GOOD");
    EXPECT_EQ(test::ReadFrom(memory, 2 * kMiB + shift * 512, data.size()), data) << shift;
    ASSERT_EQ(test::WriteTo(memory, 2 * kMiB, data), ErrorCode::kOk);
    ASSERT_EQ(Copy(one, {.segments = {{.blocks = 8192, .from = 4096, .to = 4096 - shift}}}),
              "GOOD");
    EXPECT_EQ(test::ReadFrom(memory, 2 * kMiB - shift * 512, data.size()), data) << shift;
  }
}

TEST_F(ExtendedCopyTest, CopiesZerosAsHoles) {
  ASSERT_EQ(test::WriteTo(memory, 4 * kMiB, Pattern(2 * kMiB, 3)), ErrorCode::kOk);
  ASSERT_EQ(Copy(one, {.segments = {{.blocks = 4096, .from = 0, .to = 8192}}}), "GOOD");
  EXPECT_EQ(test::ReadFrom(memory, 4 * kMiB, 2 * kMiB), Bytes(2 * kMiB, 0));
  EXPECT_EQ(memory.allocated_bytes(), 0u);
}

TEST_F(ExtendedCopyTest, RefusesListsThatAreNotOnes) {
  const Segment good{.blocks = 8, .from = 0, .to = 8};
  struct Case {
    const char* what;
    List list;
    const char* result;
  };
  const uint64_t capacity = 16 * kMiB / 512;
  const Case table[] = {
      {"another target descriptor", {.segments = {good}, .target_type = 0xe0}, "5/26/07"},
      {"another segment descriptor", {.segments = {{.blocks = 8, .type = 0x03}}}, "5/26/09"},
      {"too many targets",
       {.targets = std::vector(kCopyTargetsMax + 1, kNaa), .segments = {good}},
       "5/26/06"},
      {"too many segments", {.segments = std::vector(kCopySegmentsMax + 1, good)}, "5/26/08"},
      {"more than any list holds",
       {.targets = std::vector(kCopyTargetsMax + 1, kNaa),
        .segments = std::vector(kCopySegmentsMax + 1, good)},
       "5/1a/00"},
      {"an index beyond the targets", {.segments = {{.blocks = 8, .destination = 1}}}, "a/0d/02"},
      {"another unit", {.targets = {kNaa + 1}, .segments = {good}}, "a/0d/02"},
      {"another block length", {.segments = {good}, .block_bytes = 4096}, "a/0d/02"},
      {"a source beyond the end", {.segments = {{.blocks = 2, .from = capacity - 1}}}, "a/00/00"},
      {"a destination beyond the end",
       {.segments = {good, {.blocks = 2, .to = capacity - 1}}},
       "a/00/00"},
      {"an address that overflows", {.segments = {{.blocks = 2, .to = ~uint64_t{0}}}}, "a/00/00"},
  };
  ASSERT_EQ(test::WriteTo(memory, 0, Bytes(4096, 7)), ErrorCode::kOk);
  for (const Case& c : table) EXPECT_EQ(Copy(one, c.list), c.result) << c.what;
  EXPECT_EQ(test::ReadFrom(memory, 4096, 4096), Bytes(4096, 0)) << "nothing was copied";
}

TEST_F(ExtendedCopyTest, RefusesAListThatIsCutAnywhere) {
  const auto whole = List{.segments = {{.blocks = 8, .from = 0, .to = 8}}}.Encode();
  EXPECT_EQ(one.Do(CopyCdb(0)), "GOOD");
  for (size_t length = 1; length < whole.size(); ++length) {
    const std::vector<std::byte> cut(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(length));
    EXPECT_EQ(one.Do(CopyCdb(length), cut), "5/1a/00") << length;
  }
}

TEST_F(ExtendedCopyTest, TellsTheStatusOfACopyOnceItHasEnded) {
  ASSERT_EQ(test::WriteTo(memory, 0, Pattern(8 * kMiB, 4)), ErrorCode::kOk);
  EXPECT_EQ(one.Do(StatusCdb(9)), "5/24/00");
  faulty.DelayAll(IoOp::kWrite);
  const auto bytes = List{.id = 9,
                          .segments = {{.blocks = 2048, .from = 0, .to = 4096},
                                       {.blocks = 2048, .from = 0, .to = 8192}}}
                         .Encode();
  const auto copy = one.Send(CopyCdb(bytes.size()), bytes);
  faulty.Release();
  auto status = one.Get(StatusCdb(9));
  ASSERT_EQ(status.size(), 12u);
  EXPECT_EQ(status[4], std::byte{0}) << "under way";
  EXPECT_EQ(LoadBigEndian<uint16_t>(&status[5]), 1);
  EXPECT_EQ(LoadBigEndian<uint32_t>(&status[8]), 1024u) << "KiB";
  EXPECT_EQ(one.Do(CopyCdb(bytes.size()), bytes), "5/00/16") << "its identifier is in use";
  faulty.Release();
  ASSERT_TRUE(copy->done());
  EXPECT_EQ(copy->result(), "GOOD");
  test::Initiator other(*unit, "iqn.2026-11.test:b,i,0x1");
  EXPECT_EQ(other.Do(StatusCdb(9)), "5/24/00") << "identifiers belong to a nexus";
  status = one.Get(StatusCdb(9));
  EXPECT_EQ(status[4], std::byte{1}) << "done";
  EXPECT_EQ(one.Do(StatusCdb(9)), "5/24/00");
}

TEST_F(ExtendedCopyTest, KeepsNoStatusWhereNoneIsWanted) {
  ASSERT_EQ(Copy(one, {.id = 0, .usage = kNoStatus, .segments = {{.blocks = 1, .to = 1}}}), "GOOD");
  EXPECT_EQ(one.Do(StatusCdb(0)), "5/24/00");
}

TEST_F(ExtendedCopyTest, SaysThatACopyFailed) {
  ASSERT_EQ(test::WriteTo(memory, 0, Pattern(4096, 5)), ErrorCode::kOk);
  for (const IoOp op : {IoOp::kRead, IoOp::kWrite}) {
    faulty.FailAll(op, ErrorCode::kIo, 1);
    EXPECT_EQ(Copy(one, {.segments = {{.blocks = 8, .to = 8}}}), "a/0d/01");
    EXPECT_EQ(one.Get(StatusCdb(1))[4], std::byte{2});
  }
}

TEST_F(ExtendedCopyTest, LetsOtherCommandsPassAndTakesABoundedNumber) {
  ASSERT_EQ(test::WriteTo(memory, 0, Pattern(1 * kMiB, 6)), ErrorCode::kOk);
  faulty.DelayMatching([](const IoRequest& r) { return r.op == IoOp::kWrite; }, kCopiesMax);
  std::vector<std::unique_ptr<test::SentCommand>> copies;
  for (uint8_t id = 0; id < kCopiesMax; ++id) {
    const auto bytes = List{.id = id, .segments = {{.blocks = 8, .to = 1000u + id}}}.Encode();
    copies.push_back(one.Send(CopyCdb(bytes.size()), bytes));
  }
  EXPECT_EQ(Copy(one, {.id = 99, .segments = {{.blocks = 8, .to = 8}}}), "BUSY");
  EXPECT_EQ(one.Do(MakeCdb10(opcode::kRead10, 0, 8)), "GOOD");
  EXPECT_EQ(one.Do(MakeCdb16(opcode::kCompareAndWrite, 30'000, 1), Bytes(1024, 0)), "GOOD");
  const auto blocked = one.Send(MakeCdb16(opcode::kCompareAndWrite, 1000, 1), Bytes(1024, 0));
  EXPECT_FALSE(blocked->done()) << "its blocks are being written";
  faulty.ReleaseAll();
  EXPECT_EQ(blocked->result(), "e/1d/00");
  for (const auto& copy : copies) EXPECT_EQ(copy->result(), "GOOD");
  EXPECT_EQ(Copy(one, {.id = 99, .segments = {{.blocks = 8, .to = 8}}}), "GOOD");
}

TEST_F(ExtendedCopyTest, ASanitizeSeesNoOlderDataComeBack) {
  ASSERT_EQ(test::WriteTo(memory, 0, Pattern(1 * kMiB, 7)), ErrorCode::kOk);
  faulty.DelayAll(IoOp::kRead, 1);
  const auto bytes = List{.segments = {{.blocks = 2048, .to = 8192}}}.Encode();
  const auto copy = one.Send(CopyCdb(bytes.size()), bytes);
  const auto erase = one.Send(MakeCdb({opcode::kSanitize, 2}));
  EXPECT_FALSE(erase->done()) << "a command is under way";
  faulty.ReleaseAll();
  EXPECT_EQ(copy->result(), "a/0d/01");
  EXPECT_EQ(erase->result(), "GOOD");
  EXPECT_EQ(memory.allocated_bytes(), 0u);
}

TEST_F(ExtendedCopyTest, TheOperatingParametersAreTheLimits) {
  const auto data =
      one.Get(MakeCdb({opcode::kReceiveCopyResults, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0}));
  ASSERT_EQ(data.size(), 46u);
  EXPECT_EQ(LoadBigEndian<uint32_t>(&data[0]), data.size() - 4);
  EXPECT_EQ(LoadBigEndian<uint16_t>(&data[8]), kCopyTargetsMax);
  EXPECT_EQ(LoadBigEndian<uint16_t>(&data[10]), kCopySegmentsMax);
  EXPECT_EQ(LoadBigEndian<uint32_t>(&data[16]), 0xffffu * 512);
  EXPECT_EQ(LoadBigEndian<uint16_t>(&data[34]), kCopiesMax);
  EXPECT_EQ(data[37], std::byte{9});
  EXPECT_EQ(data[43], std::byte{2});
}

}  // namespace
}  // namespace aurochs::scsi
