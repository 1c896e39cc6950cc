// What a session does besides moving data: order, NOP, text, logout, and PDUs that break the rules.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/limits.h"
#include "iscsi/parameters.h"
#include "iscsi/session.h"
#include "iscsi_server_fixture.h"

namespace aurochs::iscsi::test {
namespace {

using testing::ElementsAre;

class IscsiSession : public ServerTest {
 protected:
  void SetUp() override {
    ServerTest::SetUp();
    initiator_ = OpenSession();
  }
  void TearDown() override {
    initiator_ = nullptr;
    ServerTest::TearDown();
  }

  Bhs TestUnitReady() {
    Bhs bhs = initiator_->Request(Opcode::kScsiCommand);
    bhs.SetU64(field::kLun, kLun1);
    bhs.SetU32(field::kEdtl, 0);
    return bhs;
  }
  // The tags of the next answers, in order.
  std::vector<uint32_t> TagsOfNext(size_t count) {
    std::vector<uint32_t> tags;
    for (size_t i = 0; i < count; ++i) tags.push_back(initiator_->Next().bhs.itt());
    return tags;
  }
  void ExpectReject(const Bhs& bad, RejectReason reason) {
    const Pdu reject = initiator_->Next();
    ASSERT_EQ(reject.bhs.opcode(), Opcode::kReject);
    EXPECT_EQ(reject.bhs.U8(field::kResponse), static_cast<uint8_t>(reason));
    EXPECT_EQ(reject.bhs.itt(), kReservedTag);
    ASSERT_EQ(reject.data.size(), kBhsBytes);
    EXPECT_EQ(reject.data.substr(field::kItt, 4), AsText(bad.bytes()).substr(field::kItt, 4));
  }
  void ExpectAlive() {
    const Bhs bhs = TestUnitReady();
    initiator_->Send(bhs);
    EXPECT_THAT(TagsOfNext(1), ElementsAre(bhs.itt()));
  }

  std::unique_ptr<Initiator> initiator_;
};

INSTANTIATE_FOR_EVERY_BACKEND(IscsiSession);

// -- Order (4.2.2.1)

TEST_P(IscsiSession, AnswersStatusAfterStatusAndMovesTheWindow) {
  initiator_->Send(TestUnitReady());
  const Pdu first = initiator_->Next();
  initiator_->Send(TestUnitReady());
  const Pdu second = initiator_->Next();
  EXPECT_EQ(second.bhs.U32(field::kStatSn), first.bhs.U32(field::kStatSn) + 1);
  EXPECT_EQ(second.bhs.U32(field::kExpCmdSn), initiator_->cmd_sn);
  EXPECT_EQ(second.bhs.U32(field::kMaxCmdSn), initiator_->cmd_sn + kCommandWindow - 1);
}

TEST_P(IscsiSession, ExecutesCommandsInTheOrderOfTheirNumbers) {
  const Bhs first = TestUnitReady();
  const Bhs second = initiator_->Request(Opcode::kNopOut);
  const Bhs third = TestUnitReady();
  initiator_->Send(third);
  initiator_->Send(second, "ping");
  initiator_->Send(first);
  std::vector<uint32_t> tags = TagsOfNext(3);
  // What completes first is not said; what is executed is all of it, and none before the first.
  std::sort(tags.begin(), tags.end());
  EXPECT_THAT(tags, ElementsAre(first.itt(), second.itt(), third.itt()));
}

TEST_P(IscsiSession, KeepsTheDataOfACommandThatCameTooEarly) {
  const Bhs first = TestUnitReady();
  const Bhs write = initiator_->Write(0, 8);
  initiator_->Send(write, std::string(4096, 'w'));
  initiator_->Send(first);
  EXPECT_EQ(TagsOfNext(2).size(), 2u);
  initiator_->Send(initiator_->Read(0, 8));
  EXPECT_EQ(initiator_->Next().data, std::string(4096, 'w'));
}

TEST_P(IscsiSession, IgnoresCommandsOutsideTheWindowAndDuplicates) {
  Bhs far = TestUnitReady();
  --initiator_->cmd_sn;
  far.SetU32(field::kCmdSn, initiator_->cmd_sn + kCommandWindow);
  initiator_->Send(far);
  Bhs old = far;
  old.SetU32(field::kCmdSn, initiator_->cmd_sn - 1);
  initiator_->Send(old);
  const Bhs missing = TestUnitReady();
  Bhs early = TestUnitReady();
  initiator_->Send(early);
  early.SetU32(field::kItt, initiator_->itt++);
  initiator_->Send(early);  // the same number again
  initiator_->Send(missing);
  std::vector<uint32_t> tags = TagsOfNext(2);
  std::sort(tags.begin(), tags.end());
  EXPECT_THAT(tags, ElementsAre(missing.itt(), early.itt() - 1));
  ExpectAlive();
}

TEST_P(IscsiSession, ClosesTheWindowWhileItHasAsManyTasksAsItTakes) {
  HoldWrites();
  for (uint32_t i = 0; i < kCommandWindow; ++i) {
    initiator_->Send(initiator_->Write(i, 1), std::string(512, 'w'));
  }
  AwaitHeldWrites(kCommandWindow);
  const Bhs ping = initiator_->Immediate(Opcode::kNopOut);
  initiator_->Send(ping, "ping");
  const Pdu pong = initiator_->Next();
  EXPECT_EQ(pong.bhs.U32(field::kExpCmdSn), initiator_->cmd_sn);
  EXPECT_EQ(pong.bhs.U32(field::kMaxCmdSn), initiator_->cmd_sn - 1);
  const Bhs beyond = TestUnitReady();
  initiator_->Send(beyond);
  --initiator_->cmd_sn;
  ReleaseWrites();
  uint32_t max_cmd_sn = 0;
  for (uint32_t i = 0; i < kCommandWindow; ++i) {
    const Pdu answer = initiator_->Next();
    EXPECT_NE(answer.bhs.itt(), beyond.itt());
    max_cmd_sn = answer.bhs.U32(field::kMaxCmdSn);
  }
  EXPECT_EQ(max_cmd_sn, initiator_->cmd_sn + kCommandWindow - 1);
}

TEST_P(IscsiSession, TakesImmediateCommandsBesidesTheWindowUpToALimit) {
  HoldWrites();
  std::vector<Bhs> sent;
  for (uint32_t i = 0; i <= kImmediateTasksMax; ++i) {
    Bhs write = initiator_->Write(i, 1);
    write.SetU32(field::kCmdSn, --initiator_->cmd_sn);
    write.SetU8(field::kOpcode, static_cast<uint8_t>(Opcode::kScsiCommand) | kImmediateFlag);
    initiator_->Send(write, std::string(512, 'w'));
    sent.push_back(write);
  }
  ExpectReject(sent.back(), RejectReason::kTooManyImmediateCommands);
  ReleaseWrites();
  EXPECT_EQ(TagsOfNext(kImmediateTasksMax).size(), kImmediateTasksMax);
}

// -- NOP and text

TEST_P(IscsiSession, EchoesAPing) {
  const Bhs ping = initiator_->Request(Opcode::kNopOut);
  initiator_->Send(ping, "are you there");
  const Pdu pong = initiator_->Next();
  EXPECT_EQ(pong.bhs.opcode(), Opcode::kNopIn);
  EXPECT_EQ(pong.bhs.itt(), ping.itt());
  EXPECT_EQ(pong.bhs.U32(field::kTtt), kReservedTag);
  EXPECT_EQ(pong.data, "are you there");
}

TEST_P(IscsiSession, TellsItsOwnTargetInANormalSession) {
  ASSERT_TRUE(AddTarget({.name = "iqn.2026-11.io.aurochs:other"}).ok());
  std::string text;
  AppendPair(text, "SendTargets", "");
  initiator_->Send(initiator_->Request(Opcode::kTextRequest), text);
  const Pdu answer = initiator_->Next();
  EXPECT_EQ(answer.bhs.opcode(), Opcode::kTextResponse);
  EXPECT_TRUE(answer.bhs.final());
  std::string expected;
  AppendPair(expected, "TargetName", kTarget);
  AppendPair(expected, "TargetAddress", address_ + ",1");
  EXPECT_EQ(answer.data, expected);

  text.clear();
  AppendPair(text, "SendTargets", "All");
  initiator_->Send(initiator_->Request(Opcode::kTextRequest), text);
  expected.clear();
  AppendPair(expected, "SendTargets", "Reject");
  EXPECT_EQ(initiator_->Next().data, expected);
}

TEST_P(IscsiSession, LetsTheInitiatorDeclareAnotherSegmentLength) {
  std::string text;
  AppendPair(text, "MaxRecvDataSegmentLength", "512");
  AppendPair(text, "MaxBurstLength", "512");
  AppendPair(text, "X-unknown", "1");
  initiator_->Send(initiator_->Request(Opcode::kTextRequest), text);
  std::string expected;
  AppendPair(expected, "MaxBurstLength", "Reject");
  AppendPair(expected, "X-unknown", "NotUnderstood");
  EXPECT_EQ(initiator_->Next().data, expected);
  initiator_->Send(initiator_->Read(0, 2));
  EXPECT_EQ(initiator_->Next().data.size(), 512u);
  EXPECT_EQ(initiator_->Next().data.size(), 512u);
}

TEST_P(IscsiSession, RejectsTextThatIsMalformedTooLongOrOutOfTurn) {
  Bhs request = initiator_->Request(Opcode::kTextRequest);
  initiator_->Send(request, "no pair");
  ExpectReject(request, RejectReason::kInvalidPduField);
  request = initiator_->Request(Opcode::kTextRequest, kContinueFlag);
  initiator_->Send(request, std::string(kTextRequestBytesMax + 1, 'x'));
  ExpectReject(request, RejectReason::kLongOperationReject);
  request = initiator_->Request(Opcode::kTextRequest);
  request.SetU32(field::kTtt, 12345);
  initiator_->Send(request);
  ExpectReject(request, RejectReason::kInvalidPduField);
  ExpectAlive();
}

// -- Logical units

TEST_P(IscsiSession, AnswersForUnitsThatAreNotThere) {
  for (const uint64_t lun : {uint64_t{0}, uint64_t{2} << 48, uint64_t{0xffff} << 48, kLun1 | 1}) {
    Bhs bhs = TestUnitReady();
    bhs.SetU64(field::kLun, lun);
    initiator_->Send(bhs);
    EXPECT_EQ(SenseOf(initiator_->Next()), "05/25/00") << lun;
  }
}

TEST(IscsiLun, IsReadInTheTwoFormsOfOneLevel) {
  EXPECT_EQ(LunNumber(kLun1), 1u);
  EXPECT_EQ(LunNumber(0x4001'0000'0000'0000), 1u);
  EXPECT_EQ(LunNumber(0x7fff'0000'0000'0000), 0x3fffu);
  EXPECT_EQ(LunNumber(0x0101'0000'0000'0000), std::nullopt);  // another bus
  EXPECT_EQ(LunNumber(0xc101'0000'0000'0000), std::nullopt);  // extended
  EXPECT_EQ(LunNumber(0x0001'0001'0000'0000), std::nullopt);  // two levels
}

// -- Logout (11.14)

TEST_P(IscsiSession, LogsOutAndCloses) {
  const Bhs logout = initiator_->Logout();
  initiator_->Send(logout);
  const std::vector<Pdu> rest = initiator_->ReceiveToEnd();
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest[0].bhs.opcode(), Opcode::kLogoutResponse);
  EXPECT_EQ(rest[0].bhs.itt(), logout.itt());
  EXPECT_EQ(rest[0].bhs.U8(field::kResponse), 0);
  AwaitSessions(0);
}

TEST_P(IscsiSession, LogsOutOnlyWhenItsTasksCanChangeNothingAnyMore) {
  HoldWrites();
  initiator_->Send(initiator_->Write(0, 8), std::string(4096, 'w'));
  AwaitHeldWrites(1);
  initiator_->Send(initiator_->Logout());
  const Bhs snack = initiator_->Immediate(Opcode::kSnackRequest);
  initiator_->Send(snack);
  ExpectReject(snack, RejectReason::kSnackReject);  // The logout has been read and not answered.
  auto other = OpenSession({.isid_qualifier = 2});
  ReleaseWrites();
  const std::vector<Pdu> rest = initiator_->ReceiveToEnd();
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest[0].bhs.opcode(), Opcode::kLogoutResponse);
  other->Send(other->Read(0, 8));
  EXPECT_EQ(other->Next().data, std::string(4096, 'w'));
}

TEST_P(IscsiSession, RefusesLogoutsThatItCannotDo) {
  initiator_->Send(initiator_->Logout(LogoutReason::kRemoveForRecovery));
  EXPECT_EQ(initiator_->Next().bhs.U8(field::kResponse),
            static_cast<uint8_t>(LogoutResponse::kRecoveryNotSupported));
  Bhs other_connection = initiator_->Logout(LogoutReason::kCloseConnection);
  other_connection.SetU16(field::kCid, 7);
  initiator_->Send(other_connection);
  EXPECT_EQ(initiator_->Next().bhs.U8(field::kResponse),
            static_cast<uint8_t>(LogoutResponse::kCidNotFound));
  const Bhs unknown = initiator_->Logout(static_cast<LogoutReason>(9));
  initiator_->Send(unknown);
  ExpectReject(unknown, RejectReason::kInvalidPduField);
  initiator_->Send(initiator_->Logout(LogoutReason::kCloseConnection));
  EXPECT_EQ(initiator_->ReceiveToEnd().size(), 1u);
}

// -- PDUs that break the rules: each gets the answer of the table.

TEST_P(IscsiSession, RejectsWhatItDoesNotSupportAndGoesOn) {
  Bhs unknown = initiator_->Immediate(static_cast<Opcode>(0x1c));
  initiator_->Send(unknown, "vendor specific");
  ExpectReject(unknown, RejectReason::kCommandNotSupported);
  const Bhs snack = initiator_->Immediate(Opcode::kSnackRequest);
  initiator_->Send(snack);
  ExpectReject(snack, RejectReason::kSnackReject);
  ExpectAlive();
}

TEST_P(IscsiSession, RejectsACommandThatHasLengthButNoDirection) {
  Bhs bhs = TestUnitReady();
  bhs.SetU32(field::kEdtl, 512);
  initiator_->Send(bhs);
  ExpectReject(bhs, RejectReason::kInvalidPduField);
  ExpectAlive();
}

TEST_P(IscsiSession, RejectsATagThatIsInUse) {
  HoldWrites();
  const Bhs write = initiator_->Write(0, 8);
  initiator_->Send(write, std::string(4096, 'w'));
  Bhs again = TestUnitReady();
  again.SetU32(field::kItt, write.itt());
  initiator_->Send(again);
  ExpectReject(again, RejectReason::kTaskInProgress);
  ReleaseWrites();
  EXPECT_THAT(TagsOfNext(1), ElementsAre(write.itt()));
  ExpectAlive();
}

TEST_P(IscsiSession, RejectsACommandBlockOfMoreThanSixteenBytes) {
  Bhs bhs = TestUnitReady();
  bhs.SetU8(field::kAhsWords, 4);
  std::vector<std::byte> bytes(bhs.bytes().begin(), bhs.bytes().end());
  bytes.resize(bytes.size() + 16);
  initiator_->SendBytes(bytes);
  ExpectReject(bhs, RejectReason::kCommandNotSupported);
  ExpectAlive();
}

TEST_P(IscsiSession, ClosesAfterAnOpcodeThatOnlyTargetsSendOrALogin) {
  for (const Opcode opcode : {Opcode::kScsiResponse, Opcode::kLoginRequest}) {
    initiator_ = OpenSession();
    const Bhs bad = initiator_->Immediate(opcode);
    initiator_->Send(bad);
    const std::vector<Pdu> rest = initiator_->ReceiveToEnd();
    ASSERT_EQ(rest.size(), 1u);
    EXPECT_EQ(rest[0].bhs.opcode(), Opcode::kReject);
    EXPECT_EQ(rest[0].bhs.U8(field::kResponse), static_cast<uint8_t>(RejectReason::kProtocolError));
  }
}

TEST_P(IscsiSession, ClosesAfterADataSegmentThatIsTooLong) {
  Bhs bhs = initiator_->Request(Opcode::kNopOut);
  bhs.SetDataSegmentBytes(kPduDataSegmentBytesMax + 1);
  initiator_->SendBytes(bhs.bytes());
  const std::vector<Pdu> rest = initiator_->ReceiveToEnd();
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(rest[0].bhs.opcode(), Opcode::kReject);
}

TEST_P(IscsiSession, ClosesAfterAWrongDigest) {
  for (const bool in_header : {true, false}) {
    initiator_ = OpenSession({.header_digest = in_header, .data_digest = !in_header});
    Bhs bhs = initiator_->Request(Opcode::kNopOut);
    bhs.SetDataSegmentBytes(4);
    std::vector<std::byte> bytes(bhs.bytes().begin(), bhs.bytes().end());
    bytes.resize(bytes.size() + 8);  // digest and data, or data and digest, all zeros
    initiator_->SendBytes(bytes);
    const std::vector<Pdu> rest = initiator_->ReceiveToEnd();
    ASSERT_EQ(rest.size(), in_header ? 0u : 1u);
    if (!in_header) {
      EXPECT_EQ(rest[0].bhs.U8(field::kResponse),
                static_cast<uint8_t>(RejectReason::kDataDigestError));
    }
    AwaitSessions(0);
  }
}

TEST_P(IscsiSession, HasNoScsiInADiscoverySession) {
  initiator_ = std::make_unique<Initiator>(address_);
  ASSERT_EQ(initiator_->LoginTo({.target = ""}), LoginStatus::kSuccess);
  const Bhs bhs = initiator_->Read(0, 8);
  initiator_->Send(bhs);
  ExpectReject(bhs, RejectReason::kCommandNotSupported);
  initiator_->Send(initiator_->Logout());
  EXPECT_EQ(initiator_->ReceiveToEnd().size(), 1u);
}

}  // namespace
}  // namespace aurochs::iscsi::test
