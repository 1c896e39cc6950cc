#include "nbd/client_handshake.h"

#include <sys/socket.h>

#include <cerrno>
#include <chrono>
#include <span>
#include <vector>

#include "base/byte_reader.h"
#include "base/limits.h"
#include "nbd/option_codec.h"
#include "nbd/spec.h"

namespace aurochs::nbd {
namespace {

using Bytes = std::vector<std::byte>;
using Clock = std::chrono::steady_clock;

constexpr uint32_t kReplyErrorBit = 0x80000000;

Status Malformed(const std::string& what) {
  return {ErrorCode::kIo, "the NBD server sends " + what};
}

// A stream whose peer gets kHandshakeTimeoutMs in all, however small its steps are.
class BlockingStream {
 public:
  explicit BlockingStream(int fd) : fd_(fd) {}

  Status Send(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent < 0 && errno == EINTR) continue;
      if (sent < 0) return Failed(errno);
      bytes = bytes.subspan(static_cast<size_t>(sent));
    }
    return Status::Ok();
  }

  Result<Bytes> Receive(size_t count) {
    Bytes bytes(count);
    size_t received = 0;
    while (received < count) {
      if (Clock::now() > deadline_) return Failed(EAGAIN);
      const ssize_t now = ::recv(fd_, bytes.data() + received, count - received, 0);
      if (now < 0 && errno == EINTR) continue;
      if (now < 0) return Failed(errno);
      if (now == 0) {
        return Status(ErrorCode::kUnavailable, "the NBD server closes the connection");
      }
      received += static_cast<size_t>(now);
    }
    return bytes;
  }

 private:
  static Status Failed(int error_number) {
    if (error_number == EAGAIN) {
      return {ErrorCode::kUnavailable, "the NBD server does not answer"};
    }
    const Status failed = Status::FromErrno(error_number, "talk to the NBD server");
    return {ErrorCode::kUnavailable, failed.message()};
  }

  const int fd_;
  const Clock::time_point deadline_ = Clock::now() + std::chrono::milliseconds(kHandshakeTimeoutMs);
};

Status Greet(BlockingStream& stream) {
  const auto greeting = stream.Receive(kGreetingBytes);
  if (!greeting.ok()) return greeting.status();
  ByteReader reader(*greeting);
  if (reader.U64() != kNbdMagic || reader.U64() != kOptionMagic) {
    return Malformed("no greeting of the newstyle handshake");
  }
  const uint16_t flags = reader.U16();
  if ((flags & kFlagFixedNewstyle) == 0) {
    return {ErrorCode::kUnsupported, "the NBD server does not know the fixed newstyle handshake"};
  }
  // No zeroes concern EXPORT_NAME alone, which is not used.
  OptionOutput answer;
  AppendU32(answer, kFlagFixedNewstyle);
  return stream.Send(answer);
}

// What the server's refusal means for whoever wanted the device.
Status Refused(OptionReply type, const std::string& export_name) {
  const std::string what = "the NBD export \"" + export_name + "\"";
  switch (type) {
    case OptionReply::kErrUnknown:
      return {ErrorCode::kNotFound, what + " is not there; the volume is not exported over NBD"};
    case OptionReply::kErrTlsReqd:
      return {ErrorCode::kUnsupported,
              what +
                  " is only to be had over TLS, which the kernel's client does not know; let the"
                  " agent listen on a UNIX socket"};
    case OptionReply::kErrPolicy:
      return {ErrorCode::kPermissionDenied, what + " is refused by the server's policy"};
    case OptionReply::kErrShutdown: return {ErrorCode::kUnavailable, what + " is being shut down"};
    default:
      return {ErrorCode::kUnsupported,
              what + " is refused with NBD error " +
                  std::to_string(static_cast<uint32_t>(type) & ~kReplyErrorBit)};
  }
}

Status SendGo(BlockingStream& stream, const std::string& export_name) {
  OptionOutput data;
  AppendU32(data, static_cast<uint32_t>(export_name.size()));
  AppendText(data, export_name);
  AppendU16(data, 1);  // information requests
  AppendU16(data, static_cast<uint16_t>(InfoType::kBlockSize));

  OptionOutput option;
  AppendU64(option, kOptionMagic);
  AppendU32(option, static_cast<uint32_t>(Option::kGo));
  AppendU32(option, static_cast<uint32_t>(data.size()));
  option.insert(option.end(), data.begin(), data.end());
  return stream.Send(option);
}

// Takes one information reply; types that were not asked for are passed over (proto.md, "GO").
Status TakeInfo(std::span<const std::byte> data, NegotiatedExport& found, bool& has_export) {
  ByteReader reader(data);
  if (reader.remaining() < sizeof(uint16_t)) return Malformed("information without a type");
  switch (static_cast<InfoType>(reader.U16())) {
    case InfoType::kExport:
      if (reader.remaining() != 10) return Malformed("a size of the wrong length");
      found.size_bytes = reader.U64();
      found.transmission_flags = reader.U16();
      has_export = true;
      return Status::Ok();
    case InfoType::kBlockSize:
      if (reader.remaining() != 12) return Malformed("block sizes of the wrong length");
      found.block_bytes_min = reader.U32();
      return Status::Ok();
    default: return Status::Ok();
  }
}

}  // namespace

Result<NegotiatedExport> NegotiateAsClient(int fd, const std::string& export_name) {
  if (!IsExportName(export_name)) {
    return Status(ErrorCode::kInvalidArgument, "not the name of an NBD export: " + export_name);
  }
  BlockingStream stream(fd);
  RETURN_IF_ERROR(Greet(stream));
  RETURN_IF_ERROR(SendGo(stream, export_name));

  NegotiatedExport found;
  bool has_export = false;
  for (uint32_t count = 0; count < kNbdInfoRepliesMax; ++count) {
    const auto header = stream.Receive(kOptionReplyHeaderBytes);
    if (!header.ok()) return header.status();
    ByteReader reader(*header);
    const bool is_answer =
        reader.U64() == kOptionReplyMagic && reader.U32() == static_cast<uint32_t>(Option::kGo);
    if (!is_answer) return Malformed("something else than an answer to GO");
    const auto type = static_cast<OptionReply>(reader.U32());
    const uint32_t length_bytes = reader.U32();
    if (length_bytes > kNbdOptionBytesMax) return Malformed("an answer that is too long");
    const auto data = stream.Receive(length_bytes);
    if (!data.ok()) return data.status();

    if ((static_cast<uint32_t>(type) & kReplyErrorBit) != 0) return Refused(type, export_name);
    if (type == OptionReply::kAck) {
      if (!has_export) return Malformed("no size of the export");
      return found;
    }
    if (type != OptionReply::kInfo) return Malformed("an unknown answer to GO");
    RETURN_IF_ERROR(TakeInfo(*data, found, has_export));
  }
  return Malformed("too many answers to GO");
}

}  // namespace aurochs::nbd
