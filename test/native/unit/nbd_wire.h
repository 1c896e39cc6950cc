// What an NBD client says and hears, as bytes and as values, for tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/byte_reader.h"
#include "base/byte_writer.h"
#include "nbd/spec.h"

namespace aurochs::nbd::test {

using Bytes = std::vector<std::byte>;

// Big-endian fields, one after the other.
class Wire {
 public:
  Wire& U16(uint16_t value) { return Put(value); }
  Wire& U32(uint32_t value) { return Put(value); }
  Wire& U64(uint64_t value) { return Put(value); }
  Wire& Text(std::string_view text) {
    for (const char c : text) bytes_.push_back(static_cast<std::byte>(c));
    return *this;
  }
  // A 32-bit length and the text.
  Wire& String(std::string_view text) { return U32(static_cast<uint32_t>(text.size())).Text(text); }
  Wire& Append(const Bytes& more) {
    bytes_.insert(bytes_.end(), more.begin(), more.end());
    return *this;
  }
  const Bytes& bytes() const { return bytes_; }

 private:
  template <typename T>
  Wire& Put(T value) {
    bytes_.resize(bytes_.size() + sizeof value);
    StoreBigEndian(bytes_.data() + bytes_.size() - sizeof value, value);
    return *this;
  }
  Bytes bytes_;
};

inline Bytes ClientFlags(uint32_t flags) {
  return Wire().U32(flags).bytes();
}
inline constexpr uint32_t kFixedNoZeroes = kFlagFixedNewstyle | kFlagNoZeroes;

inline Bytes OptionMessage(Option option, const Bytes& data = {}) {
  return Wire()
      .U64(kOptionMagic)
      .U32(static_cast<uint32_t>(option))
      .U32(static_cast<uint32_t>(data.size()))
      .Append(data)
      .bytes();
}

inline Bytes InfoData(std::string_view name, const std::vector<InfoType>& infos = {}) {
  Wire wire;
  wire.String(name).U16(static_cast<uint16_t>(infos.size()));
  for (const InfoType one : infos) wire.U16(static_cast<uint16_t>(one));
  return wire.bytes();
}

inline Bytes MetaContextData(std::string_view name, const std::vector<std::string>& queries) {
  Wire wire;
  wire.String(name).U32(static_cast<uint32_t>(queries.size()));
  for (const std::string& one : queries) wire.String(one);
  return wire.bytes();
}

inline Bytes RequestMessage(Command command, uint64_t cookie, uint64_t offset_bytes,
                            uint32_t length_bytes, uint16_t flags = 0, const Bytes& payload = {}) {
  return Wire()
      .U32(kRequestMagic)
      .U16(flags)
      .U16(static_cast<uint16_t>(command))
      .U64(cookie)
      .U64(offset_bytes)
      .U32(length_bytes)
      .Append(payload)
      .bytes();
}

struct OptionAnswer {
  Option option;
  OptionReply type;
  Bytes data;

  std::string text() const { return {reinterpret_cast<const char*>(data.data()), data.size()}; }
};

// Takes the answers at the front of `bytes`, which must be whole.
inline std::vector<OptionAnswer> ParseOptionAnswers(std::span<const std::byte> bytes) {
  std::vector<OptionAnswer> answers;
  ByteReader reader(bytes);
  while (!reader.AtEnd()) {
    CHECK(reader.U64() == kOptionReplyMagic);
    OptionAnswer answer;
    answer.option = static_cast<Option>(reader.U32());
    answer.type = static_cast<OptionReply>(reader.U32());
    const auto data = reader.Bytes(reader.U32());
    answer.data.assign(data.begin(), data.end());
    answers.push_back(std::move(answer));
  }
  return answers;
}

// One reply of the transmission phase. Every reply of ours is complete in one message.
struct Reply {
  uint64_t cookie = 0;
  NbdError error = NbdError::kNone;
  std::optional<ChunkType> chunk;  // nothing: a simple reply
  Bytes payload;                   // a simple reply's data; a chunk's payload as it is

  // Of OFFSET_DATA.
  uint64_t offset_bytes() const { return LoadBigEndian<uint64_t>(payload.data()); }
  Bytes data() const {
    const size_t skipped = chunk == ChunkType::kOffsetData ? 8 : 0;
    return {payload.begin() + static_cast<ptrdiff_t>(skipped), payload.end()};
  }
};

// "d4096 h8192": the descriptors of a BLOCK_STATUS chunk.
inline std::string AllocationOf(const Reply& reply) {
  CHECK(reply.chunk == ChunkType::kBlockStatus);
  ByteReader reader(reply.payload);
  CHECK(reader.U32() == kAllocationContextId);
  std::string text;
  while (!reader.AtEnd()) {
    const uint32_t length_bytes = reader.U32();
    const uint32_t flags = reader.U32();
    CHECK(flags == 0 || flags == (kStateHole | kStateZero));
    text += (text.empty() ? "" : " ");
    text += (flags == 0 ? "d" : "h") + std::to_string(length_bytes);
  }
  return text;
}

// Takes one reply from the front of `reader`; nothing if it is not there in full. Simple replies do
// not say how much data follows: `simple_data_bytes` has it by cookie.
template <typename DataBytesOf>
std::optional<Reply> TakeReply(ByteReader& reader, DataBytesOf simple_data_bytes) {
  ByteReader ahead = reader;
  if (ahead.remaining() < kSimpleReplyBytes) return std::nullopt;
  const uint32_t magic = ahead.U32();
  Reply reply;
  uint32_t payload_bytes = 0;
  if (magic == kSimpleReplyMagic) {
    reply.error = static_cast<NbdError>(ahead.U32());
    reply.cookie = ahead.U64();
    if (reply.error == NbdError::kNone) payload_bytes = simple_data_bytes(reply.cookie);
  } else {
    CHECK(magic == kStructuredReplyMagic);
    if (ahead.remaining() < kChunkHeaderBytes - 4) return std::nullopt;
    CHECK(ahead.U16() == kReplyFlagDone);
    reply.chunk = static_cast<ChunkType>(ahead.U16());
    reply.cookie = ahead.U64();
    payload_bytes = ahead.U32();
  }
  if (ahead.remaining() < payload_bytes) return std::nullopt;
  const auto payload = ahead.Bytes(payload_bytes);
  reply.payload.assign(payload.begin(), payload.end());
  if (reply.chunk == ChunkType::kError) {
    reply.error = static_cast<NbdError>(LoadBigEndian<uint32_t>(payload.data()));
  }
  reader = ahead;
  return reply;
}

}  // namespace aurochs::nbd::test
