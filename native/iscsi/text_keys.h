// Key=value text of login and text requests (RFC 7143, 6.1 and 6.2).
//
// Thread: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace aurochs::iscsi {

struct TextPair {
  std::string_view key;
  std::string_view value;
};

// Splits `text` at its NUL bytes. The pairs point into `text`. Fails with kInvalidArgument if a
// pair has no '=', a key is empty, longer than 63 bytes or has characters that no key may have, or
// if the last pair has no NUL at its end.
Result<std::vector<TextPair>> ParseText(std::string_view text);

inline std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
inline std::span<const std::byte> AsBytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

// Appends "key=value" and its NUL.
void AppendPair(std::string& text, std::string_view key, std::string_view value);

// 6.1: decimal or 0x hexadecimal, without sign; nothing if it is no number or has more than 64
// bits.
std::optional<uint64_t> ParseNumber(std::string_view value);
// "Yes" or "No".
std::optional<bool> ParseBoolean(std::string_view value);
// 6.1: binary value as 0x hexadecimal, 0b base64 or a decimal of at most 64 bits; nothing if it is
// malformed or longer than `bytes_max`.
std::optional<std::vector<std::byte>> ParseBinary(std::string_view value, size_t bytes_max);
std::string FormatBinary(std::span<const std::byte> bytes);
// Items of a comma-separated list.
std::vector<std::string_view> SplitList(std::string_view value);

}  // namespace aurochs::iscsi
