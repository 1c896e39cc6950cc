#include "iscsi/text_keys.h"

#include <algorithm>
#include <charconv>

namespace aurochs::iscsi {
namespace {

constexpr size_t kKeyBytesMax = 63;  // 6.1: key-name

// 6.1, key-name: letters, digits, and . - + @ _; standard keys start with a capital letter, X- ones
// too.
bool IsKeyCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '-' || c == '+' || c == '@' || c == '_' || c == '#';
}

bool HasPrefix(std::string_view value, char lower, char upper) {
  return value.size() > 2 && value[0] == '0' && (value[1] == lower || value[1] == upper);
}

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

int Base64Digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  if (c == '/') return 63;
  return -1;
}

std::optional<std::vector<std::byte>> ParseHex(std::string_view digits) {
  std::vector<std::byte> bytes;
  bytes.reserve((digits.size() + 1) / 2);
  // An odd number of digits has a leading zero that was left out.
  int high = digits.size() % 2 == 1 ? 0 : -1;
  for (char c : digits) {
    const int digit = HexDigit(c);
    if (digit < 0) return std::nullopt;
    if (high < 0) {
      high = digit;
    } else {
      bytes.push_back(static_cast<std::byte>(high << 4 | digit));
      high = -1;
    }
  }
  return bytes;
}

std::optional<std::vector<std::byte>> ParseBase64(std::string_view text) {
  size_t padding = 0;
  while (padding < 2 && !text.empty() && text.back() == '=') {
    text.remove_suffix(1);
    ++padding;
  }
  if ((text.size() + padding) % 4 != 0) return std::nullopt;
  std::vector<std::byte> bytes;
  bytes.reserve(text.size() * 3 / 4);
  uint32_t bits = 0;
  unsigned bit_count = 0;
  for (char c : text) {
    const int digit = Base64Digit(c);
    if (digit < 0) return std::nullopt;
    bits = bits << 6 | static_cast<uint32_t>(digit);
    bit_count += 6;
    if (bit_count >= 8) {
      bit_count -= 8;
      bytes.push_back(static_cast<std::byte>(bits >> bit_count & 0xff));
    }
  }
  return bytes;
}

}  // namespace

Result<std::vector<TextPair>> ParseText(std::string_view text) {
  std::vector<TextPair> pairs;
  while (!text.empty()) {
    const size_t end = text.find('\0');
    if (end == std::string_view::npos) {
      return Status(ErrorCode::kInvalidArgument, "text ends inside a key=value pair");
    }
    const std::string_view pair = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (pair.empty()) continue;  // Padding that some initiators count as text.
    const size_t equals = pair.find('=');
    if (equals == std::string_view::npos || equals == 0 || equals > kKeyBytesMax) {
      return Status(ErrorCode::kInvalidArgument, "text has a pair without a proper key");
    }
    const std::string_view key = pair.substr(0, equals);
    if (!std::all_of(key.begin(), key.end(), IsKeyCharacter)) {
      return Status(ErrorCode::kInvalidArgument, "text has a key with forbidden characters");
    }
    pairs.push_back({key, pair.substr(equals + 1)});
  }
  return pairs;
}

void AppendPair(std::string& text, std::string_view key, std::string_view value) {
  text.append(key).push_back('=');
  text.append(value).push_back('\0');
}

std::optional<uint64_t> ParseNumber(std::string_view value) {
  int base = 10;
  if (HasPrefix(value, 'x', 'X')) {
    value.remove_prefix(2);
    base = 16;
  }
  uint64_t number = 0;
  const char* const end = value.data() + value.size();
  const auto [stopped, error] = std::from_chars(value.data(), end, number, base);
  if (value.empty() || error != std::errc() || stopped != end) return std::nullopt;
  return number;
}

std::optional<bool> ParseBoolean(std::string_view value) {
  if (value == "Yes") return true;
  if (value == "No") return false;
  return std::nullopt;
}

std::optional<std::vector<std::byte>> ParseBinary(std::string_view value, size_t bytes_max) {
  std::optional<std::vector<std::byte>> bytes;
  if (value.size() > 2 * bytes_max + 4) return std::nullopt;  // longer than its longest encoding
  if (HasPrefix(value, 'x', 'X')) {
    bytes = ParseHex(value.substr(2));
  } else if (HasPrefix(value, 'b', 'B')) {
    bytes = ParseBase64(value.substr(2));
  } else if (auto number = ParseNumber(value)) {
    bytes.emplace();
    for (; *number != 0; *number >>= 8) {
      bytes->insert(bytes->begin(), static_cast<std::byte>(*number & 0xff));
    }
  }
  if (bytes && bytes->size() > bytes_max) return std::nullopt;
  return bytes;
}

std::string FormatBinary(std::span<const std::byte> bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string text = "0x";
  for (std::byte byte : bytes) {
    text.push_back(kDigits[std::to_integer<unsigned>(byte) >> 4]);
    text.push_back(kDigits[std::to_integer<unsigned>(byte) & 0xf]);
  }
  return text;
}

std::vector<std::string_view> SplitList(std::string_view value) {
  std::vector<std::string_view> items;
  for (;;) {
    const size_t comma = value.find(',');
    items.push_back(value.substr(0, comma));
    if (comma == std::string_view::npos) return items;
    value.remove_prefix(comma + 1);
  }
}

}  // namespace aurochs::iscsi
