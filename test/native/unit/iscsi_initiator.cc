#include "iscsi_initiator.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cstdio>
#include <cstring>

#include "base/crc32c.h"

namespace aurochs::iscsi::test {
namespace {

constexpr int kPatienceS = 20;  // A test that waits longer has failed.

void AppendDigest(std::vector<std::byte>& to, uint32_t crc) {
  for (int i = 0; i < 4; ++i) to.push_back(static_cast<std::byte>(crc >> (8 * i)));
}

void AppendPadded(std::vector<std::byte>& to, std::string_view data) {
  for (char c : data) to.push_back(static_cast<std::byte>(c));
  to.insert(to.end(), PaddingFor(data.size()), std::byte{0});
}

}  // namespace

Initiator::Initiator(const std::string& address) {
  const size_t colon = address.rfind(':');
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(static_cast<uint16_t>(std::stoi(address.substr(colon + 1))));
  inet_pton(AF_INET, address.substr(0, colon).c_str(), &to.sin_addr);
  fd_.Reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const timeval patience{kPatienceS, 0};
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0) return;
  // An interrupted connect goes on; the socket is writable when it is through.
  pollfd connecting{fd_.get(), POLLOUT, 0};
  EXPECT_EQ(errno, EINTR) << std::strerror(errno);
  EXPECT_EQ(::poll(&connecting, 1, kPatienceS * 1000), 1);
}

Pdu Initiator::Login(const LoginOptions& options) {
  Bhs bhs(Opcode::kLoginRequest,
          kTransitFlag | static_cast<uint8_t>(LoginStage::kOperational) << kCurrentStageShift |
              static_cast<uint8_t>(LoginStage::kFullFeature));
  bhs.SetU8(field::kOpcode, static_cast<uint8_t>(Opcode::kLoginRequest) | kImmediateFlag);
  bhs.SetU8(field::kIsid, 0x80);
  bhs.SetU8(field::kIsid + 5, options.isid_qualifier);
  bhs.SetU16(field::kTsih, options.tsih);
  bhs.SetU32(field::kItt, itt++);
  bhs.SetU32(field::kCmdSn, options.cmd_sn);
  std::string text;
  AppendPair(text, "InitiatorName", options.initiator);
  if (options.target.empty()) {
    AppendPair(text, "SessionType", "Discovery");
  } else {
    AppendPair(text, "TargetName", options.target);
  }
  if (options.header_digest) AppendPair(text, "HeaderDigest", "CRC32C");
  if (options.data_digest) AppendPair(text, "DataDigest", "CRC32C");
  Send(bhs, text + options.keys);
  const std::optional<Pdu> answer = Receive();
  EXPECT_TRUE(answer.has_value());
  cmd_sn = options.cmd_sn;
  header_digest_ = options.header_digest;
  data_digest_ = options.data_digest;
  return answer.value_or(Pdu{});
}

LoginStatus Initiator::LoginTo(const LoginOptions& options) {
  return static_cast<LoginStatus>(Login(options).bhs.U16(field::kLoginStatus));
}

void Initiator::Send(Bhs bhs, std::string_view data) {
  bhs.SetDataSegmentBytes(static_cast<uint32_t>(data.size()));
  std::vector<std::byte> bytes(bhs.bytes().begin(), bhs.bytes().end());
  if (header_digest_) AppendDigest(bytes, Crc32c(bytes));
  const size_t data_start = bytes.size();
  AppendPadded(bytes, data);
  if (data_digest_ && !data.empty()) {
    AppendDigest(bytes, Crc32c(std::span(bytes).subspan(data_start)));
  }
  SendBytes(bytes);
}

void Initiator::SendBytes(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return;  // The target has hung up; the test will see it.
    bytes = bytes.subspan(static_cast<size_t>(sent));
  }
}

bool Initiator::ReceiveBytes(std::byte* into, size_t count) {
  while (count > 0) {
    const ssize_t received = ::recv(fd_.get(), into, count, 0);
    if (received < 0 && errno == EINTR) continue;
    EXPECT_FALSE(received < 0 && errno != ECONNRESET) << std::strerror(errno);
    if (received <= 0) return false;
    into += received;
    count -= static_cast<size_t>(received);
  }
  return true;
}

std::optional<Pdu> Initiator::Receive() {
  Pdu pdu;
  if (!ReceiveBytes(pdu.bhs.bytes().data(), kBhsBytes)) return std::nullopt;
  std::vector<std::byte> rest;
  if (header_digest_) {
    AppendDigest(rest, Crc32c(pdu.bhs.bytes()));
    std::vector<std::byte> digest(kDigestBytes);
    if (!ReceiveBytes(digest.data(), kDigestBytes)) return std::nullopt;
    EXPECT_EQ(digest, rest) << "header digest";
  }
  const size_t data_bytes = pdu.bhs.data_segment_bytes();
  if (data_bytes == 0) return pdu;
  std::vector<std::byte> data(data_bytes + PaddingFor(data_bytes));
  if (!ReceiveBytes(data.data(), data.size())) return std::nullopt;
  if (data_digest_) {
    std::vector<std::byte> expected;
    AppendDigest(expected, Crc32c(data));
    std::vector<std::byte> digest(kDigestBytes);
    if (!ReceiveBytes(digest.data(), kDigestBytes)) return std::nullopt;
    EXPECT_EQ(digest, expected) << "data digest";
  }
  pdu.data = AsText(std::span(data).first(data_bytes));
  return pdu;
}

Pdu Initiator::Next() {
  std::optional<Pdu> pdu = Receive();
  EXPECT_TRUE(pdu.has_value()) << "the target has closed the connection";
  return std::move(pdu).value_or(Pdu{});
}

std::vector<Pdu> Initiator::ReceiveToEnd() {
  std::vector<Pdu> all;
  while (std::optional<Pdu> pdu = Receive()) all.push_back(std::move(*pdu));
  return all;
}

Bhs Initiator::Request(Opcode opcode, uint8_t flags) {
  Bhs bhs(opcode, flags);
  bhs.SetU32(field::kItt, itt++);
  bhs.SetU32(field::kCmdSn, cmd_sn++);
  bhs.SetU32(field::kTtt, kReservedTag);
  return bhs;
}

Bhs Initiator::Immediate(Opcode opcode, uint8_t flags) {
  Bhs bhs = Request(opcode, flags);
  bhs.SetU32(field::kCmdSn, --cmd_sn);
  bhs.SetU8(field::kOpcode, static_cast<uint8_t>(opcode) | kImmediateFlag);
  return bhs;
}

Bhs Initiator::Read(uint32_t lba, uint16_t blocks) {
  Bhs bhs = Request(Opcode::kScsiCommand, kFinalFlag | kReadFlag);
  bhs.SetU64(field::kLun, kLun1);
  bhs.SetU32(field::kEdtl, uint32_t{blocks} * 512);
  bhs.SetU8(field::kCdb, 0x28);  // READ (10)
  bhs.SetU32(field::kCdb + 2, lba);
  bhs.SetU16(field::kCdb + 7, blocks);
  return bhs;
}

Bhs Initiator::Write(uint32_t lba, uint16_t blocks, bool more_unsolicited) {
  Bhs bhs = Read(lba, blocks);
  bhs.SetU8(field::kFlags, static_cast<uint8_t>(kWriteFlag | (more_unsolicited ? 0 : kFinalFlag)));
  bhs.SetU8(field::kCdb, 0x2a);  // WRITE (10)
  return bhs;
}

Bhs Initiator::DataOut(const Bhs& command, uint32_t ttt, uint32_t data_sn, uint32_t offset,
                       bool final) {
  Bhs bhs(Opcode::kDataOut, final ? kFinalFlag : 0);
  bhs.SetU64(field::kLun, kLun1);
  bhs.SetU32(field::kItt, command.itt());
  bhs.SetU32(field::kTtt, ttt);
  bhs.SetU32(field::kDataSn, data_sn);
  bhs.SetU32(field::kBufferOffset, offset);
  return bhs;
}

Bhs Initiator::TaskManagement(TaskManagementFunction function, uint64_t lun,
                              uint32_t referenced_tag) {
  Bhs bhs = Immediate(Opcode::kTaskManagementRequest,
                      static_cast<uint8_t>(kFinalFlag | static_cast<uint8_t>(function)));
  bhs.SetU64(field::kLun, lun);
  bhs.SetU32(field::kReferencedTag, referenced_tag);
  return bhs;
}

Bhs Initiator::Logout(LogoutReason reason) {
  Bhs bhs = Request(Opcode::kLogoutRequest,
                    static_cast<uint8_t>(kFinalFlag | static_cast<uint8_t>(reason)));
  bhs.SetU32(field::kCid, 0);
  return bhs;
}

void Initiator::ClearUnitAttentions() {
  for (int tries = 0; tries < 10; ++tries) {
    Bhs bhs = Request(Opcode::kScsiCommand);  // TEST UNIT READY is all zeros
    bhs.SetU64(field::kLun, kLun1);
    bhs.SetU32(field::kEdtl, 0);
    Send(bhs);
    const std::optional<Pdu> answer = Receive();
    if (!answer.has_value() || ScsiStatusOf(*answer) == 0) return;
  }
  ADD_FAILURE() << "the unit never became ready";
}

std::string SenseOf(const Pdu& pdu) {
  if (pdu.data.size() < 16) return "no sense";
  const auto byte = [&pdu](size_t i) {
    return static_cast<unsigned>(static_cast<uint8_t>(pdu.data[i + 2]));
  };
  char text[16];
  std::snprintf(text, sizeof text, "%02x/%02x/%02x", byte(2), byte(12), byte(13));
  return text;
}

}  // namespace aurochs::iscsi::test
