// Task management (W6), end to end.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/limits.h"
#include "iscsi/server.h"
#include "iscsi_server_fixture.h"

namespace aurochs::iscsi::test {
namespace {

class IscsiTaskManagement : public ServerTest {
 protected:
  using Function = TaskManagementFunction;

  void SetUp() override {
    ServerTest::SetUp();
    initiator_ = OpenSession();
    other_ = OpenSession({.initiator = "iqn.other"});
  }
  void TearDown() override {
    initiator_ = nullptr;
    other_ = nullptr;
    ServerTest::TearDown();
  }

  static TaskManagementResponse ResponseOf(const Pdu& pdu) {
    EXPECT_EQ(pdu.bhs.opcode(), Opcode::kTaskManagementResponse);
    return static_cast<TaskManagementResponse>(pdu.bhs.U8(field::kResponse));
  }
  TaskManagementResponse Manage(Function function, uint64_t lun = kLun1,
                                uint32_t tag = kReservedTag) {
    initiator_->Send(initiator_->TaskManagement(function, lun, tag));
    return ResponseOf(initiator_->Next());
  }
  // Whether an immediate ping is answered before anything else.
  static void ExpectPongNext(Initiator& initiator) {
    const Bhs ping = initiator.Immediate(Opcode::kNopOut);
    initiator.Send(ping, "ping");
    EXPECT_EQ(initiator.Next().bhs.itt(), ping.itt());
  }
  Bhs SendHeldWrite(Initiator& initiator, size_t held) {
    HoldWrites();
    const Bhs write = initiator.Write(0, 8);
    initiator.Send(write, std::string(4096, 'w'));
    AwaitHeldWrites(held);
    return write;
  }

  std::unique_ptr<Initiator> initiator_;
  std::unique_ptr<Initiator> other_;
};

INSTANTIATE_FOR_EVERY_BACKEND(IscsiTaskManagement);

TEST_P(IscsiTaskManagement, AnswersAnAbortOnlyWhenTheTaskCanChangeNothingAnyMore) {
  for (const Function function :
       {Function::kAbortTask, Function::kAbortTaskSet, Function::kClearTaskSet,
        Function::kLogicalUnitReset, Function::kTargetWarmReset}) {
    const Bhs write = SendHeldWrite(*initiator_, 1);
    const Bhs request = initiator_->TaskManagement(function, kLun1, write.itt());
    initiator_->Send(request);
    ExpectPongNext(*initiator_);
    ReleaseWrites();
    const Pdu answer = initiator_->Next();
    EXPECT_EQ(answer.bhs.itt(), request.itt()) << static_cast<int>(function);
    EXPECT_EQ(ResponseOf(answer), TaskManagementResponse::kComplete);
    ExpectPongNext(*initiator_);        // The aborted write is never answered.
    initiator_->ClearUnitAttentions();  // A reset leaves one, to whoever asked for it too.
  }
}

TEST_P(IscsiTaskManagement, AbortsATaskThatWaitsForDataAtOnce) {
  const Bhs write = initiator_->Write(0, 16);
  initiator_->Send(write);
  const Pdu r2t = initiator_->Next();
  EXPECT_EQ(Manage(Function::kAbortTask, kLun1, write.itt()), TaskManagementResponse::kComplete);
  initiator_->Send(Initiator::DataOut(write, r2t.bhs.U32(field::kTtt), 0, 0),
                   std::string(8192, 'w'));
  initiator_->Send(initiator_->Read(0, 16));
  EXPECT_EQ(initiator_->Next().data, std::string(8192, '\0'));
}

TEST_P(IscsiTaskManagement, DoesNotSayAbortedOfATaskThatItHasAnswered) {
  // Sent as one, the two usually arrive as one: then the answer waits when the abort is read.
  const Bhs read = initiator_->Read(0, 8);
  const Bhs abort = initiator_->TaskManagement(Function::kAbortTask, kLun1, read.itt());
  std::vector<std::byte> both(read.bytes().begin(), read.bytes().end());
  both.insert(both.end(), abort.bytes().begin(), abort.bytes().end());
  initiator_->SendBytes(both);
  EXPECT_EQ(initiator_->Next().bhs.itt(), read.itt());
  EXPECT_EQ(ResponseOf(initiator_->Next()), TaskManagementResponse::kTaskDoesNotExist);
}

TEST_P(IscsiTaskManagement, TellsOtherInitiatorsThatTheirTasksAreAborted) {
  const Bhs write = SendHeldWrite(*other_, 1);
  initiator_->Send(initiator_->TaskManagement(Function::kLogicalUnitReset, kLun1, kReservedTag));
  ExpectPongNext(*initiator_);
  ReleaseWrites();
  EXPECT_EQ(ResponseOf(initiator_->Next()), TaskManagementResponse::kComplete);
  const Pdu answer = other_->Next();
  EXPECT_EQ(answer.bhs.itt(), write.itt());
  EXPECT_EQ(ScsiStatusOf(answer), static_cast<uint8_t>(scsi::Status::kTaskAborted));
  // And what happened to the unit.
  other_->Send(other_->Read(0, 8));
  EXPECT_EQ(SenseOf(other_->Next()).substr(0, 5), "06/29");
}

TEST_P(IscsiTaskManagement, LeavesTheTasksOfOthersAloneWhenASetIsAborted) {
  const Bhs write = SendHeldWrite(*other_, 1);
  EXPECT_EQ(Manage(Function::kAbortTaskSet), TaskManagementResponse::kComplete);
  ReleaseWrites();
  const Pdu answer = other_->Next();
  EXPECT_EQ(answer.bhs.itt(), write.itt());
  EXPECT_EQ(ScsiStatusOf(answer), 0);
}

TEST_P(IscsiTaskManagement, AnswersWhatItCannotDo) {
  using Response = TaskManagementResponse;
  EXPECT_EQ(Manage(Function::kAbortTask, kLun1, 4711), Response::kTaskDoesNotExist);
  EXPECT_EQ(Manage(Function::kAbortTaskSet, 0), Response::kLunDoesNotExist);
  EXPECT_EQ(Manage(Function::kLogicalUnitReset, uint64_t{2} << 48), Response::kLunDoesNotExist);
  EXPECT_EQ(Manage(Function::kClearAca), Response::kNotSupported);
  EXPECT_EQ(Manage(Function::kTaskReassign), Response::kReassignmentNotSupported);
  EXPECT_EQ(Manage(static_cast<Function>(77)), Response::kRejected);
}

// Each that waits remembers what it waits for, so that an initiator must not have any number of
// them.
TEST_P(IscsiTaskManagement, RejectsMoreFunctionsThanMayWait) {
  SendHeldWrite(*initiator_, 1);
  const auto abort_all = [this] {
    const Bhs request = initiator_->TaskManagement(Function::kAbortTaskSet, kLun1, kReservedTag);
    initiator_->Send(request);
    return request.itt();
  };
  std::vector<uint32_t> waiting;
  for (uint32_t i = 0; i < kTaskManagementOpenMax; ++i) waiting.push_back(abort_all());
  for (int i = 0; i < 3; ++i) {
    const uint32_t itt = abort_all();
    const Pdu answer = initiator_->Next();
    EXPECT_EQ(answer.bhs.itt(), itt);
    EXPECT_EQ(ResponseOf(answer), TaskManagementResponse::kRejected);
  }
  ReleaseWrites();
  for (const uint32_t itt : waiting) {
    const Pdu answer = initiator_->Next();
    EXPECT_EQ(answer.bhs.itt(), itt);
    EXPECT_EQ(ResponseOf(answer), TaskManagementResponse::kComplete);
  }
  EXPECT_EQ(Manage(Function::kAbortTaskSet), TaskManagementResponse::kComplete);
}

TEST_P(IscsiTaskManagement, DropsEverySessionAfterAColdReset) {
  EXPECT_EQ(Manage(Function::kTargetColdReset, 0), TaskManagementResponse::kComplete);
  EXPECT_TRUE(initiator_->ReceiveToEnd().empty());
  EXPECT_TRUE(other_->ReceiveToEnd().empty());
  AwaitSessions(0);
}

TEST_P(IscsiTaskManagement, CountsATaskThatNeverCameAsReceivedWhenItIsAborted) {
  const Bhs lost = initiator_->Read(0, 1);
  const Bhs read = initiator_->Read(8, 1);
  initiator_->Send(read);  // waits for the one before it
  Bhs abort = initiator_->TaskManagement(Function::kAbortTask, kLun1, lost.itt());
  abort.SetU32(field::kRefCmdSn, lost.U32(field::kCmdSn));
  initiator_->Send(abort);
  EXPECT_EQ(ResponseOf(initiator_->Next()), TaskManagementResponse::kComplete);
  EXPECT_EQ(initiator_->Next().bhs.itt(), read.itt());
  initiator_->Send(lost);  // late, and not wanted any more
  initiator_->Send(abort);
  EXPECT_EQ(ResponseOf(initiator_->Next()), TaskManagementResponse::kTaskDoesNotExist);
}

TEST_P(IscsiTaskManagement, SurvivesThatTheAskingInitiatorVanishes) {
  SendHeldWrite(*other_, 1);
  initiator_->Send(initiator_->TaskManagement(Function::kLogicalUnitReset, kLun1, kReservedTag));
  ExpectPongNext(*initiator_);
  initiator_->Close();
  AwaitSessions(1);
  ReleaseWrites();
  EXPECT_EQ(ScsiStatusOf(other_->Next()), static_cast<uint8_t>(scsi::Status::kTaskAborted));
}

}  // namespace
}  // namespace aurochs::iscsi::test
