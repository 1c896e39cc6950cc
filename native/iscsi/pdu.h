// The basic header segment of a PDU as a value: 48 bytes and access to its fields by name.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/byte_reader.h"
#include "base/byte_writer.h"
#include "iscsi/spec.h"

namespace aurochs::iscsi {

class Bhs {
 public:
  Bhs() = default;
  explicit Bhs(Opcode opcode, uint8_t flags = kFinalFlag) {
    SetU8(field::kOpcode, static_cast<uint8_t>(opcode));
    SetU8(field::kFlags, flags);
  }

  // What every PDU has.
  Opcode opcode() const { return static_cast<Opcode>(U8(field::kOpcode) & kOpcodeMask); }
  bool immediate() const { return (U8(field::kOpcode) & kImmediateFlag) != 0; }
  uint8_t flags() const { return U8(field::kFlags); }
  bool final() const { return (flags() & kFinalFlag) != 0; }
  size_t ahs_bytes() const { return size_t{U8(field::kAhsWords)} * kWordBytes; }
  uint32_t data_segment_bytes() const { return U32(field::kAhsWords) & 0x00ff'ffff; }
  void SetDataSegmentBytes(uint32_t bytes) {
    SetU32(field::kAhsWords, uint32_t{U8(field::kAhsWords)} << 24 | bytes);
  }
  uint32_t itt() const { return U32(field::kItt); }

  uint8_t U8(size_t offset) const { return std::to_integer<uint8_t>(bytes_[offset]); }
  uint16_t U16(size_t offset) const { return LoadBigEndian<uint16_t>(&bytes_[offset]); }
  uint32_t U32(size_t offset) const { return LoadBigEndian<uint32_t>(&bytes_[offset]); }
  uint64_t U64(size_t offset) const { return LoadBigEndian<uint64_t>(&bytes_[offset]); }
  void SetU8(size_t offset, uint8_t value) { bytes_[offset] = std::byte{value}; }
  void SetU16(size_t offset, uint16_t value) { StoreBigEndian(&bytes_[offset], value); }
  void SetU32(size_t offset, uint32_t value) { StoreBigEndian(&bytes_[offset], value); }
  void SetU64(size_t offset, uint64_t value) { StoreBigEndian(&bytes_[offset], value); }

  std::span<const std::byte, kBhsBytes> bytes() const { return bytes_; }
  std::span<std::byte, kBhsBytes> bytes() { return bytes_; }
  void Assign(const std::byte* from) { std::copy_n(from, kBhsBytes, bytes_.begin()); }

 private:
  std::array<std::byte, kBhsBytes> bytes_{};
};

}  // namespace aurochs::iscsi
