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

// base:allocation's, where nothing else is selected.
inline constexpr uint32_t kAllocationContextId = 1;

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

inline Bytes ExtendedRequestMessage(Command command, uint64_t cookie, uint64_t offset_bytes,
                                    uint64_t length_bytes, uint16_t flags = 0,
                                    const Bytes& payload = {}) {
  return Wire()
      .U32(kExtendedRequestMagic)
      .U16(flags)
      .U16(static_cast<uint16_t>(command))
      .U64(cookie)
      .U64(offset_bytes)
      .U64(length_bytes)
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

// One reply of the transmission phase, or one chunk of it: only BLOCK_STATUS has several.
struct Reply {
  uint64_t cookie = 0;
  NbdError error = NbdError::kNone;
  bool is_last = true;
  std::optional<ChunkType> chunk;                // nothing: a simple reply
  std::optional<uint64_t> request_offset_bytes;  // of an extended reply
  Bytes payload;  // a simple reply's data; a chunk's payload as it is

  // Of OFFSET_DATA.
  uint64_t offset_bytes() const { return LoadBigEndian<uint64_t>(payload.data()); }
  Bytes data() const {
    const size_t skipped = chunk == ChunkType::kOffsetData ? 8 : 0;
    return {payload.begin() + static_cast<ptrdiff_t>(skipped), payload.end()};
  }
};

// "4096:0 8192:3": length and flags of the descriptors of context `id`.
inline std::string StatusOf(const Reply& reply, uint32_t id) {
  const bool extended = reply.request_offset_bytes.has_value();
  CHECK(reply.chunk == (extended ? ChunkType::kBlockStatusExt : ChunkType::kBlockStatus));
  ByteReader reader(reply.payload);
  CHECK(reader.U32() == id);
  if (extended) CHECK(uint64_t{reader.U32()} * 16 == reader.remaining());
  std::string text;
  while (!reader.AtEnd()) {
    const uint64_t length_bytes = extended ? reader.U64() : reader.U32();
    const uint64_t flags = extended ? reader.U64() : reader.U32();
    text += (text.empty() ? "" : " ") + std::to_string(length_bytes) + ":" + std::to_string(flags);
  }
  return text;
}

// The same of base:allocation.
inline std::string AllocationOf(const Reply& reply) {
  CHECK(reply.is_last);
  return StatusOf(reply, kAllocationContextId);
}

// Takes one reply from the front of `reader`; nothing if it is not there in full. Simple replies do
// not say how much data follows: `simple_data_bytes` has it by cookie.
template <typename DataBytesOf>
std::optional<Reply> TakeReply(ByteReader& reader, DataBytesOf simple_data_bytes) {
  ByteReader ahead = reader;
  if (ahead.remaining() < kSimpleReplyBytes) return std::nullopt;
  const uint32_t magic = ahead.U32();
  Reply reply;
  uint64_t payload_bytes = 0;
  if (magic == kSimpleReplyMagic) {
    reply.error = static_cast<NbdError>(ahead.U32());
    reply.cookie = ahead.U64();
    if (reply.error == NbdError::kNone) payload_bytes = simple_data_bytes(reply.cookie);
  } else {
    const bool extended = magic == kExtendedReplyMagic;
    CHECK(extended || magic == kStructuredReplyMagic);
    const uint32_t header_bytes = extended ? kExtendedChunkHeaderBytes : kChunkHeaderBytes;
    if (ahead.remaining() < header_bytes - 4) return std::nullopt;
    reply.is_last = ahead.U16() == kReplyFlagDone;
    reply.chunk = static_cast<ChunkType>(ahead.U16());
    reply.cookie = ahead.U64();
    if (extended) reply.request_offset_bytes = ahead.U64();
    payload_bytes = extended ? ahead.U64() : ahead.U32();
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
