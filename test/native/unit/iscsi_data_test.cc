// Data transfer of SCSI commands, end to end.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <thread>

#include "base/limits.h"
#include "iscsi/parameters.h"
#include "iscsi_server_fixture.h"

namespace aurochs::iscsi::test {
namespace {

std::string Pattern(size_t bytes, unsigned seed) {
  std::mt19937 random(seed);
  std::string data(bytes, '\0');
  for (char& c : data) c = static_cast<char>(random());
  return data;
}

std::string Keys(std::initializer_list<std::pair<std::string_view, std::string_view>> pairs) {
  std::string text;
  for (const auto& [key, value] : pairs) AppendPair(text, key, value);
  return text;
}

class IscsiData : public ServerTest {
 protected:
  // Writes with as many R2Ts as the target asks for, in Data-Out PDUs of at most `segment` bytes.
  static Pdu WriteAll(Initiator& initiator, uint32_t lba, const std::string& data,
                      size_t immediate_bytes, size_t segment = 65536) {
    const Bhs command = initiator.Write(lba, static_cast<uint16_t>(data.size() / 512));
    initiator.Send(command, std::string_view(data).substr(0, immediate_bytes));
    for (;;) {
      const std::optional<Pdu> pdu = initiator.Receive();
      if (!pdu || pdu->bhs.opcode() != Opcode::kR2t) return pdu.value_or(Pdu{});
      const uint32_t start = pdu->bhs.U32(field::kBufferOffset);
      const uint32_t end = start + pdu->bhs.U32(field::kDesiredLength);
      uint32_t data_sn = 0;
      for (uint32_t offset = start; offset < end;) {
        const auto bytes = static_cast<uint32_t>(std::min<size_t>(segment, end - offset));
        initiator.Send(Initiator::DataOut(command, pdu->bhs.U32(field::kTtt), data_sn++, offset,
                                          offset + bytes == end),
                       std::string_view(data).substr(offset, bytes));
        offset += bytes;
      }
    }
  }

  // Reads and checks the numbering of the Data-In PDUs on the way.
  static std::string ReadAll(Initiator& initiator, uint32_t lba, size_t bytes, size_t segment_max,
                             size_t burst_max) {
    initiator.Send(initiator.Read(lba, static_cast<uint16_t>(bytes / 512)));
    std::string data;
    for (uint32_t data_sn = 0;; ++data_sn) {
      const std::optional<Pdu> pdu = initiator.Receive();
      if (!pdu) return "closed";
      EXPECT_EQ(pdu->bhs.opcode(), Opcode::kDataIn);
      EXPECT_EQ(pdu->bhs.U32(field::kDataSn), data_sn);
      EXPECT_EQ(pdu->bhs.U32(field::kBufferOffset), data.size());
      EXPECT_LE(pdu->data.size(), segment_max);
      data += pdu->data;
      const bool burst_ends = data.size() % burst_max == 0 || data.size() == bytes;
      EXPECT_EQ(pdu->bhs.final(), burst_ends) << "at " << data.size();
      if ((pdu->bhs.flags() & kDataInStatusFlag) != 0) {
        EXPECT_EQ(ScsiStatusOf(*pdu), 0);
        EXPECT_EQ(pdu->bhs.U32(field::kResidualCount), 0u);
        return data;
      }
    }
  }
};

INSTANTIATE_FOR_EVERY_BACKEND(IscsiData);

TEST_P(IscsiData, WritesWithImmediateDataAndReadsItBack) {
  auto initiator = OpenSession();
  const std::string data = Pattern(4096, 1);
  const Pdu response = WriteAll(*initiator, 8, data, data.size());
  EXPECT_EQ(response.bhs.opcode(), Opcode::kScsiResponse);
  EXPECT_EQ(ScsiStatusOf(response), 0);
  EXPECT_EQ(ReadAll(*initiator, 8, data.size(), 8192, kMiB), data);
}

TEST_P(IscsiData, AsksForDataThatDidNotComeWithTheCommand) {
  for (const bool immediate : {false, true}) {
    auto initiator = OpenSession({.keys = Keys({{"MaxBurstLength", "65536"},
                                                {"FirstBurstLength", "16384"},
                                                {"MaxRecvDataSegmentLength", "16384"}})});
    const std::string data = Pattern(1 * kMiB, 2 + immediate);
    EXPECT_EQ(ScsiStatusOf(WriteAll(*initiator, 0, data, immediate ? 16384 : 0, 10000)), 0);
    EXPECT_EQ(ReadAll(*initiator, 0, data.size(), 16384, 65536), data);
  }
}

TEST_P(IscsiData, AsksForSeveralBurstsAtOnceWhereItMay) {
  auto initiator =
      OpenSession({.keys = Keys({{"MaxBurstLength", "4096"}, {"MaxOutstandingR2T", "3"}})});
  const std::string data = Pattern(5 * 4096, 4);
  const Bhs command = initiator->Write(0, 40);
  initiator->Send(command);
  std::vector<Bhs> r2ts;
  for (int i = 0; i < 3; ++i) r2ts.push_back(initiator->Next().bhs);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(r2ts[i].U32(field::kDataSn), i);  // R2TSN
    EXPECT_EQ(r2ts[i].U32(field::kBufferOffset), i * 4096);
    EXPECT_EQ(r2ts[i].U32(field::kDesiredLength), 4096u);
    initiator->Send(
        Initiator::DataOut(command, r2ts[i].U32(field::kTtt), 0, static_cast<uint32_t>(i) * 4096),
        std::string_view(data).substr(i * 4096, 4096));
    if (i + 3 < 5) r2ts.push_back(initiator->Next().bhs);
  }
  EXPECT_EQ(ScsiStatusOf(initiator->Next()), 0);
  EXPECT_EQ(ReadAll(*initiator, 0, data.size(), 8192, 4096), data);
}

TEST_P(IscsiData, TakesUnsolicitedDataUpToTheFirstBurst) {
  auto initiator =
      OpenSession({.keys = Keys({{"InitialR2T", "No"}, {"FirstBurstLength", "8192"}})});
  const std::string data = Pattern(16384, 5);
  const Bhs command = initiator->Write(16, 32, true);
  const std::string_view view = data;
  initiator->Send(command, view.substr(0, 1000));
  initiator->Send(Initiator::DataOut(command, kReservedTag, 0, 1000, false),
                  view.substr(1000, 4000));
  initiator->Send(Initiator::DataOut(command, kReservedTag, 1, 5000), view.substr(5000, 3192));
  const Pdu r2t = initiator->Next();
  EXPECT_EQ(r2t.bhs.opcode(), Opcode::kR2t);
  EXPECT_EQ(r2t.bhs.U32(field::kBufferOffset), 8192u);
  EXPECT_EQ(r2t.bhs.U32(field::kDesiredLength), 8192u);
  initiator->Send(Initiator::DataOut(command, r2t.bhs.U32(field::kTtt), 0, 8192),
                  view.substr(8192));
  EXPECT_EQ(ScsiStatusOf(initiator->Next()), 0);
  EXPECT_EQ(ReadAll(*initiator, 16, data.size(), 8192, kMiB), data);
}

TEST_P(IscsiData, MovesDataUnchangedWithDigests) {
  auto initiator = OpenSession({.header_digest = true, .data_digest = true});
  const std::string data = Pattern(100 * 512, 6);
  EXPECT_EQ(ScsiStatusOf(WriteAll(*initiator, 3, data, 0, 10001)), 0);
  EXPECT_EQ(ReadAll(*initiator, 3, data.size(), 8192, 256 * kKiB), data);
}

TEST_P(IscsiData, MovesTheLargestRequestAtOnce) {
  auto initiator = OpenSession(
      {.keys = Keys({{"MaxBurstLength", "1048576"}, {"MaxRecvDataSegmentLength", "262144"}})});
  const size_t bytes = 65535 / 8 * 8 * 512;  // READ (10) counts up to 65,535 blocks
  const std::string data = Pattern(bytes, 7);
  EXPECT_EQ(ScsiStatusOf(WriteAll(*initiator, 0, data, 0, 262144)), 0);
  EXPECT_EQ(ReadAll(*initiator, 0, bytes, 262144, kMiB), data);
}

TEST_P(IscsiData, KeepsManyRequestsApartThatAreInFlightTogether) {
  auto initiator = OpenSession();
  std::string data;
  for (uint32_t i = 0; i < kCommandWindow; ++i) {
    data = Pattern(4096, i);
    initiator->Send(initiator->Write(i * 8, 8), data);
  }
  for (uint32_t i = 0; i < kCommandWindow; ++i) {
    EXPECT_EQ(ScsiStatusOf(initiator->Next()), 0);
  }
  const uint32_t first_itt = initiator->itt;
  for (uint32_t i = 0; i < kCommandWindow; ++i) initiator->Send(initiator->Read(i * 8, 8));
  for (uint32_t i = 0; i < kCommandWindow; ++i) {
    const Pdu pdu = initiator->Next();
    EXPECT_EQ(pdu.data, Pattern(4096, pdu.bhs.itt() - first_itt));
  }
}

// -- Residuals (11.4.5)

struct ResidualCase {
  bool write;
  uint32_t expected_bytes;
  uint8_t flag;
  uint32_t residual;
};

TEST_P(IscsiData, TellsHowMuchMoreOrLessWasExpected) {
  auto initiator = OpenSession();
  for (const ResidualCase& expected :
       {ResidualCase{false, 8192, kResidualUnderflowFlag, 4096},
        ResidualCase{false, 1024, kResidualOverflowFlag, 3072}, ResidualCase{false, 4096, 0, 0},
        ResidualCase{true, 8192, kResidualUnderflowFlag, 4096}, ResidualCase{true, 4096, 0, 0}}) {
    Bhs command = expected.write ? initiator->Write(0, 8) : initiator->Read(0, 8);
    command.SetU32(field::kEdtl, expected.expected_bytes);
    initiator->Send(command,
                    expected.write ? std::string(expected.expected_bytes, 'w') : std::string());
    const Pdu answer = initiator->Next();
    EXPECT_EQ(answer.bhs.flags() & (kResidualOverflowFlag | kResidualUnderflowFlag), expected.flag);
    EXPECT_EQ(answer.bhs.U32(field::kResidualCount), expected.residual);
    if (!expected.write) {
      EXPECT_EQ(answer.data.size(), std::min(expected.expected_bytes, 4096u));
    }
  }
}

// -- Data-Out that breaks the rules: the command fails, the connection lives, nothing is written.

class IscsiBadData : public IscsiData {
 protected:
  void SetUp() override {
    IscsiData::SetUp();
    initiator_ = OpenSession(
        {.keys = Keys(
             {{"InitialR2T", "No"}, {"FirstBurstLength", "4096"}, {"MaxBurstLength", "4096"}})});
  }

  void TearDown() override {
    initiator_ = nullptr;
    IscsiData::TearDown();
  }

  std::string SenseOfNext() { return SenseOf(initiator_->Next()); }
  void ExpectNothingWritten() {
    EXPECT_EQ(ReadAll(*initiator_, 0, 8192, 8192, 4096), std::string(8192, '\0'));
  }
  // A command whose first burst has come, and the transfer tag of its second.
  std::pair<Bhs, uint32_t> AskedCommand() {
    const Bhs command = initiator_->Write(0, 16);
    initiator_->Send(command, std::string(4096, 'x'));
    return {command, initiator_->Next().bhs.U32(field::kTtt)};
  }

  std::unique_ptr<Initiator> initiator_;
};

INSTANTIATE_FOR_EVERY_BACKEND(IscsiBadData);

TEST_P(IscsiBadData, ImmediateDataBeyondTheFirstBurstFailsTheCommand) {
  initiator_->Send(initiator_->Write(0, 16), std::string(4100, 'x'));
  EXPECT_EQ(SenseOfNext(), "0b/0c/0d");
  ExpectNothingWritten();
}

TEST_P(IscsiBadData, UnsolicitedDataBeyondTheFirstBurstFailsTheCommandOnceItHasEnded) {
  const Bhs command = initiator_->Write(0, 16, true);
  initiator_->Send(command, std::string(4000, 'x'));
  initiator_->Send(Initiator::DataOut(command, kReservedTag, 0, 4000, false),
                   std::string(100, 'x'));
  initiator_->Send(Initiator::DataOut(command, kReservedTag, 1, 4100, true), std::string(100, 'x'));
  EXPECT_EQ(SenseOfNext(), "0b/0c/0d");
  ExpectNothingWritten();
}

TEST_P(IscsiBadData, ASkippedDataSnFailsTheCommand) {
  const auto [command, ttt] = AskedCommand();
  initiator_->Send(Initiator::DataOut(command, ttt, 1, 4096), std::string(4096, 'x'));
  EXPECT_EQ(SenseOfNext(), "0b/47/05");
  ExpectNothingWritten();
}

TEST_P(IscsiBadData, AWrongOffsetFailsTheCommand) {
  for (const uint32_t offset : {0u, 4095u, 4097u, 8192u, 0xffff'fffcu}) {
    const auto [command, ttt] = AskedCommand();
    initiator_->Send(Initiator::DataOut(command, ttt, 0, offset), std::string(4096, 'x'));
    EXPECT_EQ(SenseOfNext(), "0b/0c/0d") << offset;
  }
  ExpectNothingWritten();
}

TEST_P(IscsiBadData, ABurstThatEndsTooSoonFailsTheCommand) {
  const auto [command, ttt] = AskedCommand();
  initiator_->Send(Initiator::DataOut(command, ttt, 0, 4096), std::string(512, 'x'));
  EXPECT_EQ(SenseOfNext(), "0b/0c/0d");
  ExpectNothingWritten();
}

TEST_P(IscsiBadData, MoreDataThanWasAskedForFailsTheCommand) {
  const auto [command, ttt] = AskedCommand();
  initiator_->Send(Initiator::DataOut(command, ttt, 0, 4096), std::string(4608, 'x'));
  EXPECT_EQ(SenseOfNext(), "0b/0c/0d");
  ExpectNothingWritten();
}

TEST_P(IscsiBadData, AWrongTransferTagIsRejectedAndTheCommandGoesOn) {
  const auto [command, ttt] = AskedCommand();
  initiator_->Send(Initiator::DataOut(command, ttt + 1, 0, 4096), std::string(4096, 'y'));
  const Pdu reject = initiator_->Next();
  EXPECT_EQ(reject.bhs.opcode(), Opcode::kReject);
  EXPECT_EQ(reject.bhs.U8(field::kResponse), static_cast<uint8_t>(RejectReason::kInvalidPduField));
  EXPECT_EQ(reject.data.size(), kBhsBytes);
  initiator_->Send(Initiator::DataOut(command, ttt, 0, 4096), std::string(4096, 'x'));
  EXPECT_EQ(ScsiStatusOf(initiator_->Next()), 0);
  EXPECT_EQ(ReadAll(*initiator_, 0, 8192, 8192, 4096), std::string(8192, 'x'));
}

TEST_P(IscsiBadData, DataForNoTaskIsIgnored) {
  Bhs command = initiator_->Write(0, 16);
  --initiator_->cmd_sn;
  initiator_->Send(Initiator::DataOut(command, kReservedTag, 0, 0), std::string(4096, 'x'));
  ExpectNothingWritten();
}

TEST_P(IscsiBadData, UnsolicitedDataNeedsTheConsentOfTheLogin) {
  auto strict = OpenSession(
      {.keys = Keys({{"InitialR2T", "Yes"}, {"ImmediateData", "No"}}), .isid_qualifier = 2});
  strict->Send(strict->Write(0, 8), std::string(4096, 'x'));
  EXPECT_EQ(SenseOf(strict->Next()), "0b/0c/0c");
  const Bhs command = strict->Write(0, 8, true);
  strict->Send(command);
  strict->Send(Initiator::DataOut(command, kReservedTag, 0, 0), std::string(4096, 'x'));
  EXPECT_EQ(SenseOf(strict->Next()), "0b/0c/0c");
  ExpectNothingWritten();
}

TEST_P(IscsiBadData, DataInBothDirectionsIsRefused) {
  Bhs command = initiator_->Write(0, 8);
  command.SetU8(field::kFlags, kFinalFlag | kReadFlag | kWriteFlag);
  initiator_->Send(command, std::string(4096, 'x'));
  EXPECT_EQ(SenseOfNext(), "05/24/00");
  ExpectNothingWritten();
}

TEST_P(IscsiBadData, AWriteThatIsFlaggedAsAReadIsRefused) {
  Bhs command = initiator_->Write(0, 8);
  command.SetU8(field::kFlags, kFinalFlag | kReadFlag);
  initiator_->Send(command);
  EXPECT_EQ(SenseOfNext(), "05/24/00");
  ExpectNothingWritten();
}

TEST_P(IscsiBadData, MoreThanTheLargestRequestIsRefused) {
  Bhs command = initiator_->Write(0, 0);
  command.SetU8(field::kCdb, 0x8a);  // WRITE (16)
  for (size_t i = 2; i < 16; ++i) command.SetU8(field::kCdb + i, 0);
  command.SetU32(field::kCdb + 10, kRequestBytesMax / 512 + 8);
  command.SetU32(field::kEdtl, kRequestBytesMax + 4096);
  initiator_->Send(command, std::string(4096, 'x'));
  EXPECT_EQ(SenseOfNext(), "05/24/00");
  ExpectNothingWritten();
}

// -- An initiator that sends and does not read

TEST_P(IscsiData, AnInitiatorThatDoesNotReadIsServedWhenItDoes) {
  auto initiator = OpenSession({.keys = Keys({{"MaxRecvDataSegmentLength", "262144"}})});
  constexpr uint32_t kReads = kCommandWindow;
  for (uint32_t i = 0; i < kReads; ++i) initiator->Send(initiator->Read(0, 512));
  auto other = OpenSession({.isid_qualifier = 9});  // Nobody else notices.
  size_t bytes = 0;
  for (uint32_t answered = 0; answered < kReads;) {
    const Pdu pdu = initiator->Next();
    bytes += pdu.data.size();
    if ((pdu.bhs.flags() & kDataInStatusFlag) != 0) ++answered;
  }
  EXPECT_EQ(bytes, size_t{kReads} * 512 * 512);
}

TEST_P(IscsiData, AnInitiatorThatPingsAndDoesNotReadIsNotReadEither) {
  auto initiator = OpenSession({.keys = Keys({{"MaxRecvDataSegmentLength", "65536"}})});
  // More echo than the target will hold: what it does not read stays in the sockets, and in us.
  std::thread sender([&initiator] {
    for (int i = 0; i < 1000; ++i) {
      Bhs ping(Opcode::kNopOut);
      ping.SetU8(field::kOpcode, static_cast<uint8_t>(Opcode::kNopOut) | kImmediateFlag);
      ping.SetU32(field::kItt, 5000u + static_cast<uint32_t>(i));
      ping.SetU32(field::kTtt, kReservedTag);
      initiator->Send(ping, std::string(65536, 'p'));
    }
  });
  for (uint32_t i = 0; i < 1000; ++i) {
    const Pdu pdu = initiator->Next();
    ASSERT_EQ(pdu.bhs.itt(), 5000u + i);
    ASSERT_EQ(pdu.data.size(), 65536u);
  }
  sender.join();
}

}  // namespace
}  // namespace aurochs::iscsi::test
