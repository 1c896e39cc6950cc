#include "io/generic_netlink.h"

#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/netlink.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>

#include "base/byte_reader.h"
#include "base/byte_writer.h"
#include "base/check.h"
#include "base/limits.h"
#include "base/native_thread.h"

namespace aurochs {
namespace {

constexpr size_t kMessageHeaderBytes = NLMSG_HDRLEN + GENL_HDRLEN;
constexpr const char* kOwnNamespace = "/proc/thread-self/ns/net";
constexpr const char* kInitialNamespace = "/proc/1/ns/net";

size_t Aligned(size_t bytes) {
  return (bytes + NLA_ALIGNTO - 1) / NLA_ALIGNTO * NLA_ALIGNTO;
}

Result<UniqueFd> OpenSocket() {
  UniqueFd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC));
  if (fd.valid()) return fd;
  if (errno == EPROTONOSUPPORT || errno == EAFNOSUPPORT) {
    return Status(ErrorCode::kUnsupported, "the kernel has no generic netlink");
  }
  return Status::FromErrno(errno, "open a netlink socket");
}

// Who may not look at the first process' namespace may not enter it either, and stays here.
bool IsInInitialNamespace() {
  struct stat own;
  struct stat initial;
  if (::stat(kOwnNamespace, &own) != 0 || ::stat(kInitialNamespace, &initial) != 0) return true;
  return own.st_ino == initial.st_ino && own.st_dev == initial.st_dev;
}

Result<UniqueFd> OpenSocketInInitialNamespace() {
  const UniqueFd initial(::open(kInitialNamespace, O_RDONLY | O_CLOEXEC));
  if (!initial.valid() || ::setns(initial.get(), CLONE_NEWNET) != 0) {
    return Status::FromErrno(errno, "enter the host's network namespace");
  }
  return OpenSocket();
}

// The payload of a message without its header, and where the next message begins.
struct Message {
  uint16_t type = 0;
  uint32_t sequence = 0;
  std::span<const std::byte> payload;
  size_t taken_bytes = 0;
};

std::optional<Message> ParseMessage(std::span<const std::byte> bytes) {
  if (bytes.size() < NLMSG_HDRLEN) return std::nullopt;
  const size_t length = LoadHostOrder<uint32_t>(bytes.data() + offsetof(nlmsghdr, nlmsg_len));
  if (length < NLMSG_HDRLEN || length > bytes.size()) return std::nullopt;
  Message message;
  message.type = LoadHostOrder<uint16_t>(bytes.data() + offsetof(nlmsghdr, nlmsg_type));
  message.sequence = LoadHostOrder<uint32_t>(bytes.data() + offsetof(nlmsghdr, nlmsg_seq));
  message.payload = bytes.first(length).subspan(NLMSG_HDRLEN);
  message.taken_bytes = std::min(Aligned(length), bytes.size());
  return message;
}

}  // namespace

NetlinkRequest::NetlinkRequest(uint16_t family, uint8_t command, uint8_t version)
    : bytes_(kMessageHeaderBytes) {
  StoreHostOrder<uint16_t>(bytes_.data() + offsetof(nlmsghdr, nlmsg_type), family);
  StoreHostOrder<uint16_t>(bytes_.data() + offsetof(nlmsghdr, nlmsg_flags),
                           NLM_F_REQUEST | NLM_F_ACK);
  std::byte* const header = bytes_.data() + NLMSG_HDRLEN;
  StoreHostOrder<uint8_t>(header + offsetof(genlmsghdr, cmd), command);
  StoreHostOrder<uint8_t>(header + offsetof(genlmsghdr, version), version);
}

// Returns where the payload goes; the padding behind it is zero.
std::byte* NetlinkRequest::PutHeader(uint16_t attribute, size_t payload_bytes) {
  const size_t start = bytes_.size();
  const size_t length = NLA_HDRLEN + payload_bytes;
  CHECK(length <= UINT16_MAX);
  bytes_.resize(start + Aligned(length));
  StoreHostOrder<uint16_t>(bytes_.data() + start + offsetof(nlattr, nla_len),
                           static_cast<uint16_t>(length));
  StoreHostOrder<uint16_t>(bytes_.data() + start + offsetof(nlattr, nla_type), attribute);
  return bytes_.data() + start + NLA_HDRLEN;
}

void NetlinkRequest::PutU32(uint16_t attribute, uint32_t value) {
  StoreHostOrder(PutHeader(attribute, sizeof value), value);
}

void NetlinkRequest::PutU64(uint16_t attribute, uint64_t value) {
  StoreHostOrder(PutHeader(attribute, sizeof value), value);
}

void NetlinkRequest::PutText(uint16_t attribute, std::string_view text) {
  std::byte* const payload = PutHeader(attribute, text.size() + 1);
  std::ranges::copy(std::as_bytes(std::span(text)), payload);
}

size_t NetlinkRequest::BeginNest(uint16_t attribute) {
  const size_t place = bytes_.size();
  (void)PutHeader(attribute | NLA_F_NESTED, 0);
  return place;
}

void NetlinkRequest::EndNest(size_t place) {
  const size_t length = bytes_.size() - place;
  CHECK(length <= UINT16_MAX);
  StoreHostOrder<uint16_t>(bytes_.data() + place + offsetof(nlattr, nla_len),
                           static_cast<uint16_t>(length));
}

std::span<const std::byte> NetlinkRequest::Finish(uint32_t sequence) {
  StoreHostOrder<uint32_t>(bytes_.data() + offsetof(nlmsghdr, nlmsg_len),
                           static_cast<uint32_t>(bytes_.size()));
  StoreHostOrder<uint32_t>(bytes_.data() + offsetof(nlmsghdr, nlmsg_seq), sequence);
  return bytes_;
}

std::optional<std::vector<NetlinkAttribute>> ParseNetlinkAttributes(
    std::span<const std::byte> bytes) {
  std::vector<NetlinkAttribute> attributes;
  while (!bytes.empty()) {
    if (bytes.size() < NLA_HDRLEN) return std::nullopt;
    const size_t length = LoadHostOrder<uint16_t>(bytes.data() + offsetof(nlattr, nla_len));
    if (length < NLA_HDRLEN || length > bytes.size()) return std::nullopt;
    const auto type = LoadHostOrder<uint16_t>(bytes.data() + offsetof(nlattr, nla_type));
    attributes.push_back(
        {static_cast<uint16_t>(type & NLA_TYPE_MASK), bytes.first(length).subspan(NLA_HDRLEN)});
    bytes = bytes.subspan(std::min(Aligned(length), bytes.size()));
  }
  return attributes;
}

Result<bool> TakeNetlinkAnswer(std::span<const std::byte> datagram, uint32_t sequence,
                               NetlinkAnswer& answer) {
  while (!datagram.empty()) {
    const auto message = ParseMessage(datagram);
    if (!message) return Status(ErrorCode::kCorruption, "a malformed netlink message");
    datagram = datagram.subspan(message->taken_bytes);
    if (message->sequence != sequence) continue;
    if (message->type == NLMSG_ERROR) {
      if (message->payload.size() < sizeof(uint32_t)) {
        return Status(ErrorCode::kCorruption, "a netlink acknowledgement without a result");
      }
      answer.error_number = static_cast<int>(0u - LoadHostOrder<uint32_t>(message->payload.data()));
      return true;
    }
    if (message->type < NLMSG_MIN_TYPE || message->payload.size() < GENL_HDRLEN) continue;
    const auto attributes = message->payload.subspan(GENL_HDRLEN);
    answer.attributes.assign(attributes.begin(), attributes.end());
  }
  return false;
}

Result<NetlinkSocket> NetlinkSocket::OpenInInitialNamespace() {
  Result<UniqueFd> fd = Status(ErrorCode::kUnavailable, "the thread has not run");
  if (IsInInitialNamespace()) {
    fd = OpenSocket();
  } else {
    // A socket stays where it was made, so only a thread that ends has to go there.
    auto thread =
        NativeThread::Start("aurochs-netns", [&] { fd = OpenSocketInInitialNamespace(); });
    if (!thread.ok()) return thread.status();
    (*thread)->Join();
  }
  if (!fd.ok()) return fd.status();
  return NetlinkSocket(std::move(fd).value());
}

Result<uint16_t> NetlinkSocket::FindFamily(std::string_view name) {
  NetlinkRequest request(GENL_ID_CTRL, CTRL_CMD_GETFAMILY, 1);
  request.PutText(CTRL_ATTR_FAMILY_NAME, name);
  const auto answer = Ask(request);
  if (!answer.ok()) return answer.status();
  if (answer->error_number != 0) {
    return Status::FromErrno(answer->error_number, "find the netlink family " + std::string(name));
  }
  const auto attributes = ParseNetlinkAttributes(answer->attributes);
  if (attributes) {
    for (const NetlinkAttribute& attribute : *attributes) {
      if (attribute.type == CTRL_ATTR_FAMILY_ID && attribute.payload.size() == sizeof(uint16_t)) {
        return LoadHostOrder<uint16_t>(attribute.payload.data());
      }
    }
  }
  return Status(ErrorCode::kCorruption, "the kernel did not number a netlink family");
}

Result<NetlinkAnswer> NetlinkSocket::Ask(NetlinkRequest& request) {
  const uint32_t sequence = ++sequence_;
  const auto bytes = request.Finish(sequence);
  sockaddr_nl kernel{.nl_family = AF_NETLINK};
  const ssize_t sent = ::sendto(fd_.get(), bytes.data(), bytes.size(), 0,
                                reinterpret_cast<const sockaddr*>(&kernel), sizeof kernel);
  if (sent < 0) return Status::FromErrno(errno, "send a netlink request");

  NetlinkAnswer answer;
  std::vector<std::byte> datagram(kNetlinkReplyBytesMax);
  while (true) {
    sockaddr_nl sender{};
    socklen_t length = sizeof sender;
    // The kernel answers before the send returns, so there is nothing to wait for.
    const ssize_t received = ::recvfrom(fd_.get(), datagram.data(), datagram.size(), MSG_DONTWAIT,
                                        reinterpret_cast<sockaddr*>(&sender), &length);
    if (received < 0) return Status::FromErrno(errno, "receive a netlink answer");
    if (sender.nl_pid != 0) continue;  // From another process, not from the kernel.
    const auto done = TakeNetlinkAnswer(std::span(datagram).first(static_cast<size_t>(received)),
                                        sequence, answer);
    if (!done.ok()) return done.status();
    if (*done) return answer;
  }
}

}  // namespace aurochs
