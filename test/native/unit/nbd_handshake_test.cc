#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "base/limits.h"
#include "nbd/handshake.h"
#include "unit/nbd_wire.h"

namespace aurochs::nbd {
namespace {

using test::Bytes;
using test::ClientFlags;
using test::InfoData;
using test::kFixedNoZeroes;
using test::MetaContextData;
using test::OptionAnswer;
using test::OptionMessage;
using test::ParseOptionAnswers;
using test::Wire;
using testing::ElementsAre;
using Outcome = Handshake::Outcome;

constexpr uint16_t kWritableFlags = kFlagHasFlags | kFlagSendFlush | kFlagSendFua | kFlagSendTrim |
                                    kFlagSendWriteZeroes | kFlagSendFastZero | kFlagCanMultiConn |
                                    kFlagSendCache;

class FakeCatalog : public ExportCatalog {
 public:
  void Add(ExportDescription one) { all_.push_back(std::move(one)); }
  std::optional<ExportDescription> Find(std::string_view name) const override {
    for (const auto& one : all_) {
      if (one.name == name) return one;
    }
    return std::nullopt;
  }
  std::vector<ExportDescription> List() const override { return all_; }

 private:
  std::vector<ExportDescription> all_;
};

ExportDescription Described(std::string name, uint64_t size_bytes) {
  ExportDescription one;
  one.name = std::move(name);
  one.description = "the volume " + one.name;
  one.info.size_bytes = size_bytes;
  return one;
}

class NbdHandshakeTest : public testing::Test {
 protected:
  NbdHandshakeTest() {
    catalog_.Add(Described("db", 64 * kMiB));
    catalog_.Add(Described("logs", 8 * kTiB));
  }

  void Begin(TlsMode tls_mode = TlsMode::kOff, uint32_t client_flags = kFixedNoZeroes) {
    handshake_.emplace(catalog_, tls_mode);
    ASSERT_EQ(Feed(ClientFlags(client_flags)), Outcome::kNeedMore);
  }

  // Feeds until more is needed or the phase is over; what the server says is in output_.
  Outcome Feed(const Bytes& bytes) {
    output_.clear();
    std::span<const std::byte> input(bytes);
    for (;;) {
      const Outcome outcome = handshake_->Consume(input, output_);
      if (outcome == Outcome::kAnswered) continue;
      if (outcome == Outcome::kNeedMore) rest_.assign(input.begin(), input.end());
      return outcome;
    }
  }

  std::vector<OptionAnswer> Ask(Option option, const Bytes& data = {}) {
    EXPECT_EQ(Feed(OptionMessage(option, data)), Outcome::kNeedMore);
    EXPECT_TRUE(rest_.empty());
    return ParseOptionAnswers(output_);
  }

  // The type of the one and only answer.
  OptionReply AskOne(Option option, const Bytes& data = {}) {
    const auto answers = Ask(option, data);
    EXPECT_EQ(answers.size(), 1u);
    EXPECT_EQ(answers.front().option, option);
    return answers.front().type;
  }

  static std::vector<std::string> ContextsIn(const std::vector<OptionAnswer>& answers) {
    std::vector<std::string> names;
    for (const auto& one : answers) {
      if (one.type == OptionReply::kMetaContext) names.push_back(one.text().substr(4));
    }
    return names;
  }

  FakeCatalog catalog_;
  std::optional<Handshake> handshake_;
  Bytes output_;
  Bytes rest_;
};

// -- Greeting and client flags

TEST_F(NbdHandshakeTest, GreetsWithFixedNewstyleAndNoZeroes) {
  handshake_.emplace(catalog_, TlsMode::kOff);
  handshake_->Greet(output_);
  EXPECT_EQ(output_, Wire().Text("NBDMAGICIHAVEOPT").U16(3).bytes());
  EXPECT_EQ(output_.size(), kGreetingBytes);
}

TEST_F(NbdHandshakeTest, ClosesOnClientFlagsItDoesNotKnow) {
  for (const uint32_t flags : {4u, 7u, 0x80000000u}) {
    handshake_.emplace(catalog_, TlsMode::kOff);
    EXPECT_EQ(Feed(ClientFlags(flags)), Outcome::kClose) << flags;
    EXPECT_TRUE(output_.empty());
  }
}

TEST_F(NbdHandshakeTest, ClosesOnAWrongOptionMagic) {
  Begin();
  EXPECT_EQ(Feed(Wire().U64(kOptionMagic + 1).U32(3).U32(0).bytes()), Outcome::kClose);
  EXPECT_TRUE(output_.empty());
}

TEST_F(NbdHandshakeTest, LetsAClientWithoutFixedNewstyleOnlyChooseAnExport) {
  Begin(TlsMode::kOff, 0);
  EXPECT_EQ(Feed(OptionMessage(Option::kList)), Outcome::kClose);
  EXPECT_TRUE(output_.empty());

  Begin(TlsMode::kOff, 0);
  EXPECT_EQ(Feed(OptionMessage(Option::kExportName, Wire().Text("db").bytes())),
            Outcome::kTransmission);
}

// -- EXPORT_NAME

TEST_F(NbdHandshakeTest, AnswersExportNameWithSizeAndFlags) {
  Begin();
  EXPECT_EQ(Feed(OptionMessage(Option::kExportName, Wire().Text("db").bytes())),
            Outcome::kTransmission);
  EXPECT_EQ(output_, Wire().U64(64 * kMiB).U16(kWritableFlags).bytes());
  EXPECT_EQ(handshake_->agreement().chosen.name, "db");
  EXPECT_EQ(handshake_->agreement().replies, ReplyStyle::kSimple);
}

TEST_F(NbdHandshakeTest, AddsTheReservedZeroesUnlessTheyAreRefused) {
  Begin(TlsMode::kOff, kFlagFixedNewstyle);
  EXPECT_EQ(Feed(OptionMessage(Option::kExportName, Wire().Text("db").bytes())),
            Outcome::kTransmission);
  EXPECT_EQ(output_, Wire().U64(64 * kMiB).U16(kWritableFlags).Append(Bytes(124)).bytes());
}

TEST_F(NbdHandshakeTest, ClosesOnAnExportNameThatItCannotServe) {
  for (const std::string name : {"", "nothing", "dbx"}) {
    Begin();
    EXPECT_EQ(Feed(OptionMessage(Option::kExportName, Wire().Text(name).bytes())), Outcome::kClose);
    EXPECT_TRUE(output_.empty());
  }
}

// -- ABORT, LIST, unknown options

TEST_F(NbdHandshakeTest, AcknowledgesAbortWithAndWithoutDataAndCloses) {
  for (const Bytes& data : {Bytes{}, Bytes(7)}) {
    Begin();
    EXPECT_EQ(Feed(OptionMessage(Option::kAbort, data)), Outcome::kClose);
    EXPECT_EQ(ParseOptionAnswers(output_).front().type, OptionReply::kAck);
  }
}

TEST_F(NbdHandshakeTest, ListsExportsWithTheirDescriptions) {
  Begin();
  const auto answers = Ask(Option::kList);
  ASSERT_EQ(answers.size(), 3u);
  EXPECT_EQ(answers[0].type, OptionReply::kServer);
  EXPECT_EQ(answers[0].data, Wire().String("db").Text("the volume db").bytes());
  EXPECT_EQ(answers[1].data, Wire().String("logs").Text("the volume logs").bytes());
  EXPECT_EQ(answers[2].type, OptionReply::kAck);
}

TEST_F(NbdHandshakeTest, RefusesListWithData) {
  Begin();
  EXPECT_EQ(AskOne(Option::kList, Bytes(1)), OptionReply::kErrInvalid);
}

TEST_F(NbdHandshakeTest, RefusesOptionsItDoesNotKnowAndUnderstandsTheNext) {
  Begin();
  for (const uint32_t number : {0u, 4u, 12u, 4711u, 0xffffffffu}) {
    EXPECT_EQ(AskOne(static_cast<Option>(number), Bytes(40)), OptionReply::kErrUnsup) << number;
  }
  EXPECT_EQ(AskOne(Option::kStructuredReply), OptionReply::kAck);
}

TEST_F(NbdHandshakeTest, PassesOverAnOptionThatIsTooLongAndUnderstandsTheNext) {
  Begin();
  const Bytes data(kNbdOptionBytesMax + 1);
  EXPECT_EQ(AskOne(Option::kInfo, data), OptionReply::kErrTooBig);
  EXPECT_EQ(AskOne(Option::kStructuredReply), OptionReply::kAck);

  EXPECT_EQ(Feed(OptionMessage(Option::kExportName, data)), Outcome::kClose);
}

TEST_F(NbdHandshakeTest, TakesAnOptionOfTheGreatestLength) {
  Begin();
  EXPECT_EQ(AskOne(Option::kInfo, Bytes(kNbdOptionBytesMax)), OptionReply::kErrInvalid);
}

TEST_F(NbdHandshakeTest, ClosesOnMoreOptionsThanAnybodyNeeds) {
  Begin();
  for (uint32_t i = 0; i < kNbdOptionsMax; ++i) {
    EXPECT_EQ(AskOne(Option::kStructuredReply), OptionReply::kAck);
  }
  EXPECT_EQ(Feed(OptionMessage(Option::kStructuredReply)), Outcome::kClose);
  EXPECT_TRUE(output_.empty());
}

// -- INFO and GO

TEST_F(NbdHandshakeTest, TellsTheSameForInfoAndGo) {
  Begin();
  const auto info = Ask(Option::kInfo, InfoData("logs"));
  ASSERT_EQ(info.size(), 3u);
  EXPECT_EQ(info[0].type, OptionReply::kInfo);
  EXPECT_EQ(info[0].data, Wire().U16(0).U64(8 * kTiB).U16(kWritableFlags).bytes());
  EXPECT_EQ(info[1].data, Wire().U16(3).U32(512).U32(4096).U32(32 * kMiB).bytes());
  EXPECT_EQ(info[2].type, OptionReply::kAck);

  EXPECT_EQ(Feed(OptionMessage(Option::kGo, InfoData("logs"))), Outcome::kTransmission);
  const auto go = ParseOptionAnswers(output_);
  ASSERT_EQ(go.size(), 3u);
  for (size_t i = 0; i < go.size(); ++i) {
    EXPECT_EQ(go[i].option, Option::kGo);
    EXPECT_EQ(go[i].type, info[i].type);
    EXPECT_EQ(go[i].data, info[i].data);
  }
  EXPECT_EQ(handshake_->agreement().chosen.name, "logs");
}

TEST_F(NbdHandshakeTest, TellsNameAndDescriptionWhenAsked) {
  Begin();
  const auto answers =
      Ask(Option::kInfo, InfoData("db", {InfoType::kDescription, InfoType::kName,
                                         static_cast<InfoType>(99), InfoType::kBlockSize}));
  ASSERT_EQ(answers.size(), 5u);
  EXPECT_EQ(answers[2].data, Wire().U16(1).Text("db").bytes());
  EXPECT_EQ(answers[3].data, Wire().U16(2).Text("the volume db").bytes());
}

TEST_F(NbdHandshakeTest, RefusesInfoAndGoForAnExportThatDoesNotExist) {
  Begin();
  for (const Option option : {Option::kInfo, Option::kGo}) {
    EXPECT_EQ(AskOne(option, InfoData("")), OptionReply::kErrUnknown);
    const auto answers = Ask(option, InfoData("nothing"));
    EXPECT_EQ(answers[0].type, OptionReply::kErrUnknown);
    EXPECT_EQ(answers[0].text(), "no export is named \"nothing\"");
  }
}

TEST_F(NbdHandshakeTest, RefusesInfoAndGoWhoseLengthsDoNotAddUp) {
  const std::vector<Bytes> malformed{
      {},
      Wire().U16(0).bytes(),
      Wire().U32(2).bytes(),                    // the name is missing
      Wire().U32(2).Text("db").bytes(),         // the count is missing
      Wire().U32(3).Text("db").U16(0).bytes(),  // the name takes the count's first byte
      Wire().U32(0xffffffff).Text("db").U16(0).bytes(),
      Wire().String("db").U16(1).bytes(),         // the information request is missing
      Wire().String("db").U16(0).U16(0).bytes(),  // one is too many
      Wire().String("db").U16(0xffff).U16(0).bytes(),
  };
  Begin();
  for (const Bytes& data : malformed) {
    EXPECT_EQ(AskOne(Option::kInfo, data), OptionReply::kErrInvalid);
    EXPECT_EQ(AskOne(Option::kGo, data), OptionReply::kErrInvalid);
  }
}

TEST_F(NbdHandshakeTest, SetsTransmissionFlagsTruthfully) {
  ExportDescription one = Described("x", kMiB);
  EXPECT_EQ(TransmissionFlagsFor(one, ReplyStyle::kSimple), kWritableFlags);
  EXPECT_EQ(TransmissionFlagsFor(one, ReplyStyle::kStructured), kWritableFlags | kFlagSendDf);
  EXPECT_EQ(TransmissionFlagsFor(one, ReplyStyle::kExtended), kWritableFlags | kFlagSendDf);

  one.info.can_unmap = false;
  EXPECT_EQ(TransmissionFlagsFor(one, ReplyStyle::kSimple), kWritableFlags & ~kFlagSendTrim);

  one.read_only = true;
  const uint16_t read_only_flags = kFlagHasFlags | kFlagReadOnly | kFlagSendFlush | kFlagSendFua |
                                   kFlagCanMultiConn | kFlagSendCache;
  EXPECT_EQ(TransmissionFlagsFor(one, ReplyStyle::kSimple), read_only_flags);
  one.read_only = false;
  one.info.read_only = true;
  EXPECT_EQ(TransmissionFlagsFor(one, ReplyStyle::kSimple), read_only_flags);
}

// -- Structured replies and metadata contexts

TEST_F(NbdHandshakeTest, NegotiatesStructuredReplies) {
  Begin();
  EXPECT_EQ(AskOne(Option::kStructuredReply, Bytes(1)), OptionReply::kErrInvalid);
  EXPECT_EQ(AskOne(Option::kStructuredReply), OptionReply::kAck);
  EXPECT_EQ(Feed(OptionMessage(Option::kGo, InfoData("db"))), Outcome::kTransmission);
  EXPECT_EQ(handshake_->agreement().replies, ReplyStyle::kStructured);
  EXPECT_TRUE(handshake_->agreement().contexts.empty());
}

TEST_F(NbdHandshakeTest, NegotiatesExtendedHeadersWhichTakePrecedence) {
  for (const bool structured_first : {false, true}) {
    Begin();
    if (structured_first) (void)Ask(Option::kStructuredReply);
    EXPECT_EQ(AskOne(Option::kExtendedHeaders, Bytes(1)), OptionReply::kErrInvalid);
    EXPECT_EQ(AskOne(Option::kExtendedHeaders), OptionReply::kAck);
    EXPECT_EQ(AskOne(Option::kStructuredReply), OptionReply::kErrExtHeaderReqd);
    EXPECT_EQ(ContextsIn(Ask(Option::kSetMetaContext, MetaContextData("db", {"base:allocation"}))),
              std::vector<std::string>{"base:allocation"});
    EXPECT_EQ(Feed(OptionMessage(Option::kGo, InfoData("db"))), Outcome::kTransmission);
    EXPECT_EQ(handshake_->agreement().replies, ReplyStyle::kExtended);
    EXPECT_EQ(handshake_->agreement().contexts.size(), 1u);
  }
}

TEST_F(NbdHandshakeTest, ClosesOnExportNameAfterExtendedHeaders) {
  Begin();
  EXPECT_EQ(AskOne(Option::kExtendedHeaders), OptionReply::kAck);
  EXPECT_EQ(Feed(OptionMessage(Option::kExportName, Wire().Text("db").bytes())), Outcome::kClose);
  EXPECT_TRUE(output_.empty());
}

TEST_F(NbdHandshakeTest, RefusesMetadataContextsBeforeStructuredReplies) {
  Begin();
  for (const Option option : {Option::kListMetaContext, Option::kSetMetaContext}) {
    EXPECT_EQ(AskOne(option, MetaContextData("db", {})), OptionReply::kErrInvalid);
  }
}

TEST_F(NbdHandshakeTest, ListsTheContextsThatAQueryMatches) {
  Begin();
  (void)Ask(Option::kStructuredReply);
  const auto listed = [&](const std::vector<std::string>& queries) {
    const auto answers = Ask(Option::kListMetaContext, MetaContextData("db", queries));
    EXPECT_EQ(answers.back().type, OptionReply::kAck);
    return ContextsIn(answers);
  };
  EXPECT_THAT(listed({}), ElementsAre("base:allocation"));
  EXPECT_THAT(listed({"base:"}), ElementsAre("base:allocation"));
  EXPECT_THAT(listed({"base:allocation"}), ElementsAre("base:allocation"));
  EXPECT_THAT(listed({"base:allocation", "base:", "base:allocation"}),
              ElementsAre("base:allocation"));
  EXPECT_THAT(listed({"base:alloc"}), ElementsAre());
  EXPECT_THAT(listed({"qemu:dirty-bitmap:x", "x-y:", "nonsense", ""}), ElementsAre());
}

TEST_F(NbdHandshakeTest, SelectsOnlyContextsThatAreNamedInFull) {
  Begin();
  (void)Ask(Option::kStructuredReply);
  const auto selected = [&](const std::vector<std::string>& queries) {
    return ContextsIn(Ask(Option::kSetMetaContext, MetaContextData("db", queries)));
  };
  EXPECT_THAT(selected({}), ElementsAre());
  EXPECT_THAT(selected({"base:"}), ElementsAre());
  EXPECT_THAT(selected({"qemu:allocation-depth"}), ElementsAre());
  EXPECT_THAT(selected({"base:allocation", "base:allocation"}), ElementsAre("base:allocation"));

  EXPECT_EQ(Feed(OptionMessage(Option::kGo, InfoData("db"))), Outcome::kTransmission);
  EXPECT_EQ(handshake_->agreement().contexts.size(), 1u);
}

TEST_F(NbdHandshakeTest, ForgetsASelectionThatWasMadeForAnotherExportOrReplaced) {
  const Bytes select = MetaContextData("db", {"base:allocation"});
  struct Case {
    const char* why;
    Bytes then;  // a further SET_META_CONTEXT, if any
    const char* go;
  };
  const std::vector<Case> cases{
      {"another export", {}, "logs"},
      {"replaced by nothing", MetaContextData("db", {}), "db"},
      {"replaced for another export", MetaContextData("logs", {"base:allocation"}), "db"},
      {"replaced by one that failed", Wire().U32(99).bytes(), "db"},
      {"replaced for an unknown export", MetaContextData("no", {"base:allocation"}), "db"},
  };
  for (const Case& one : cases) {
    Begin();
    (void)Ask(Option::kStructuredReply);
    (void)Ask(Option::kSetMetaContext, select);
    if (!one.then.empty()) (void)Ask(Option::kSetMetaContext, one.then);
    EXPECT_EQ(Feed(OptionMessage(Option::kGo, InfoData(one.go))), Outcome::kTransmission);
    EXPECT_TRUE(handshake_->agreement().contexts.empty()) << one.why;
  }
}

TEST_F(NbdHandshakeTest, RefusesMoreQueriesThanAnybodyNeeds) {
  Begin();
  (void)Ask(Option::kStructuredReply);
  const std::vector<std::string> most(kNbdContextQueriesMax, "base:allocation");
  std::vector<std::string> more(most);
  more.emplace_back("x:");
  for (const Option option : {Option::kListMetaContext, Option::kSetMetaContext}) {
    EXPECT_EQ(ContextsIn(Ask(option, MetaContextData("db", most))).size(), 1u);
    EXPECT_EQ(AskOne(option, MetaContextData("db", more)), OptionReply::kErrTooBig);
  }
  EXPECT_EQ(Feed(OptionMessage(Option::kGo, InfoData("db"))), Outcome::kTransmission);
  EXPECT_TRUE(handshake_->agreement().contexts.empty());
}

TEST_F(NbdHandshakeTest, OffersToChooseAmongContextsOnlyWhereThereAreSome) {
  const auto flags_of = [&](const char* name) {
    return LoadBigEndian<uint16_t>(Ask(Option::kInfo, InfoData(name))[0].data.data() + 10);
  };
  Begin();
  (void)Ask(Option::kStructuredReply);
  (void)Ask(Option::kSetMetaContext, MetaContextData("db", {"base:allocation"}));
  EXPECT_EQ(flags_of("db") & kFlagBlockStatusPayload, 0);
  (void)Ask(Option::kExtendedHeaders);
  EXPECT_NE(flags_of("db") & kFlagBlockStatusPayload, 0);
  EXPECT_EQ(flags_of("logs") & kFlagBlockStatusPayload, 0);
}

TEST_F(NbdHandshakeTest, RefusesMetadataQueriesWhoseLengthsDoNotAddUp) {
  const std::vector<Bytes> malformed{
      {},
      Wire().U32(3).Text("db").bytes(),
      Wire().String("db").bytes(),         // the count is missing
      Wire().String("db").U32(1).bytes(),  // the query is missing
      Wire().String("db").U32(1).U32(6).Text("base:").bytes(),
      Wire().String("db").U32(0xffffffff).String("base:").bytes(),
      Wire().String("db").U32(0).String("base:").bytes(),  // one is too many
  };
  Begin();
  (void)Ask(Option::kStructuredReply);
  for (const Bytes& data : malformed) {
    EXPECT_EQ(AskOne(Option::kListMetaContext, data), OptionReply::kErrInvalid);
    EXPECT_EQ(AskOne(Option::kSetMetaContext, data), OptionReply::kErrInvalid);
  }
  EXPECT_EQ(AskOne(Option::kSetMetaContext, MetaContextData("no", {})), OptionReply::kErrUnknown);
}

// -- TLS

TEST_F(NbdHandshakeTest, RefusesTlsThatIsNotSetUp) {
  Begin(TlsMode::kOff);
  EXPECT_EQ(AskOne(Option::kStartTls), OptionReply::kErrPolicy);
  EXPECT_EQ(AskOne(Option::kList, Bytes(1)), OptionReply::kErrInvalid);
}

TEST_F(NbdHandshakeTest, StartsTlsOnceAndForgetsWhatWasSaidBefore) {
  Begin(TlsMode::kOptional);
  (void)Ask(Option::kExtendedHeaders);
  (void)Ask(Option::kSetMetaContext, MetaContextData("db", {"base:allocation"}));
  EXPECT_EQ(AskOne(Option::kStartTls, Bytes(1)), OptionReply::kErrInvalid);

  EXPECT_EQ(Feed(OptionMessage(Option::kStartTls)), Outcome::kStartTls);
  EXPECT_EQ(ParseOptionAnswers(output_).front().type, OptionReply::kAck);
  handshake_->TlsStarted();

  EXPECT_EQ(AskOne(Option::kStartTls), OptionReply::kErrInvalid);
  EXPECT_EQ(Feed(OptionMessage(Option::kGo, InfoData("db"))), Outcome::kTransmission);
  EXPECT_EQ(handshake_->agreement().replies, ReplyStyle::kSimple);
  EXPECT_TRUE(handshake_->agreement().contexts.empty());
}

TEST_F(NbdHandshakeTest, LetsOptionalTlsBeLeftOut) {
  Begin(TlsMode::kOptional);
  EXPECT_EQ(Feed(OptionMessage(Option::kGo, InfoData("db"))), Outcome::kTransmission);
}

TEST_F(NbdHandshakeTest, ServesNothingBeforeTlsWhereItIsRequired) {
  Begin(TlsMode::kRequired);
  for (const uint32_t number : {3u, 4u, 6u, 7u, 8u, 9u, 10u, 11u, 4711u}) {
    EXPECT_EQ(AskOne(static_cast<Option>(number), InfoData("db")), OptionReply::kErrTlsReqd)
        << number;
  }
  EXPECT_EQ(Feed(OptionMessage(Option::kStartTls)), Outcome::kStartTls);
  handshake_->TlsStarted();
  EXPECT_EQ(Feed(OptionMessage(Option::kGo, InfoData("db"))), Outcome::kTransmission);

  Begin(TlsMode::kRequired);
  EXPECT_EQ(Feed(OptionMessage(Option::kExportName, Wire().Text("db").bytes())), Outcome::kClose);
  EXPECT_TRUE(output_.empty());
  Begin(TlsMode::kRequired);
  EXPECT_EQ(Feed(OptionMessage(Option::kAbort)), Outcome::kClose);
}

// -- How bytes arrive

TEST_F(NbdHandshakeTest, GivesTheSameAnswersWhenBytesArriveOneByOne) {
  const Bytes said = Wire()
                         .Append(ClientFlags(kFixedNoZeroes))
                         .Append(OptionMessage(Option::kStructuredReply))
                         .Append(OptionMessage(Option::kInfo, Bytes(kNbdOptionBytesMax + 5)))
                         .Append(OptionMessage(Option::kList))
                         .Append(OptionMessage(Option::kGo, InfoData("db")))
                         .Append(Bytes(3))
                         .bytes();
  handshake_.emplace(catalog_, TlsMode::kOff);
  EXPECT_EQ(Feed(said), Outcome::kTransmission);
  const Bytes at_once = output_;

  handshake_.emplace(catalog_, TlsMode::kOff);
  Bytes pending;
  Bytes one_by_one;
  Outcome outcome = Outcome::kNeedMore;
  size_t fed = 0;
  while (outcome != Outcome::kTransmission) {
    ASSERT_LT(fed, said.size());
    pending.push_back(said[fed++]);
    do {
      std::span<const std::byte> input(pending);
      outcome = handshake_->Consume(input, one_by_one);
      pending.assign(input.begin(), input.end());
    } while (outcome == Outcome::kAnswered);
    ASSERT_LE(pending.size(), kNbdOptionBytesMax + kOptionHeaderBytes);
  }
  EXPECT_EQ(fed, said.size() - 3);
  EXPECT_EQ(one_by_one, at_once);
}

TEST_F(NbdHandshakeTest, LeavesWhatFollowsTheLastOptionToTheTransmissionPhase) {
  Begin();
  const Bytes said = Wire().Append(OptionMessage(Option::kGo, InfoData("db"))).Text("next").bytes();
  std::span<const std::byte> input(said);
  EXPECT_EQ(handshake_->Consume(input, output_), Outcome::kTransmission);
  EXPECT_EQ(Bytes(input.begin(), input.end()), Wire().Text("next").bytes());
}

TEST_F(NbdHandshakeTest, SurvivesOptionsOfRandomContent) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 2000; ++round) {
    Begin(static_cast<TlsMode>(random() % 3));
    if (random() % 2 == 0) (void)Feed(OptionMessage(Option::kStructuredReply));
    Bytes data(random() % 64);
    for (std::byte& one : data) one = static_cast<std::byte>(random() % 4 == 0 ? random() : 0);
    const Bytes message = OptionMessage(static_cast<Option>(random() % 13), data);
    output_.clear();
    std::span<const std::byte> input(message);
    const Outcome outcome = handshake_->Consume(input, output_);
    EXPECT_NE(outcome, Outcome::kNeedMore);
    EXPECT_TRUE(input.empty() || outcome == Outcome::kClose);
    const bool silent = outcome == Outcome::kClose && output_.empty();
    if (!silent && outcome != Outcome::kTransmission) {
      EXPECT_FALSE(ParseOptionAnswers(output_).empty());
    }
  }
}

}  // namespace
}  // namespace aurochs::nbd
