#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "host/export_slot.h"

namespace aurochs {
namespace {

Status Succeed() {
  return Status::Ok();
}

TEST(ExportSlot, OffersOnceAtATime) {
  ExportSlot slot;
  EXPECT_TRUE(slot.Offer("a", Succeed).ok());
  EXPECT_EQ(slot.Offer("b", Succeed).code(), ErrorCode::kAlreadyExists);
}

TEST(ExportSlot, StaysEmptyWhenTheFrontendRefuses) {
  ExportSlot slot;
  const auto refuse = [] { return Status(ErrorCode::kLimitExceeded, "no more"); };
  EXPECT_EQ(slot.Offer("a", refuse).code(), ErrorCode::kLimitExceeded);
  EXPECT_TRUE(slot.Offer("b", Succeed).ok());
}

TEST(ExportSlot, EndingNothingIsOkAtOnce) {
  ExportSlot slot;
  int ended = 0;
  slot.End([](const std::string&) { FAIL() << "there is nothing to remove"; },
           [&ended](const Status& status) { ended += status.ok() ? 1 : 0; });
  EXPECT_EQ(ended, 1);
}

TEST(ExportSlot, RemovesOnceAndTellsEverybodyWhoAsked) {
  ExportSlot slot;
  ASSERT_TRUE(slot.Offer("a", Succeed).ok());
  std::vector<std::string> removed;
  const auto remove = [&removed](const std::string& name) { removed.push_back(name); };
  int ended = 0;
  const auto done = [&ended](const Status&) { ++ended; };
  slot.End(remove, done);
  slot.End(remove, done);
  EXPECT_EQ(removed, std::vector<std::string>{"a"});
  EXPECT_EQ(ended, 0);
  EXPECT_EQ(slot.Offer("b", Succeed).code(), ErrorCode::kBusy);

  slot.Ended(Status::Ok());
  EXPECT_EQ(ended, 2);
  EXPECT_TRUE(slot.Offer("b", Succeed).ok());
}

}  // namespace
}  // namespace aurochs
