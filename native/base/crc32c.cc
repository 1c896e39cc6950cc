#include "base/crc32c.h"

#include <array>
#include <cstring>

namespace aurochs {
namespace {

constexpr uint32_t kPolynomialReflected = 0x82f63b78;

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) ? kPolynomialReflected : 0);
    table[byte] = crc;
  }
  return table;
}

uint32_t Crc32cTable(std::span<const std::byte> bytes, uint32_t crc) {
  static constexpr auto kTable = MakeTable();
  for (std::byte byte : bytes)
    crc = (crc >> 8) ^ kTable[(crc ^ std::to_integer<uint32_t>(byte)) & 0xff];
  return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) uint32_t Crc32cHardware(std::span<const std::byte> bytes,
                                                          uint32_t crc) {
  uint64_t crc64 = crc;
  while (bytes.size() >= sizeof(uint64_t)) {
    uint64_t word;
    std::memcpy(&word, bytes.data(), sizeof word);
    crc64 = __builtin_ia32_crc32di(crc64, word);
    bytes = bytes.subspan(sizeof word);
  }
  crc = static_cast<uint32_t>(crc64);
  for (std::byte byte : bytes) crc = __builtin_ia32_crc32qi(crc, std::to_integer<uint8_t>(byte));
  return crc;
}
#endif

}  // namespace

uint32_t Crc32c(std::span<const std::byte> bytes, uint32_t before) {
  const uint32_t seed = ~before;
#if defined(__x86_64__)
  static const bool has_instruction = __builtin_cpu_supports("sse4.2");
  if (has_instruction) return ~Crc32cHardware(bytes, seed);
#endif
  return ~Crc32cTable(bytes, seed);
}

}  // namespace aurochs
