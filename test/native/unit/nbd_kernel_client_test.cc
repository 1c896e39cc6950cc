#include <gtest/gtest.h>
#include <linux/genetlink.h>
#include <linux/nbd-netlink.h>
#include <linux/netlink.h>

#include <cerrno>
#include <map>
#include <utility>

#include "base/byte_reader.h"
#include "base/limits.h"
#include "nbd/kernel_client.h"
#include "support/host_rig.h"
#include "support/temp_directory.h"

namespace aurochs::nbd {
namespace {

using aurochs::test::Await;
using aurochs::test::HostRig;

const KernelDeviceTerms kTerms{
    .request_timeout_s = 5, .dead_connection_timeout_s = 600, .identifier = "volume-db"};

struct Decoded {
  uint8_t command = 0;
  std::map<uint16_t, uint64_t> numbers;
  std::vector<uint32_t> sockets;
  std::string identifier;
};

std::vector<uint32_t> SocketsOf(std::span<const std::byte> list) {
  std::vector<uint32_t> sockets;
  const auto items = ParseNetlinkAttributes(list).value();
  for (const NetlinkAttribute& item : items) {
    EXPECT_EQ(item.type, NBD_SOCK_ITEM);
    const auto inside = ParseNetlinkAttributes(item.payload).value();
    EXPECT_EQ(inside.size(), 1u);
    EXPECT_EQ(inside.front().type, NBD_SOCK_FD);
    sockets.push_back(LoadHostOrder<uint32_t>(inside.front().payload.data()));
  }
  return sockets;
}

Decoded Decode(NetlinkRequest request) {
  const auto bytes = request.Finish(1);
  Decoded decoded;
  decoded.command = std::to_integer<uint8_t>(bytes[NLMSG_HDRLEN]);
  const auto attributes = ParseNetlinkAttributes(bytes.subspan(NLMSG_HDRLEN + GENL_HDRLEN)).value();
  for (const auto& [type, payload] : attributes) {
    if (type == NBD_ATTR_SOCKETS) {
      decoded.sockets = SocketsOf(payload);
    } else if (type == NBD_ATTR_BACKEND_IDENTIFIER) {
      decoded.identifier = reinterpret_cast<const char*>(payload.data());
    } else if (payload.size() == sizeof(uint32_t)) {
      decoded.numbers[type] = LoadHostOrder<uint32_t>(payload.data());
    } else {
      decoded.numbers[type] = LoadHostOrder<uint64_t>(payload.data());
    }
  }
  return decoded;
}

TEST(NbdKernelControl, ConnectsAnyFreeDeviceWithEverythingThatItIsToKnow) {
  const int sockets[] = {20, 21};
  const Decoded request = Decode(ConnectRequest(33, {64 * kMiB, 512}, 0x16d, kTerms, sockets));
  EXPECT_EQ(request.command, NBD_CMD_CONNECT);
  EXPECT_EQ(request.numbers, (std::map<uint16_t, uint64_t>{{NBD_ATTR_SIZE_BYTES, 64 * kMiB},
                                                           {NBD_ATTR_BLOCK_SIZE_BYTES, 512},
                                                           {NBD_ATTR_SERVER_FLAGS, 0x16d},
                                                           {NBD_ATTR_TIMEOUT, 5},
                                                           {NBD_ATTR_DEAD_CONN_TIMEOUT, 600}}));
  EXPECT_EQ(request.sockets, (std::vector<uint32_t>{20, 21}));
  EXPECT_EQ(request.identifier, "volume-db");
}

// In one order with the sockets, a new size would wait for requests that wait for a socket.
TEST(NbdKernelControl, ReplacesSocketsAndResizesInOrdersOfTheirOwn) {
  const int sockets[] = {20};
  const Decoded replace = Decode(ReplaceSocketsRequest(33, 3, kTerms, sockets));
  EXPECT_EQ(replace.command, NBD_CMD_RECONFIGURE);
  EXPECT_EQ(replace.numbers,
            (std::map<uint16_t, uint64_t>{
                {NBD_ATTR_INDEX, 3}, {NBD_ATTR_TIMEOUT, 5}, {NBD_ATTR_DEAD_CONN_TIMEOUT, 600}}));
  EXPECT_EQ(replace.sockets, (std::vector<uint32_t>{20}));
  EXPECT_EQ(replace.identifier, "volume-db");

  const Decoded resize = Decode(ResizeRequest(33, 3, {128 * kMiB, 512}, kTerms));
  EXPECT_EQ(resize.command, NBD_CMD_RECONFIGURE);
  EXPECT_EQ(resize.numbers.at(NBD_ATTR_SIZE_BYTES), 128 * kMiB);
  EXPECT_TRUE(resize.sockets.empty());
  EXPECT_EQ(resize.identifier, "volume-db");
}

TEST(NbdKernelControl, TellsTheSizeAlone) {
  const Decoded request = Decode(SetSizeRequest(33, 3, 128 * kMiB, "volume-db"));
  EXPECT_EQ(request.command, NBD_CMD_RECONFIGURE);
  EXPECT_EQ(request.numbers,
            (std::map<uint16_t, uint64_t>{{NBD_ATTR_INDEX, 3}, {NBD_ATTR_SIZE_BYTES, 128 * kMiB}}));
  EXPECT_EQ(request.identifier, "volume-db");
}

TEST(NbdKernelControl, DisconnectsByIndex) {
  const Decoded request = Decode(DisconnectRequest(33, 3));
  EXPECT_EQ(request.command, NBD_CMD_DISCONNECT);
  EXPECT_EQ(request.numbers, (std::map<uint16_t, uint64_t>{{NBD_ATTR_INDEX, 3}}));
}

TEST(NbdKernelControl, TellsTheKernelsErrorsApartByOrder) {
  const auto code = [](KernelOrder order, int error_number) {
    return StatusOfOrder(order, error_number, "/dev/nbd3").code();
  };
  EXPECT_EQ(code(KernelOrder::kConnect, 0), ErrorCode::kOk);
  EXPECT_EQ(code(KernelOrder::kConnect, EPERM), ErrorCode::kPermissionDenied);
  EXPECT_EQ(code(KernelOrder::kConnect, ENOSPC), ErrorCode::kLimitExceeded);
  EXPECT_EQ(code(KernelOrder::kConnect, ENOMEM), ErrorCode::kLimitExceeded);
  EXPECT_EQ(code(KernelOrder::kConnect, EBUSY), ErrorCode::kBusy);
  EXPECT_EQ(code(KernelOrder::kConnect, EINVAL), ErrorCode::kUnsupported);
  EXPECT_EQ(code(KernelOrder::kReconfigure, EINVAL), ErrorCode::kFailedPrecondition);
  EXPECT_EQ(code(KernelOrder::kDisconnect, EINVAL), ErrorCode::kNotFound);
}

TEST(NbdKernelClient, GivesTheKernelTheSmallestBlocksThatBothTake) {
  const auto block_bytes = [](uint32_t min) {
    return ShapeOf({.size_bytes = 64 * kMiB, .transmission_flags = 1, .block_bytes_min = min})
        .value()
        .block_bytes;
  };
  EXPECT_EQ(block_bytes(1), 512u);
  EXPECT_EQ(block_bytes(512), 512u);
  EXPECT_EQ(block_bytes(4096), 4096u);
}

TEST(NbdKernelClient, RefusesAShapeThatTheKernelCannotHave) {
  const NegotiatedExport cases[] = {
      {.size_bytes = 0},
      {.size_bytes = 513},
      {.size_bytes = UINT64_MAX - 511},
      {.size_bytes = kMiB, .block_bytes_min = 8192},
      {.size_bytes = kMiB, .block_bytes_min = 513},
      {.size_bytes = kMiB, .block_bytes_min = UINT32_MAX},
  };
  for (const NegotiatedExport& found : cases) {
    EXPECT_EQ(ShapeOf(found).status().code(), ErrorCode::kUnsupported);
  }
}

TEST(NbdKernelClient, RefusesOptionsBeforeItAsksAnybody) {
  const KernelClientOptions good{"unix:/nowhere", "db", 1, kTerms};
  const auto code = [](const KernelClientOptions& options) {
    return ConnectKernelDevice(options).status().code();
  };
  auto wrong = good;
  for (const uint32_t connections : {0u, kKernelNbdConnectionsMax + 1}) {
    wrong.connections = connections;
    EXPECT_EQ(code(wrong), ErrorCode::kInvalidArgument);
  }
  wrong = good;
  wrong.terms.request_timeout_s = 0;
  EXPECT_EQ(code(wrong), ErrorCode::kInvalidArgument);
  wrong = good;
  wrong.terms.dead_connection_timeout_s = kKernelNbdTimeoutSMax + 1;
  EXPECT_EQ(code(wrong), ErrorCode::kInvalidArgument);
  wrong = good;
  wrong.terms.identifier = "";
  EXPECT_EQ(code(wrong), ErrorCode::kInvalidArgument);
  wrong.terms.identifier = std::string(kKernelNbdIdentifierBytesMax + 1, 'x');
  EXPECT_EQ(code(wrong), ErrorCode::kInvalidArgument);
}

TEST(NbdKernelClient, SaysHowToGetAKernelThatHasIt) {
  if (KernelControl::Open().ok()) GTEST_SKIP() << "this kernel has NBD";
  HostRig rig;
  const KernelClientOptions options{"unix:/nowhere", "db", 1, kTerms};
  const auto connected = Await<Result<uint32_t>>(
      [&](auto done) { rig.host().ConnectKernelNbd(options, std::move(done)); });
  EXPECT_EQ(connected.status().code(), ErrorCode::kUnsupported);
  EXPECT_NE(connected.status().message().find("modprobe nbd"), std::string::npos);
  const auto reconnected =
      Await<Status>([&](auto done) { rig.host().ReconnectKernelNbd(0, options, std::move(done)); });
  EXPECT_EQ(reconnected.code(), ErrorCode::kUnsupported);
  const auto disconnected =
      Await<Status>([&](auto done) { rig.host().DisconnectKernelNbd(0, std::move(done)); });
  EXPECT_EQ(disconnected.code(), ErrorCode::kUnsupported);
}

}  // namespace
}  // namespace aurochs::nbd
