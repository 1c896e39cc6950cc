#include "io/generic_netlink.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>

#include <cerrno>
#include <vector>

#include "base/byte_reader.h"
#include "base/byte_writer.h"

namespace aurochs {
namespace {

using Bytes = std::vector<std::byte>;

// Host-order fields, one after the other.
class Kernel {
 public:
  template <typename T>
  Kernel& Put(T value) {
    bytes_.resize(bytes_.size() + sizeof value);
    StoreHostOrder(bytes_.data() + bytes_.size() - sizeof value, value);
    return *this;
  }
  Kernel& Header(uint32_t length, uint16_t type, uint32_t sequence) {
    return Put(length).Put(type).Put<uint16_t>(0).Put(sequence).Put<uint32_t>(0);
  }
  Kernel& Ack(uint32_t sequence, int error_number) {
    return Header(20, NLMSG_ERROR, sequence).Put(static_cast<uint32_t>(-error_number));
  }
  // A reply with one attribute of 32 bits.
  Kernel& Reply(uint32_t sequence, uint16_t attribute, uint32_t value) {
    return Header(28, 33, sequence).Put<uint32_t>(0).Put<uint16_t>(8).Put(attribute).Put(value);
  }
  const Bytes& bytes() const { return bytes_; }

 private:
  Bytes bytes_;
};

TEST(NetlinkRequest, PutsHeadersLengthsAndPaddingWhereTheKernelLooks) {
  NetlinkRequest request(33, 5, 1);
  request.PutU32(1, 0xabcd);
  request.PutText(2, "ab");
  const size_t nest = request.BeginNest(7);
  request.PutU64(3, 9);
  request.EndNest(nest);
  const Bytes expected = Kernel()
                             .Put<uint32_t>(52)
                             .Put<uint16_t>(33)
                             .Put<uint16_t>(NLM_F_REQUEST | NLM_F_ACK)
                             .Put<uint32_t>(4711)
                             .Put<uint32_t>(0)  // the kernel's end
                             .Put<uint8_t>(5)
                             .Put<uint8_t>(1)
                             .Put<uint16_t>(0)
                             .Put<uint16_t>(8)
                             .Put<uint16_t>(1)
                             .Put<uint32_t>(0xabcd)
                             .Put<uint16_t>(7)
                             .Put<uint16_t>(2)
                             .Put<uint8_t>('a')
                             .Put<uint8_t>('b')
                             .Put<uint16_t>(0)  // NUL and padding
                             .Put<uint16_t>(16)
                             .Put<uint16_t>(NLA_F_NESTED | 7)
                             .Put<uint16_t>(12)
                             .Put<uint16_t>(3)
                             .Put<uint64_t>(9)
                             .bytes();
  const auto bytes = request.Finish(4711);
  EXPECT_EQ(Bytes(bytes.begin(), bytes.end()), expected);
}

TEST(NetlinkAnswer, IsTheReplyAndTheAcknowledgementOfOneRequest) {
  NetlinkAnswer answer;
  EXPECT_FALSE(TakeNetlinkAnswer(Kernel().Reply(5, 1, 77).bytes(), 5, answer).value());
  EXPECT_TRUE(TakeNetlinkAnswer(Kernel().Ack(5, 0).bytes(), 5, answer).value());
  EXPECT_EQ(answer.error_number, 0);
  const auto attributes = ParseNetlinkAttributes(answer.attributes);
  ASSERT_TRUE(attributes && attributes->size() == 1);
  EXPECT_EQ(attributes->front().type, 1);
  EXPECT_EQ(LoadHostOrder<uint32_t>(attributes->front().payload.data()), 77u);
}

TEST(NetlinkAnswer, IsTakenFromOneDatagramAndNotFromThatOfAnEarlierRequest) {
  NetlinkAnswer answer;
  const Bytes datagram =
      Kernel().Reply(4, 1, 66).Ack(4, EBUSY).Reply(5, 1, 77).Ack(5, EINVAL).bytes();
  EXPECT_TRUE(TakeNetlinkAnswer(datagram, 5, answer).value());
  EXPECT_EQ(answer.error_number, EINVAL);
}

TEST(NetlinkAnswer, IsRefusedWhereALengthLeadsOut) {
  NetlinkAnswer answer;
  const Bytes cases[] = {
      Kernel().Put<uint32_t>(20).bytes(),           // shorter than a header
      Kernel().Header(15, NLMSG_ERROR, 5).bytes(),  // says less than a header
      Kernel().Header(17, NLMSG_ERROR, 5).bytes(),  // says more than there is
      Kernel().Header(0, NLMSG_ERROR, 5).bytes(),   // would never end
      Kernel().Header(16, NLMSG_ERROR, 5).bytes(),  // an acknowledgement without a result
  };
  for (const Bytes& bytes : cases) {
    EXPECT_EQ(TakeNetlinkAnswer(bytes, 5, answer).status().code(), ErrorCode::kCorruption);
  }
  EXPECT_FALSE(ParseNetlinkAttributes(Kernel().Put<uint16_t>(8).Put<uint16_t>(1).bytes()));
  EXPECT_FALSE(ParseNetlinkAttributes(Kernel().Put<uint16_t>(3).Put<uint16_t>(1).bytes()));
  EXPECT_FALSE(ParseNetlinkAttributes(Kernel().Put<uint16_t>(8).bytes()));
  EXPECT_TRUE(
      ParseNetlinkAttributes(Kernel().Put<uint16_t>(5).Put<uint16_t>(1).Put<uint8_t>(1).bytes()))
      << "the last one may come without padding";
}

TEST(NetlinkSocket, FindsTheFamilyOfFamiliesAndNoneThatIsNot) {
  auto socket = NetlinkSocket::OpenInInitialNamespace();
  if (!socket.ok()) GTEST_SKIP() << socket.status().ToString();
  EXPECT_EQ(socket->FindFamily("nlctrl").value(), GENL_ID_CTRL);
  EXPECT_EQ(socket->FindFamily("no-such-one").status().code(), ErrorCode::kNotFound);
  EXPECT_EQ(socket->FindFamily("nlctrl").value(), GENL_ID_CTRL);
}

}  // namespace
}  // namespace aurochs
