#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
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
using test::kAllRules;
using test::kSize;
using test::Reply;
using test::RequestMessage;
using test::Wire;
using NbdTransmissionTest = test::TransmissionFixture;

// -- READ and WRITE

TEST_F(NbdTransmissionTest, ReadsWhatWasWritten) {
  const Bytes data = Pattern(64 * kKiB, 1);
  EXPECT_EQ(ErrorOf(Command::kWrite, kMiB, 64 * kKiB, 0, data), NbdError::kNone);
  EXPECT_EQ(ReadFrom(memory_, kMiB, 64 * kKiB), data);

  Request(Command::kRead, kMiB + 512, 8 * kKiB);
  const Reply reply = OnlyReply();
  EXPECT_EQ(reply.chunk, ChunkType::kOffsetData);
  EXPECT_EQ(reply.offset_bytes(), kMiB + 512);
  EXPECT_EQ(reply.data(), Bytes(data.begin() + 512, data.begin() + 512 + 8 * kKiB));
}

TEST_F(NbdTransmissionTest, AnswersReadsSimplyIfStructuredRepliesWereNotNegotiated) {
  Begin({});
  const Bytes data = Pattern(4096, 2);
  EXPECT_EQ(WriteTo(memory_, 0, data), ErrorCode::kOk);
  Request(Command::kRead, 0, 4096);
  const Reply reply = OnlyReply();
  EXPECT_FALSE(reply.chunk.has_value());
  EXPECT_EQ(reply.data(), data);
}

TEST_F(NbdTransmissionTest, KeepsRepliesInTheOrderInWhichTheyBecameReady) {
  faults_.DelayAll(IoOp::kRead, 2);
  for (uint64_t i = 0; i < 4; ++i) Request(Command::kRead, i * 4096, 4096);
  faults_.Release(1);
  faults_.Release(0);
  std::vector<uint64_t> offsets;
  for (const Reply& reply : Replies()) offsets.push_back(reply.offset_bytes());
  EXPECT_THAT(offsets, testing::ElementsAre(2 * 4096, 3 * 4096, 4096, 0));
  EXPECT_EQ(replies_ready_, 4);
}

TEST_F(NbdTransmissionTest, SendsTheRestAfterASendThatTookOnlyAPart) {
  const Bytes data = Pattern(16 * kKiB, 3);
  EXPECT_EQ(WriteTo(memory_, 0, data), ErrorCode::kOk);
  for (uint64_t i = 0; i < 4; ++i) Request(Command::kRead, i * 4096, 4096);
  while (TakeOutput(777) > 0) {
  }
  const auto replies = Replies();
  ASSERT_EQ(replies.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    const auto first = data.begin() + static_cast<ptrdiff_t>(i * 4096);
    EXPECT_EQ(replies[i].data(), Bytes(first, first + 4096));
  }
}

TEST_F(NbdTransmissionTest, TakesRequestsInPiecesOfAnySize) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const std::array<uint32_t, 6> lengths{512, 4096, 64 * kKiB, 65 * kKiB, 300 * kKiB, 2 * kMiB};
  for (int round = 0; round < 20; ++round) {
    Wire wire;
    Bytes expected(8 * kMiB);
    uint64_t offset_bytes = 0;
    size_t count = 0;
    for (; offset_bytes < 5 * kMiB; ++count) {
      const uint32_t length_bytes = lengths[random() % lengths.size()];
      const Bytes data = Pattern(length_bytes, static_cast<uint8_t>(random()));
      std::copy(data.begin(), data.end(), expected.begin() + static_cast<ptrdiff_t>(offset_bytes));
      wire.Append(RequestMessage(Command::kWrite, count, offset_bytes, length_bytes, 0, data));
      offset_bytes += length_bytes;
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
    expected.resize(offset_bytes);
    EXPECT_TRUE(ReadFrom(memory_, 0, offset_bytes) == expected) << "round " << round;
  }
}

// The data of a small write stays in the buffer it was received into.
TEST_F(NbdTransmissionTest, KeepsTheDataOfWritesThatTheDeviceHolds) {
  faults_.DelayAll(IoOp::kWrite);
  constexpr uint32_t kWrites = 120;
  for (uint32_t i = 0; i < kWrites; ++i) {
    Request(Command::kWrite, i * 16 * kKiB, 16 * kKiB, 0,
            Pattern(16 * kKiB, static_cast<uint8_t>(i)));
  }
  ASSERT_EQ(faults_.delayed().size(), kWrites);
  faults_.ReleaseAll();
  EXPECT_EQ(Replies().size(), kWrites);
  for (uint32_t i = 0; i < kWrites; ++i) {
    EXPECT_EQ(ReadFrom(memory_, i * 16 * kKiB, 16 * kKiB),
              Pattern(16 * kKiB, static_cast<uint8_t>(i)));
  }
}

TEST_F(NbdTransmissionTest, PassesFuaToTheDeviceForWhatChangesData) {
  std::vector<bool> fua;
  faults_.FailMatching(
      [&](const IoRequest& request) {
        fua.push_back(request.fua);
        return false;
      },
      ErrorCode::kIo);
  Request(Command::kWrite, 0, 512, kCommandFlagFua, Pattern(512, 1));
  Request(Command::kWrite, 0, 512, 0, Pattern(512, 1));
  Request(Command::kTrim, 0, 4096, kCommandFlagFua);
  Request(Command::kWriteZeroes, 0, 4096, kCommandFlagFua);
  Request(Command::kRead, 0, 512, kCommandFlagFua);
  Request(Command::kFlush, 0, 0, kCommandFlagFua);
  EXPECT_THAT(fua, testing::ElementsAre(true, false, true, true, false, false));
  for (const Reply& reply : Replies()) EXPECT_EQ(reply.error, NbdError::kNone);
}

// -- FLUSH, TRIM, WRITE_ZEROES, CACHE, BLOCK_STATUS

TEST_F(NbdTransmissionTest, AnswersFlushWhenTheDeviceHasFlushed) {
  faults_.DelayAll(IoOp::kFlush);
  Request(Command::kFlush, 0, 0);
  EXPECT_TRUE(Replies().empty());
  faults_.ReleaseAll();
  EXPECT_EQ(OnlyReply().error, NbdError::kNone);
}

TEST_F(NbdTransmissionTest, TrimGivesSpaceBack) {
  EXPECT_EQ(WriteTo(memory_, 0, Pattern(64 * kKiB, 1)), ErrorCode::kOk);
  EXPECT_EQ(ErrorOf(Command::kTrim, 4096, 8192), NbdError::kNone);
  EXPECT_EQ(RunsOf(memory_, {0, 64 * kKiB}), "d4096 h8192 d53248");
}

TEST_F(NbdTransmissionTest, WriteZeroesMayMakeAHoleUnlessItIsForbidden) {
  EXPECT_EQ(WriteTo(memory_, 0, Pattern(64 * kKiB, 1)), ErrorCode::kOk);
  EXPECT_EQ(ErrorOf(Command::kWriteZeroes, 0, 4096, kCommandFlagNoHole), NbdError::kNone);
  EXPECT_EQ(RunsOf(memory_, {0, 4096}), "d4096");
  EXPECT_EQ(ReadFrom(memory_, 0, 4096), Bytes(4096));
  EXPECT_EQ(ErrorOf(Command::kWriteZeroes, 8192, 4096), NbdError::kNone);
  EXPECT_EQ(ReadFrom(memory_, 8192, 4096), Bytes(4096));
}

TEST_F(NbdTransmissionTest, RefusesAFastZeroThatWouldBeSlow) {
  constexpr auto kFast = kCommandFlagFastZero;
  const Bytes data = Pattern(64 * kKiB, 1);
  EXPECT_EQ(WriteTo(memory_, 0, data), ErrorCode::kOk);
  EXPECT_EQ(ErrorOf(Command::kWriteZeroes, 0, 4096, kFast | kCommandFlagNoHole),
            NbdError::kEnotsup);
  EXPECT_EQ(ErrorOf(Command::kWriteZeroes, 0, 512, kFast), NbdError::kEnotsup);
  EXPECT_EQ(ErrorOf(Command::kWriteZeroes, 512, 4096, kFast), NbdError::kEnotsup);
  EXPECT_EQ(ReadFrom(memory_, 0, 64 * kKiB), data);

  EXPECT_EQ(ErrorOf(Command::kWriteZeroes, 0, 4096, kFast), NbdError::kNone);
  EXPECT_EQ(ErrorOf(Command::kWriteZeroes, 512, 8192, kFast), NbdError::kNone);
  EXPECT_EQ(ErrorOf(Command::kWriteZeroes, 0, kSize, kFast), NbdError::kNone);
  EXPECT_EQ(memory_.allocated_bytes(), 0u);
}

TEST_F(NbdTransmissionTest, TakesTheHintOfCache) {
  EXPECT_EQ(ErrorOf(Command::kCache, 0, kSize), NbdError::kNone);
}

TEST_F(NbdTransmissionTest, TellsWhatIsAllocated) {
  EXPECT_EQ(WriteTo(memory_, 8192, Pattern(4096, 1)), ErrorCode::kOk);
  EXPECT_EQ(WriteTo(memory_, kMiB, Pattern(4096, 1)), ErrorCode::kOk);
  Request(Command::kBlockStatus, 4096, 2 * kMiB);
  EXPECT_EQ(AllocationOf(OnlyReply()), "4096:3 4096:0 1036288:3 4096:0 1048576:3");
  Request(Command::kBlockStatus, 4096, 2 * kMiB, kCommandFlagReqOne);
  EXPECT_EQ(AllocationOf(OnlyReply()), "4096:3");
}

TEST_F(NbdTransmissionTest, AnswersRequestsOfNoLengthWithoutAskingTheDevice) {
  for (const Command command :
       {Command::kRead, Command::kWrite, Command::kTrim, Command::kCache, Command::kWriteZeroes}) {
    EXPECT_EQ(ErrorOf(command, 4096, 0), NbdError::kNone);
  }
  Request(Command::kRead, 0, 0);
  EXPECT_EQ(OnlyReply().chunk, ChunkType::kNone);
}

// -- Invalid requests

TEST_F(NbdTransmissionTest, RefusesInvalidRequestsAsTheProtocolDemands) {
  struct Case {
    Command command;
    uint64_t offset_bytes;
    uint32_t length_bytes;
    uint16_t flags;
    NbdError error;
  };
  const std::vector<Case> cases{
      // Beyond the end
      {Command::kRead, kSize, 512, 0, NbdError::kEinval},
      {Command::kRead, kSize - 512, 1024, 0, NbdError::kEinval},
      {Command::kRead, UINT64_MAX - 511, 1024, 0, NbdError::kEinval},
      {Command::kWrite, kSize, 512, 0, NbdError::kEnospc},
      {Command::kWrite, UINT64_MAX - 511, 1024, 0, NbdError::kEnospc},
      {Command::kWriteZeroes, kSize - 512, 1024, 0, NbdError::kEnospc},
      {Command::kTrim, kSize - 512, 1024, 0, NbdError::kEinval},
      {Command::kCache, kSize - 512, 1024, 0, NbdError::kEinval},
      {Command::kBlockStatus, kSize - 512, 1024, 0, NbdError::kEinval},
      // Not on a block's bounds
      {Command::kRead, 1, 512, 0, NbdError::kEinval},
      {Command::kRead, 0, 511, 0, NbdError::kEinval},
      {Command::kWrite, 256, 512, 0, NbdError::kEinval},
      {Command::kWrite, 0, 100, 0, NbdError::kEinval},
      {Command::kTrim, 1, 512, 0, NbdError::kEinval},
      {Command::kWriteZeroes, 0, 1, 0, NbdError::kEinval},
      {Command::kBlockStatus, 0, 1, 0, NbdError::kEinval},
      // Too long
      {Command::kRead, 0, kRequestBytesMax + 512, 0, NbdError::kEoverflow},
      // Nothing to tell
      {Command::kBlockStatus, 0, 0, 0, NbdError::kEinval},
      // Reserved fields
      {Command::kFlush, 512, 0, 0, NbdError::kEinval},
      {Command::kFlush, 0, 512, 0, NbdError::kEinval},
      // Flags of other commands, and none
      {Command::kRead, 0, 512, kCommandFlagNoHole, NbdError::kEinval},
      {Command::kRead, 0, 512, kCommandFlagReqOne, NbdError::kEinval},
      {Command::kWrite, 0, 512, kCommandFlagDf, NbdError::kEinval},
      {Command::kWrite, 0, 512, kCommandFlagFastZero, NbdError::kEinval},
      {Command::kFlush, 0, 0, kCommandFlagNoHole, NbdError::kEinval},
      {Command::kTrim, 0, 512, kCommandFlagNoHole, NbdError::kEinval},
      {Command::kCache, 0, 512, kCommandFlagDf, NbdError::kEinval},
      {Command::kWriteZeroes, 0, 512, kCommandFlagDf, NbdError::kEinval},
      {Command::kBlockStatus, 0, 512, kCommandFlagDf, NbdError::kEinval},
      {Command::kRead, 0, 512, 1 << 5, NbdError::kEinval},
      {Command::kRead, 0, 512, 0x8000, NbdError::kEinval},
      // No such command
      {static_cast<Command>(8), 0, 512, 0, NbdError::kEinval},
      {static_cast<Command>(0xffff), 0, 0, 0, NbdError::kEinval},
  };
  for (const Case& one : cases) {
    const Bytes payload(one.command == Command::kWrite ? one.length_bytes : 0);
    EXPECT_EQ(ErrorOf(one.command, one.offset_bytes, one.length_bytes, one.flags, payload),
              one.error)
        << "command " << static_cast<int>(one.command) << " offset " << one.offset_bytes
        << " length " << one.length_bytes << " flags " << one.flags;
  }
  // And it goes on as if nothing had been.
  EXPECT_EQ(ErrorOf(Command::kRead, 0, 512, kCommandFlagDf), NbdError::kNone);
  EXPECT_EQ(memory_.allocated_bytes(), 0u);
}

TEST_F(NbdTransmissionTest, TakesTheLongestReadAndWrite) {
  const Bytes data = Pattern(kRequestBytesMax, 5);
  EXPECT_EQ(ErrorOf(Command::kWrite, 4096, kRequestBytesMax, 0, data), NbdError::kNone);
  Request(Command::kRead, 4096, kRequestBytesMax, kCommandFlagDf);
  EXPECT_TRUE(OnlyReply().data() == data);
}

TEST_F(NbdTransmissionTest, PassesOverTheDataOfAWriteThatIsTooLong) {
  const Bytes data(kRequestBytesMax + 512);
  EXPECT_EQ(ErrorOf(Command::kWrite, 0, kRequestBytesMax + 512, 0, data), NbdError::kEinval);
  EXPECT_LE(transmission_->pinned_bytes(), kNbdReceiveBufferBytes);
  EXPECT_EQ(ErrorOf(Command::kWrite, 0, 512, 0, Pattern(512, 1)), NbdError::kNone);
}

TEST_F(NbdTransmissionTest, WithoutNegotiationThereAreNeitherContextsNorDf) {
  Begin({});
  EXPECT_EQ(ErrorOf(Command::kBlockStatus, 0, 4096), NbdError::kEinval);
  EXPECT_EQ(ErrorOf(Command::kRead, 0, 4096, kCommandFlagDf), NbdError::kEinval);
  EXPECT_EQ(ErrorOf(Command::kRead, 0, kRequestBytesMax + 512), NbdError::kEinval);
  Begin({.replies = ReplyStyle::kStructured});
  EXPECT_EQ(ErrorOf(Command::kBlockStatus, 0, 4096), NbdError::kEinval);
}

TEST_F(NbdTransmissionTest, RefusesChangesOfAReadOnlyExport) {
  Begin({.read_only = true, .replies = ReplyStyle::kStructured});
  EXPECT_EQ(ErrorOf(Command::kWrite, 0, 512, 0, Pattern(512, 1)), NbdError::kEperm);
  EXPECT_EQ(ErrorOf(Command::kTrim, 0, 512), NbdError::kEperm);
  EXPECT_EQ(ErrorOf(Command::kWriteZeroes, 0, 512), NbdError::kEperm);
  EXPECT_EQ(ErrorOf(Command::kRead, 0, 512), NbdError::kNone);
  EXPECT_EQ(ErrorOf(Command::kFlush, 0, 0), NbdError::kNone);
  EXPECT_EQ(memory_.allocated_bytes(), 0u);
}

TEST_F(NbdTransmissionTest, ReportsTheDevicesErrors) {
  struct Case {
    IoOp op;
    Command command;
    ErrorCode result;
    NbdError error;
  };
  const std::vector<Case> cases{
      {IoOp::kRead, Command::kRead, ErrorCode::kIo, NbdError::kEio},
      {IoOp::kRead, Command::kRead, ErrorCode::kCorruption, NbdError::kEio},
      {IoOp::kWrite, Command::kWrite, ErrorCode::kNoSpace, NbdError::kEnospc},
      {IoOp::kWriteZeroes, Command::kWriteZeroes, ErrorCode::kReadOnly, NbdError::kEperm},
      {IoOp::kUnmap, Command::kTrim, ErrorCode::kUnavailable, NbdError::kEshutdown},
      {IoOp::kFlush, Command::kFlush, ErrorCode::kIo, NbdError::kEio},
  };
  for (const auto style : {ReplyStyle::kSimple, ReplyStyle::kStructured, ReplyStyle::kExtended}) {
    Begin({.replies = style});
    for (const Case& one : cases) {
      faults_.FailAll(one.op, one.result, 1);
      const uint32_t length_bytes = one.command == Command::kFlush ? 0 : 4096;
      const Bytes payload(one.command == Command::kWrite ? 4096 : 0);
      Request(one.command, 0, length_bytes, 0, payload);
      const Reply reply = OnlyReply();
      EXPECT_EQ(reply.error, one.error);
      EXPECT_EQ(reply.chunk.has_value(), style != ReplyStyle::kSimple);
    }
  }
  Begin(kAllRules);
  faults_.FailQueries(ErrorCode::kIo);
  EXPECT_EQ(ErrorOf(Command::kBlockStatus, 0, 4096), NbdError::kEio);
}

// -- The end

TEST_F(NbdTransmissionTest, TakesNothingAfterDiscButAnswersWhatIsInFlight) {
  faults_.DelayAll(IoOp::kRead);
  Request(Command::kRead, 0, 4096);
  SendAll(RequestMessage(Command::kDisc, 0, 0, 0));
  EXPECT_TRUE(transmission_->input_closed());
  EXPECT_EQ(Send(RequestMessage(Command::kRead, 1, 0, 4096)), 0u);
  faults_.ReleaseAll();
  EXPECT_EQ(Replies().size(), 1u);
}

TEST_F(NbdTransmissionTest, ClosesOnAWrongMagic) {
  Bytes message = RequestMessage(Command::kRead, 1, 0, 512);
  message[3] ^= std::byte{1};
  (void)Send(message);
  EXPECT_TRUE(transmission_->input_closed());
  EXPECT_TRUE(Replies().empty());
}

TEST_F(NbdTransmissionTest, NeverWritesARequestThatWasCutOff) {
  const Bytes message = RequestMessage(Command::kWrite, 1, 0, kMiB, 0, Pattern(kMiB, 1));
  SendAll(Bytes(message.begin(), message.end() - 1));
  transmission_->CloseInput();
  EXPECT_TRUE(Replies().empty());
  EXPECT_EQ(memory_.allocated_bytes(), 0u);
}

TEST_F(NbdTransmissionTest, DropsRepliesThatNobodyTakes) {
  faults_.DelayAll(IoOp::kRead, 1);
  Request(Command::kRead, 0, 4096);
  Request(Command::kRead, 0, 4096);
  transmission_->CloseInput();
  transmission_->DropOutput();
  EXPECT_FALSE(transmission_->has_output());
  EXPECT_EQ(transmission_->in_device(), 1u);
  faults_.ReleaseAll();
  EXPECT_FALSE(transmission_->has_output());
  EXPECT_EQ(transmission_->in_device(), 0u);
}

// -- Limits

TEST_F(NbdTransmissionTest, StopsTakingRequestsAtTheLimitAndGoesOnWhenRepliesAreTaken) {
  Wire wire;
  constexpr size_t kRequests = 3 * kNbdRequestsInFlightMax;
  for (size_t i = 0; i < kRequests; ++i) {
    wire.Append(RequestMessage(Command::kRead, i, i * 4096, 4096));
  }
  // A slow reader: nothing is taken.
  SendAll(wire.bytes());
  EXPECT_EQ(replies_ready_, static_cast<int>(kNbdRequestsInFlightMax));
  EXPECT_TRUE(transmission_->InputSpace().empty());
  EXPECT_FALSE(transmission_->wants_input());
  EXPECT_EQ(Replies().size(), kRequests);
  EXPECT_TRUE(transmission_->wants_input());
}

TEST_F(NbdTransmissionTest, ReadsNoFurtherAheadOfASlowReaderThanItsLimit) {
  faults_.DelayAll(IoOp::kRead);
  Wire wire;
  for (uint64_t i = 0; i < 12; ++i) wire.Append(RequestMessage(Command::kRead, i, 0, 2 * kMiB));
  SendAll(wire.bytes());
  EXPECT_EQ(faults_.delayed().size(), 3u);  // A fourth would leave no room for input.
  EXPECT_LE(transmission_->pinned_bytes(), kNbdReadAheadBytesMax);
  size_t replied = 0;
  while (!faults_.delayed().empty()) {
    faults_.ReleaseAll();
    replied += Replies().size();
    EXPECT_LE(transmission_->pinned_bytes(), kNbdReadAheadBytesMax);
  }
  EXPECT_EQ(replied, 12u);
}

TEST_F(NbdTransmissionTest, ReadsLargerThanTheLimitOneAfterTheOther) {
  faults_.DelayAll(IoOp::kRead);
  Wire wire;
  for (uint64_t i = 0; i < 3; ++i) wire.Append(RequestMessage(Command::kRead, i, 0, 16 * kMiB));
  SendAll(wire.bytes());
  for (size_t replied = 0; replied < 3; ++replied) {
    ASSERT_EQ(faults_.delayed().size(), 1u);
    faults_.ReleaseAll();
    ASSERT_EQ(Replies().size(), 1u);
  }
}

TEST_F(NbdTransmissionTest, BoundsTheMemoryOfWritesThatTheDeviceHolds) {
  faults_.DelayAll(IoOp::kWrite);
  const Bytes message = RequestMessage(Command::kWrite, 1, 0, 2 * kMiB, 0, Pattern(2 * kMiB, 1));
  size_t sent = 0;
  for (int i = 0; i < 100; ++i) {
    const size_t now = Send(message);
    sent += now;
    if (now < message.size()) break;
  }
  EXPECT_LT(sent, 100 * message.size());
  EXPECT_TRUE(transmission_->InputSpace().empty());
  EXPECT_LE(transmission_->pinned_bytes(), kConnectionBufferBytesMax);
  EXPECT_GT(transmission_->pinned_bytes(), kConnectionBufferBytesMax / 2);
}

TEST_F(NbdTransmissionTest, PinsNothingWhenIdle) {
  Request(Command::kWrite, 0, kMiB, 0, Pattern(kMiB, 1));
  Request(Command::kRead, 0, 64 * kKiB);
  EXPECT_GT(transmission_->pinned_bytes(), 0u);
  EXPECT_EQ(Replies().size(), 2u);
  transmission_->ReleaseIdleMemory();
  EXPECT_EQ(transmission_->pinned_bytes(), 0u);
  EXPECT_EQ(ErrorOf(Command::kRead, 0, 4096), NbdError::kNone);
}

TEST_F(NbdTransmissionTest, SurvivesRandomBytesAndAnswersAllThatAreRequests) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 300; ++round) {
    Begin({.read_only = random() % 4 == 0,
           .replies = random() % 2 == 0 ? ReplyStyle::kStructured : ReplyStyle::kSimple,
           .contexts = random() % 2 == 0 ? kAllRules.contexts : std::vector<MetaContext>{}});
    while (!transmission_->input_closed()) {
      auto command = static_cast<Command>(random() % 9);
      if (random() % 20 != 0 && command == Command::kDisc) command = Command::kFlush;
      const uint64_t offset_bytes = (random() % 8 == 0 ? random() : random() % 128) * 512;
      const auto length_bytes = static_cast<uint32_t>(random() % 20 * 256);
      const auto flags = static_cast<uint16_t>(random() % 3 == 0 ? random() : 0);
      Bytes message = RequestMessage(command, random(), offset_bytes, length_bytes, flags,
                                     Bytes(command == Command::kWrite ? length_bytes : 0));
      if (random() % 50 == 0) message.resize(message.size() - 1);
      (void)Send(message);
      while (TakeOutput() > 0) {
      }
    }
    EXPECT_EQ(transmission_->in_device(), 0u);
  }
}

}  // namespace
}  // namespace aurochs::nbd
