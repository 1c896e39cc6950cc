// The extension EXTENDED_HEADERS in the transmission phase.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "support/block_io.h"
#include "unit/nbd_transmission_fixture.h"

namespace aurochs::nbd {
namespace {

using aurochs::test::Pattern;
using aurochs::test::ReadFrom;
using aurochs::test::RunsOf;
using aurochs::test::WriteTo;
using test::AllocationOf;
using test::Bytes;
using test::ExtendedRequestMessage;
using test::kSize;
using test::Reply;
using test::Wire;

class NbdExtendedHeadersTest : public test::TransmissionFixture {
 protected:
  NbdExtendedHeadersTest() { Begin(Rules()); }

  static RequestRules Rules() {
    return {.replies = ReplyStyle::kExtended, .contexts = {test::kAllocation}};
  }
  // What is ready to be sent, as it is.
  Bytes RawOutput() {
    while (TakeOutput() > 0) {
    }
    return std::exchange(output_, {});
  }
};

TEST_F(NbdExtendedHeadersTest, SpeaksTheBytesOfTheDocument) {
  const Bytes data = Pattern(512, 1);
  SendAll(Wire()
              .U32(0x21e41c71)
              .U16(1 << 5)  // PAYLOAD_LEN
              .U16(1)       // WRITE
              .U64(0xc0)
              .U64(4096)
              .U64(512)
              .Append(data)
              .bytes());
  const Bytes written =
      Wire().U32(0x6e8a278c).U16(1).U16(0).U64(0xc0).U64(4096).U64(0).bytes();  // NONE
  EXPECT_EQ(RawOutput(), written);

  SendAll(Wire().U32(0x21e41c71).U16(0).U16(0).U64(0xc1).U64(4096).U64(512).bytes());
  const Bytes read = Wire()
                         .U32(0x6e8a278c)
                         .U16(1)
                         .U16(1)  // OFFSET_DATA
                         .U64(0xc1)
                         .U64(4096)
                         .U64(8 + 512)
                         .U64(4096)
                         .Append(data)
                         .bytes();
  EXPECT_EQ(RawOutput(), read);

  SendAll(Wire().U32(0x21e41c71).U16(0).U16(7).U64(0xc2).U64(4096).U64(kMiB).bytes());
  const Bytes status = Wire()
                           .U32(0x6e8a278c)
                           .U16(1)
                           .U16(6)  // BLOCK_STATUS_EXT
                           .U64(0xc2)
                           .U64(4096)
                           .U64(8 + 2 * 16)
                           .U32(test::kAllocationContextId)
                           .U32(2)
                           .U64(4096)
                           .U64(0)
                           .U64(kMiB - 4096)
                           .U64(3)
                           .bytes();
  EXPECT_EQ(RawOutput(), status);

  SendAll(Wire().U32(0x21e41c71).U16(0).U16(0).U64(0xc3).U64(kSize).U64(512).bytes());
  const Bytes error = Wire()
                          .U32(0x6e8a278c)
                          .U16(1)
                          .U16(0x8001)  // ERROR
                          .U64(0xc3)
                          .U64(kSize)
                          .U64(6)
                          .U32(22)  // EINVAL
                          .U16(0)
                          .bytes();
  EXPECT_EQ(RawOutput(), error);
}

// A simple reply would put the client out of step.
TEST_F(NbdExtendedHeadersTest, AnswersEveryCommandByAnExtendedChunk) {
  const std::vector<Command> commands{Command::kRead,       Command::kWrite, Command::kFlush,
                                      Command::kTrim,       Command::kCache, Command::kWriteZeroes,
                                      Command::kBlockStatus};
  for (const Command command : commands) {
    const uint64_t length_bytes = command == Command::kFlush ? 0 : 4096;
    Request(command, 0, length_bytes, 0, Bytes(command == Command::kWrite ? 4096 : 0));
    const Reply reply = OnlyReply();
    EXPECT_EQ(reply.error, NbdError::kNone);
    EXPECT_EQ(reply.request_offset_bytes, 0u) << static_cast<int>(command);
  }
}

TEST_F(NbdExtendedHeadersTest, TakesEffectLengthsOfMoreThan32Bits) {
  constexpr uint64_t kLargeBytes = 6 * kGiB;
  MemoryDevice large(DeviceInfo{.size_bytes = kLargeBytes});
  transmission_ = std::make_unique<Transmission>(large, Rules(), *this);
  EXPECT_EQ(WriteTo(large, 5 * kGiB, Pattern(4096, 1)), ErrorCode::kOk);

  Request(Command::kBlockStatus, 0, kLargeBytes);
  EXPECT_EQ(AllocationOf(OnlyReply()), "5368709120:3 4096:0 1073737728:3");
  EXPECT_EQ(ErrorOf(Command::kCache, 0, kLargeBytes), NbdError::kNone);
  EXPECT_EQ(ErrorOf(Command::kTrim, 512, kLargeBytes - 512), NbdError::kNone);
  EXPECT_EQ(large.allocated_bytes(), 0u);
  EXPECT_EQ(WriteTo(large, 5 * kGiB, Pattern(4096, 1)), ErrorCode::kOk);
  EXPECT_EQ(ErrorOf(Command::kWriteZeroes, 0, kLargeBytes, kCommandFlagFastZero), NbdError::kNone);
  EXPECT_EQ(large.allocated_bytes(), 0u);
  transmission_.reset();
}

TEST_F(NbdExtendedHeadersTest, RefusesWhatIsInvalidAndGoesOn) {
  struct Case {
    const char* why;
    Command command;
    uint64_t offset_bytes;
    uint64_t length_bytes;
    uint16_t flags;
    NbdError error;
  };
  constexpr uint16_t kPayload = kCommandFlagPayloadLen;
  const std::vector<Case> cases{
      {"a write without payload", Command::kWrite, 0, 512, 0, NbdError::kEinval},
      {"a write of all bytes without payload", Command::kWrite, 0, UINT64_MAX, 0,
       NbdError::kEinval},
      {"a payload that no command takes", Command::kRead, 0, 512, kPayload, NbdError::kEinval},
      {"likewise", Command::kTrim, 0, 512, kPayload, NbdError::kEinval},
      {"likewise", Command::kFlush, 0, 100, kPayload, NbdError::kEinval},
      {"likewise", static_cast<Command>(99), 0, 100'000, kPayload, NbdError::kEinval},
      {"a payload beside a wrong flag", Command::kWrite, 0, 512, kPayload | kCommandFlagDf,
       NbdError::kEinval},
      {"a payload beyond the end", Command::kWrite, kSize, 512, kPayload, NbdError::kEnospc},
      {"longer than a read may be", Command::kRead, 0, uint64_t{1} << 32, 0, NbdError::kEoverflow},
      {"past the end of 64 bits", Command::kRead, 512, UINT64_MAX - 511, 0, NbdError::kEoverflow},
      {"past the end of 64 bits", Command::kTrim, 512, UINT64_MAX - 511, 0, NbdError::kEinval},
      {"past the end of 64 bits", Command::kWriteZeroes, 512, UINT64_MAX - 511, 0,
       NbdError::kEnospc},
      {"past the end of 64 bits", Command::kBlockStatus, 512, UINT64_MAX - 511, 0,
       NbdError::kEinval},
      {"longer than the export by 4 GiB", Command::kBlockStatus, 0, kSize + (uint64_t{1} << 32), 0,
       NbdError::kEinval},
  };
  for (const Case& one : cases) {
    const bool has_payload = (one.flags & kPayload) != 0;
    EXPECT_EQ(ErrorOf(one.command, one.offset_bytes, one.length_bytes, one.flags,
                      Bytes(has_payload ? one.length_bytes : 0)),
              one.error)
        << one.why << ", command " << static_cast<int>(one.command);
    EXPECT_EQ(ErrorOf(Command::kRead, 0, 512), NbdError::kNone) << "after " << one.why;
  }
  EXPECT_EQ(memory_.allocated_bytes(), 0u);
}

// It would hold up whoever detaches the volume, and no client can take it back.
TEST_F(NbdExtendedHeadersTest, RefusesToWriteZerosForHours) {
  MemoryDevice large(DeviceInfo{.size_bytes = 8 * kGiB});
  transmission_ = std::make_unique<Transmission>(large, Rules(), *this);
  EXPECT_EQ(ErrorOf(Command::kWriteZeroes, 0, kNbdZerosWrittenBytesMax + 512, kCommandFlagNoHole),
            NbdError::kEoverflow);
  EXPECT_EQ(ErrorOf(Command::kWriteZeroes, 0, kNbdZerosWrittenBytesMax + 512), NbdError::kNone);
  transmission_.reset();
}

TEST_F(NbdExtendedHeadersTest, ClosesOnHeadersThatWereNotNegotiated) {
  (void)Send(test::RequestMessage(Command::kRead, 1, 0, 512, 0, Bytes(4)));
  EXPECT_TRUE(transmission_->input_closed());

  Begin(test::kAllRules);
  (void)Send(ExtendedRequestMessage(Command::kRead, 1, 0, 512));
  EXPECT_TRUE(transmission_->input_closed());
  EXPECT_TRUE(Replies().empty());
}

TEST_F(NbdExtendedHeadersTest, ClosesOnAPayloadThatIsLongerThanWeTellThatWeTake) {
  for (const uint64_t length_bytes : {uint64_t{kRequestBytesMax} + 1, UINT64_MAX}) {
    Begin(Rules());
    (void)Send(ExtendedRequestMessage(Command::kWrite, 1, 0, length_bytes, kCommandFlagPayloadLen));
    EXPECT_TRUE(transmission_->input_closed());
    EXPECT_TRUE(Replies().empty());
  }
}

TEST_F(NbdExtendedHeadersTest, TakesRequestsInPiecesOfAnySize) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const std::array<uint32_t, 5> lengths{512, 4096, 64 * kKiB, 65 * kKiB, 2 * kMiB};
  for (int round = 0; round < 10; ++round) {
    Wire wire;
    Bytes expected;
    size_t count = 0;
    for (; expected.size() < 5 * kMiB; ++count) {
      const uint32_t length_bytes = lengths[random() % lengths.size()];
      const Bytes data = Pattern(length_bytes, static_cast<uint8_t>(random()));
      wire.Append(ExtendedRequestMessage(Command::kWrite, count, expected.size(), length_bytes,
                                         kCommandFlagPayloadLen, data));
      expected.insert(expected.end(), data.begin(), data.end());
    }
    std::span<const std::byte> rest(wire.bytes());
    size_t replied = 0;
    while (!rest.empty()) {
      const size_t piece =
          std::min<size_t>(rest.size(), 1 + random() % (random() % 2 ? 64 : 400000));
      rest = rest.subspan(Send(rest.first(piece)));
      replied += Replies().size();
    }
    EXPECT_EQ(replied + Replies().size(), count);
    EXPECT_TRUE(ReadFrom(memory_, 0, expected.size()) == expected) << "round " << round;
  }
}

TEST_F(NbdExtendedHeadersTest, SurvivesRandomRequests) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 300; ++round) {
    Begin(Rules());
    for (int i = 0; i < 50 && !transmission_->input_closed(); ++i) {
      const auto command = static_cast<Command>(random() % 10);
      const uint64_t offset_bytes = (random() % 8 == 0 ? random() : random() % 128) * 512;
      const uint64_t length_bytes = random() % 16 == 0 ? random() : random() % 20 * 256;
      const auto flags = static_cast<uint16_t>(random() % 3 == 0 ? random() : random() & 32);
      const bool has_payload = (flags & kCommandFlagPayloadLen) != 0;
      const size_t payload_bytes = has_payload && length_bytes < kMiB ? length_bytes : 0;
      (void)Send(ExtendedRequestMessage(command, random(), offset_bytes, length_bytes, flags,
                                        Bytes(payload_bytes)));
      while (TakeOutput() > 0) {
      }
    }
    EXPECT_EQ(transmission_->in_device(), 0u);
  }
}

}  // namespace
}  // namespace aurochs::nbd
