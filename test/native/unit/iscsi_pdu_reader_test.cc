#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "base/crc32c.h"
#include "iscsi/pdu_reader.h"
#include "iscsi/pdu_writer.h"
#include "iscsi/text_keys.h"

namespace aurochs::iscsi {
namespace {

using Bytes = std::vector<std::byte>;

struct Digests {
  bool header = false;
  bool data = false;
};

void AppendLittleEndian(Bytes& to, uint32_t value) {
  for (int i = 0; i < 4; ++i) to.push_back(static_cast<std::byte>(value >> (8 * i)));
}

// The bytes of a PDU, made without the code under test.
Bytes Encode(Bhs bhs, const std::string& data, size_t ahs_bytes, Digests digests) {
  bhs.SetU8(field::kAhsWords, static_cast<uint8_t>(ahs_bytes / 4));
  bhs.SetDataSegmentBytes(static_cast<uint32_t>(data.size()));
  Bytes bytes(bhs.bytes().begin(), bhs.bytes().end());
  bytes.insert(bytes.end(), ahs_bytes, std::byte{0xa5});
  if (digests.header) AppendLittleEndian(bytes, Crc32c(bytes));
  const size_t data_start = bytes.size();
  for (char c : data) bytes.push_back(static_cast<std::byte>(c));
  while ((bytes.size() - data_start) % 4 != 0) bytes.push_back(std::byte{0});
  if (digests.data && !data.empty()) {
    AppendLittleEndian(bytes, Crc32c(std::span(bytes).subspan(data_start)));
  }
  return bytes;
}

Bhs NopOut(uint32_t itt) {
  Bhs bhs(Opcode::kNopOut);
  bhs.SetU32(field::kItt, itt);
  return bhs;
}

// Puts `bytes` into the space that the reader gives; it must have room for them.
void Receive(PduReader& reader, std::span<const std::byte> bytes) {
  std::array<iovec, 2> pieces;
  const size_t count = reader.Space(pieces);
  size_t taken = 0;
  for (size_t i = 0; i < count; ++i) {
    const size_t here = std::min(pieces[i].iov_len, bytes.size() - taken);
    if (here > 0) std::memcpy(pieces[i].iov_base, bytes.data() + taken, here);
    taken += here;
  }
  ASSERT_EQ(taken, bytes.size());
  reader.Received(taken);
}

size_t RoomIn(PduReader& reader) {
  std::array<iovec, 2> pieces;
  const size_t count = reader.Space(pieces);
  size_t room = 0;
  for (size_t i = 0; i < count; ++i) room += pieces[i].iov_len;
  return room;
}

struct Seen {
  uint32_t itt;
  std::string data;
  friend bool operator==(const Seen&, const Seen&) = default;
};

// Takes all complete PDUs; data segments of at least `redirect_from` bytes go to memory elsewhere.
class Taker {
 public:
  Taker(PduReader& reader, size_t redirect_from) : reader_(reader), redirect_from_(redirect_from) {}

  PduReader::Event TakeAll() {
    for (;;) {
      const PduReader::Event event = reader_.Next();
      switch (event) {
        case PduReader::Event::kHeader:
          if (reader_.bhs().data_segment_bytes() >= redirect_from_) {
            memory_.assign(reader_.bhs().data_segment_bytes(), std::byte{0xee});
            reader_.RedirectData(memory_.data());
          }
          break;
        case PduReader::Event::kPdu:
          EXPECT_TRUE(reader_.data_digest_matches());
          seen.push_back({reader_.bhs().itt(), std::string(AsText(reader_.data()))});
          break;
        default: return event;
      }
    }
  }

  std::vector<Seen> seen;

 private:
  PduReader& reader_;
  size_t redirect_from_;
  Bytes memory_;
};

struct Case {
  Digests digests;
  size_t redirect_from;
};

class IscsiPduReader : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override { reader_.SetDigests(GetParam().digests.header, GetParam().digests.data); }

  void Add(const std::string& data, size_t ahs_bytes = 0) {
    const auto itt = static_cast<uint32_t>(expected_.size() + 1);
    const Bytes bytes = Encode(NopOut(itt), data, ahs_bytes, GetParam().digests);
    stream_.insert(stream_.end(), bytes.begin(), bytes.end());
    expected_.push_back({itt, data});
  }

  static constexpr uint32_t kDataMax = 5000;
  PduReader reader_{kDataMax};
  Bytes stream_;
  std::vector<Seen> expected_;
};

TEST_P(IscsiPduReader, CutsTheSamePdusFromAStreamThatArrivesByteByByte) {
  Add("");
  Add("x");
  Add("four", 8);
  Add(std::string(1000, 'd'), 1020);
  Add("end");
  Taker taker(reader_, GetParam().redirect_from);
  for (const std::byte& byte : stream_) {
    Receive(reader_, {&byte, 1});
    ASSERT_EQ(taker.TakeAll(), PduReader::Event::kNeedBytes);
  }
  EXPECT_EQ(taker.seen, expected_);
}

TEST_P(IscsiPduReader, CutsTheSamePdusFromAStreamThatArrivesInRandomPieces) {
  const unsigned seed = std::random_device{}();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  for (int i = 0; i < 500; ++i) {
    std::string data(random() % 3 == 0 ? 0 : random() % (kDataMax + 1), '\0');
    for (char& c : data) c = static_cast<char>(random());
    Add(data, random() % 8 == 0 ? random() % 256 * 4 : 0);
  }
  Taker taker(reader_, GetParam().redirect_from);
  for (size_t at = 0; at < stream_.size();) {
    const size_t piece = 1 + random() % (1u << random() % 13);
    const size_t now = std::min({piece, stream_.size() - at, RoomIn(reader_)});
    Receive(reader_, std::span(stream_).subspan(at, now));
    at += now;
    ASSERT_EQ(taker.TakeAll(), PduReader::Event::kNeedBytes);
  }
  EXPECT_EQ(taker.seen, expected_);
  EXPECT_TRUE(reader_.unused().empty());
}

INSTANTIATE_TEST_SUITE_P(Ways, IscsiPduReader,
                         testing::Values(Case{{false, false}, SIZE_MAX}, Case{{false, false}, 1},
                                         Case{{true, false}, 300}, Case{{false, true}, SIZE_MAX},
                                         Case{{true, true}, 1}, Case{{true, true}, 300}));

TEST(IscsiPduReaderErrors, AFalseHeaderDigestBreaksTheStreamForGood) {
  PduReader reader(1000);
  reader.SetDigests(true, false);
  Bytes bytes = Encode(NopOut(1), "", 0, {true, false});
  bytes[20] ^= std::byte{1};
  Receive(reader, bytes);
  EXPECT_EQ(reader.Next(), PduReader::Event::kHeaderDigestError);
  Receive(reader, Encode(NopOut(2), "", 0, {true, false}));
  EXPECT_EQ(reader.Next(), PduReader::Event::kHeaderDigestError);
}

TEST(IscsiPduReaderErrors, AFalseDataDigestSpoilsOnlyItsPdu) {
  PduReader reader(1000);
  reader.SetDigests(false, true);
  Bytes bytes = Encode(NopOut(1), "data", 0, {false, true});
  bytes[50] ^= std::byte{1};
  Receive(reader, bytes);
  EXPECT_EQ(reader.Next(), PduReader::Event::kHeader);
  EXPECT_EQ(reader.Next(), PduReader::Event::kPdu);
  EXPECT_FALSE(reader.data_digest_matches());
  Receive(reader, Encode(NopOut(2), "data", 0, {false, true}));
  EXPECT_EQ(reader.Next(), PduReader::Event::kHeader);
  EXPECT_EQ(reader.Next(), PduReader::Event::kPdu);
  EXPECT_TRUE(reader.data_digest_matches());
}

TEST(IscsiPduReaderErrors, ADataSegmentBeyondTheDeclaredLengthIsNotAwaited) {
  PduReader reader(1000);
  Bytes bytes = Encode(NopOut(1), std::string(1001, 'x'), 0, {});
  bytes.resize(kBhsBytes);
  Receive(reader, bytes);
  EXPECT_EQ(reader.Next(), PduReader::Event::kDataTooLong);
}

TEST(IscsiPduReaderErrors, WhatOneReaderHasNotUsedAnotherCanReadOn) {
  PduReader first(1000);
  Bytes bytes = Encode(NopOut(1), "one", 0, {});
  const Bytes second_pdu = Encode(NopOut(2), "two", 0, {});
  bytes.insert(bytes.end(), second_pdu.begin(), second_pdu.begin() + 30);
  Receive(first, bytes);
  EXPECT_EQ(first.Next(), PduReader::Event::kHeader);
  EXPECT_EQ(first.Next(), PduReader::Event::kPdu);
  PduReader second(1000);
  second.Adopt(first.unused());
  EXPECT_EQ(second.Next(), PduReader::Event::kNeedBytes);
  Receive(second, std::span(second_pdu).subspan(30));
  Taker taker(second, SIZE_MAX);
  taker.TakeAll();
  EXPECT_EQ(taker.seen, (std::vector<Seen>{{2, "two"}}));
}

// -- The writer, read back by the reader.

Bytes TakeOut(PduWriter& writer, size_t at_once) {
  Bytes out;
  while (!writer.empty()) {
    std::array<iovec, 3> pieces;
    const size_t count = writer.Gather(pieces);
    size_t taken = 0;
    for (size_t i = 0; i < count && taken < at_once; ++i) {
      const size_t here = std::min(pieces[i].iov_len, at_once - taken);
      const auto* from = static_cast<const std::byte*>(pieces[i].iov_base);
      out.insert(out.end(), from, from + here);
      taken += here;
    }
    writer.Sent(taken);
  }
  return out;
}

TEST(IscsiPduWriter, SendsTheSameBytesHoweverFewTheSocketTakesAtOnce) {
  std::string scattered = "scattered data segment";
  const std::array<iovec, 4> pieces{iovec{scattered.data(), 4}, iovec{scattered.data(), 0},
                                    iovec{scattered.data() + 4, 10},
                                    iovec{scattered.data() + 14, scattered.size() - 14}};
  for (const Digests digests : {Digests{false, false}, Digests{true, true}}) {
    Bytes expected;
    for (const auto& [itt, data] :
         std::vector<Seen>{{1, scattered.substr(2, 17)}, {2, "text"}, {3, ""}, {4, "inline"}}) {
      const Bytes pdu = Encode(NopOut(itt), data, 0, digests);
      expected.insert(expected.end(), pdu.begin(), pdu.end());
    }
    for (size_t at_once = 1; at_once < 300; ++at_once) {
      PduWriter writer;
      writer.SetDigests(digests.header, digests.data);
      OutPdu* pdu = writer.New(NopOut(1));
      pdu->data = {pieces.data(), 2};
      pdu->data_bytes = 17;
      writer.Append(pdu);
      pdu = writer.New(NopOut(2));
      pdu->text = "text";
      writer.Append(pdu);
      writer.Append(writer.New(NopOut(3)));
      pdu = writer.New(NopOut(4));
      std::memcpy(pdu->inline_data.data(), "inline", 6);
      pdu->inline_data_bytes = 6;
      writer.Append(pdu);
      EXPECT_EQ(writer.pending_bytes(), expected.size());
      EXPECT_EQ(TakeOut(writer, at_once), expected) << at_once << " bytes at once";
      EXPECT_EQ(writer.pending_bytes(), 0u);
      EXPECT_EQ(writer.pending_text_bytes(), 0u);
      EXPECT_EQ(writer.pending_pdus(), 0u);
    }
  }
}

TEST(IscsiPduWriter, TellsTheOwnerOnceTheLastByteIsSent) {
  PduWriter writer;
  int sent = 0;
  OutPdu* const pdu = writer.New(NopOut(1));
  pdu->text = "data";
  pdu->owner = &sent;
  pdu->sent = [](void* owner) { ++*static_cast<int*>(owner); };
  writer.Append(pdu);
  writer.Sent(51);
  EXPECT_EQ(sent, 0);
  writer.Sent(1);
  EXPECT_EQ(sent, 1);
}

}  // namespace
}  // namespace aurochs::iscsi
