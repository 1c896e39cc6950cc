// Metadata contexts: which are offered and selected, and what BLOCK_STATUS answers for several.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>

#include "nbd/meta_context.h"
#include "support/block_io.h"
#include "unit/nbd_transmission_fixture.h"

namespace aurochs::nbd {
namespace {

using aurochs::test::Pattern;
using aurochs::test::WriteTo;
using test::Bytes;
using test::ExtendedRequestMessage;
using test::kSize;
using test::Reply;
using test::StatusOf;
using test::Wire;
using testing::ElementsAre;

using Queries = std::vector<std::string_view>;

ExportDescription WithSnapshots(size_t count) {
  auto snapshots = std::make_shared<SnapshotNames>();
  for (size_t i = 0; i < count; ++i) {
    snapshots->push_back({"id" + std::to_string(i), "s" + std::to_string(i)});
  }
  ExportDescription one;
  one.name = "db";
  one.snapshots = std::move(snapshots);
  return one;
}

std::vector<std::string> Selected(const ExportDescription& chosen, const Queries& queries) {
  std::vector<std::string> all;
  const auto selected = SelectContexts(chosen, queries);
  if (!selected) return {"too many"};
  for (const MetaContext& one : *selected) {
    all.push_back(std::to_string(one.id) + " " + one.name + " " + one.snapshot_id);
  }
  return all;
}

// -- Offer and choice

TEST(NbdMetaContextTest, OffersOneContextForEachSnapshot) {
  const ExportDescription db = WithSnapshots(2);
  const auto everything = ElementsAre("base:allocation", "aurochs:dirty/s0", "aurochs:dirty/s1");
  EXPECT_THAT(ListContexts(db, Queries{}), everything);
  EXPECT_THAT(ListContexts(db, Queries{"base:", "aurochs:"}), everything);
  EXPECT_THAT(ListContexts(db, Queries{"aurochs:dirty/"}),
              ElementsAre("aurochs:dirty/s0", "aurochs:dirty/s1"));
  EXPECT_THAT(ListContexts(db, Queries{"aurochs:dirty/s1", "aurochs:dirty/s1", "aurochs:dirty/no"}),
              ElementsAre("aurochs:dirty/s1"));
  EXPECT_THAT(ListContexts(db, Queries{"aurochs:dirty", "aurochs", "aurochs:x", "x:dirty/s1"}),
              ElementsAre());
}

TEST(NbdMetaContextTest, ListsTheNewestSnapshotsAndSaysThatThereAreMore) {
  const auto all = ListContexts(WithSnapshots(kNbdContextsListedMax), Queries{"aurochs:"});
  EXPECT_EQ(all.size(), kNbdContextsListedMax);
  EXPECT_EQ(all.front(), "aurochs:dirty/s0");

  const ExportDescription many = WithSnapshots(kNbdContextsListedMax + 10);
  const auto newest = ListContexts(many, Queries{"aurochs:"});
  ASSERT_EQ(newest.size(), kNbdContextsListedMax + 1);
  EXPECT_EQ(newest.front(), "aurochs:dirty/s10");
  EXPECT_EQ(newest.back(), "aurochs:dirty/");
  // Those that are not listed are there all the same.
  EXPECT_THAT(ListContexts(many, Queries{"aurochs:dirty/s0"}), ElementsAre("aurochs:dirty/s0"));
  EXPECT_THAT(Selected(many, {"aurochs:dirty/s0"}), ElementsAre("1 aurochs:dirty/s0 id0"));
}

TEST(NbdMetaContextTest, SelectsWhatIsNamedInFullAndOnce) {
  const ExportDescription db = WithSnapshots(3);
  EXPECT_THAT(Selected(db, {"aurochs:dirty/s2", "base:allocation", "aurochs:dirty/s2"}),
              ElementsAre("1 aurochs:dirty/s2 id2", "2 base:allocation "));
  EXPECT_THAT(Selected(db, {"aurochs:", "aurochs:dirty/", "aurochs:dirty/s", "base:", ""}),
              ElementsAre());
}

TEST(NbdMetaContextTest, RefusesToSelectMoreThanOneReplyCanTellOf) {
  const ExportDescription many = WithSnapshots(kNbdContextsSelectedMax + 1);
  std::vector<std::string> names;
  for (const SnapshotName& one : *many.snapshots) names.push_back("aurochs:dirty/" + one.name);
  Queries queries(names.begin(), names.end());
  EXPECT_THAT(Selected(many, queries), ElementsAre("too many"));
  queries.pop_back();
  EXPECT_EQ(Selected(many, queries).size(), kNbdContextsSelectedMax);
}

// -- Answers

// A device in memory that knows snapshots, as far as a test has told it.
class DeviceWithPast : public BlockDevice {
 public:
  explicit DeviceWithPast(BlockDevice& inner) : inner_(inner) {}
  const DeviceInfo& info() const override { return inner_.info(); }
  void Submit(IoRequest* request) override { inner_.Submit(request); }
  void Submit(AllocationQuery* query) override { inner_.Submit(query); }
  void QueryChanges(ChangeQuery* query) override {
    asked_.push_back(query->runs_max);
    const auto found = changes_.find(query->since);
    if (found == changes_.end()) return query->complete(query, ErrorCode::kNotFound);
    uint64_t left_bytes = query->extent.length_bytes;
    for (ChangeRun run : found->second) {
      if (left_bytes == 0 || query->runs.size() == query->runs_max) break;
      run.length_bytes = std::min(run.length_bytes, left_bytes);
      left_bytes -= run.length_bytes;
      query->runs.push_back(run);
    }
    query->complete(query, ErrorCode::kOk);
  }

  std::map<std::string, std::vector<ChangeRun>> changes_;
  std::vector<uint32_t> asked_;

 private:
  BlockDevice& inner_;
};

class NbdBlockStatusTest : public test::TransmissionFixture {
 protected:
  NbdBlockStatusTest() {
    past_.changes_["old"] = {{8192, ChangeState::kSame},
                             {4096, ChangeState::kChanged},
                             {4096, ChangeState::kChangedToZeros}};
    past_.changes_["new"] = {{16384, ChangeState::kSame}};
    CHECK(WriteTo(memory_, 0, Pattern(4096, 1)) == ErrorCode::kOk);
    Negotiate(ReplyStyle::kStructured);
  }
  ~NbdBlockStatusTest() override { transmission_.reset(); }

  void Negotiate(ReplyStyle style) {
    style_ = style;
    output_.clear();
    const RequestRules rules{.replies = style,
                             .contexts = {{1, "aurochs:dirty/old", "old"},
                                          {2, "base:allocation", ""},
                                          {3, "aurochs:dirty/new", "new"}}};
    transmission_ = std::make_unique<Transmission>(checked_past_, rules, *this);
  }
  // An extended request with a payload: effect length and context ids.
  NbdError ErrorOfChoice(uint64_t length_bytes, const std::vector<uint32_t>& ids,
                         size_t extra_bytes = 0) {
    Wire payload;
    payload.U64(length_bytes);
    for (const uint32_t id : ids) payload.U32(id);
    payload.Append(Bytes(extra_bytes));
    SendAll(ExtendedRequestMessage(Command::kBlockStatus, ++cookie_, 0, payload.bytes().size(),
                                   kCommandFlagPayloadLen, payload.bytes()));
    replies_ = Replies();
    EXPECT_FALSE(replies_.empty());
    EXPECT_TRUE(replies_.back().is_last);
    return replies_.back().error;
  }

  DeviceWithPast past_{memory_};
  CheckedDevice checked_past_{past_};
  std::vector<Reply> replies_;
};

TEST_F(NbdBlockStatusTest, AnswersWithOneChunkForEachContextThatWasSelected) {
  for (const auto style : {ReplyStyle::kStructured, ReplyStyle::kExtended}) {
    Negotiate(style);
    Request(Command::kBlockStatus, 0, 16384);
    const auto replies = Replies();
    ASSERT_EQ(replies.size(), 3u);
    EXPECT_EQ(StatusOf(replies[0], 1), "8192:0 4096:1 4096:3");
    EXPECT_EQ(StatusOf(replies[1], 2), "4096:0 12288:3");
    EXPECT_EQ(StatusOf(replies[2], 3), "16384:0");
    EXPECT_FALSE(replies[0].is_last || replies[1].is_last);
    EXPECT_TRUE(replies[2].is_last);
    for (const Reply& one : replies) EXPECT_EQ(one.cookie, cookie_);
  }
}

TEST_F(NbdBlockStatusTest, TellsOfOneExtentIfOneIsAskedFor) {
  Request(Command::kBlockStatus, 0, 16384, kCommandFlagReqOne);
  const auto replies = Replies();
  ASSERT_EQ(replies.size(), 3u);
  EXPECT_EQ(StatusOf(replies[0], 1), "8192:0");
  EXPECT_EQ(StatusOf(replies[1], 2), "4096:0");
  EXPECT_EQ(StatusOf(replies[2], 3), "16384:0");
}

// What a client copies then is complete, and it can see that it is more than it had to be.
TEST_F(NbdBlockStatusTest, TellsThatEverythingMayHaveChangedSinceASnapshotThatIsGone) {
  past_.changes_.erase("old");
  for (const uint16_t flags : {uint16_t{0}, kCommandFlagReqOne}) {
    Request(Command::kBlockStatus, 4096, 8192, flags);
    const auto replies = Replies();
    ASSERT_EQ(replies.size(), 3u);
    EXPECT_EQ(StatusOf(replies[0], 1), "8192:5");
  }
}

TEST_F(NbdBlockStatusTest, FailsAsAWholeWhenOneContextFails) {
  faults_.FailQueries(ErrorCode::kIo);
  CheckedDevice failing(faults_);
  transmission_ = std::make_unique<Transmission>(
      failing,
      RequestRules{.replies = ReplyStyle::kStructured,
                   .contexts = {test::kAllocation, {2, "aurochs:dirty/old", "old"}}},
      *this);
  EXPECT_EQ(ErrorOf(Command::kBlockStatus, 0, 4096), NbdError::kEio);
  transmission_.reset();
}

TEST_F(NbdBlockStatusTest, SharesTheExtentsOfAReplyAmongItsContexts) {
  Request(Command::kBlockStatus, 0, 16384);
  (void)Replies();
  EXPECT_THAT(past_.asked_,
              ElementsAre(kNbdBlockStatusExtentsMax / 3, kNbdBlockStatusExtentsMax / 3));
}

TEST_F(NbdBlockStatusTest, TellsOnlyOfTheContextsInThePayload) {
  Negotiate(ReplyStyle::kExtended);
  EXPECT_EQ(ErrorOfChoice(12288, {3, 1}), NbdError::kNone);
  ASSERT_EQ(replies_.size(), 2u);
  EXPECT_EQ(StatusOf(replies_[0], 1), "8192:0 4096:1");
  EXPECT_EQ(StatusOf(replies_[1], 3), "12288:0");
}

TEST_F(NbdBlockStatusTest, PassesOverAPayloadThatIsWrongAndGoesOn) {
  Negotiate(ReplyStyle::kExtended);
  EXPECT_EQ(ErrorOfChoice(4096, {}), NbdError::kEinval);
  EXPECT_EQ(ErrorOfChoice(4096, {1, 1}), NbdError::kEinval) << "twice";
  EXPECT_EQ(ErrorOfChoice(4096, {1, 4}), NbdError::kEinval) << "not selected";
  EXPECT_EQ(ErrorOfChoice(4096, {1}, 3), NbdError::kEinval) << "half an id";
  EXPECT_EQ(ErrorOfChoice(4096, {1}, 4096 - 12), NbdError::kEinval) << "longer than any";
  EXPECT_EQ(ErrorOfChoice(0, {1}), NbdError::kEinval) << "nothing to tell";
  EXPECT_EQ(ErrorOfChoice(kSize + 512, {1}), NbdError::kEinval) << "beyond the end";
  EXPECT_EQ(ErrorOfChoice(UINT64_MAX, {1}), NbdError::kEinval) << "beyond the end of all";
  EXPECT_EQ(ErrorOfChoice(4096, {2}), NbdError::kNone);
}

TEST_F(NbdBlockStatusTest, CountsTheMemoryOfItsReplies) {
  for (int i = 0; i < 100; ++i) Request(Command::kBlockStatus, 0, 16384);
  EXPECT_GE(transmission_->pinned_bytes(), 100 * kBlockStatusBytesMax);
  EXPECT_LE(transmission_->pinned_bytes(), kConnectionBufferBytesMax);
  EXPECT_EQ(Replies().size(), 300u);
  transmission_->ReleaseIdleMemory();
  EXPECT_EQ(transmission_->pinned_bytes(), 0u);
}

}  // namespace
}  // namespace aurochs::nbd
