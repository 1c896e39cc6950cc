// Parameter data under construction: big-endian fields one after the other, growing.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "base/byte_writer.h"

namespace aurochs::scsi {

class ByteList {
 public:
  size_t size() const { return bytes_.size(); }
  void U8(uint8_t value) { Put(value); }
  void U16(uint16_t value) { Put(value); }
  void U32(uint32_t value) { Put(value); }
  void U64(uint64_t value) { Put(value); }
  void Zeros(size_t count) { bytes_.resize(bytes_.size() + count); }
  void Bytes(std::span<const std::byte> from) {
    bytes_.insert(bytes_.end(), from.begin(), from.end());
  }
  void Text(std::string_view text) { Bytes(std::as_bytes(std::span(text))); }
  // Cut or filled with spaces (SPC-4, 4.3.1).
  void PaddedText(std::string_view text, size_t width) {
    Text(text.substr(0, width));
    for (size_t i = text.size(); i < width; ++i) U8(' ');
  }

  // Stores what follows `offset` and its own field as the length field there.
  void SetLength16(size_t offset) {
    StoreBigEndian(bytes_.data() + offset, static_cast<uint16_t>(size() - offset - 2));
  }
  void SetLength32(size_t offset) {
    StoreBigEndian(bytes_.data() + offset, static_cast<uint32_t>(size() - offset - 4));
  }
  void SetU32(size_t offset, uint32_t value) { StoreBigEndian(bytes_.data() + offset, value); }
  void SetU8(size_t offset, uint8_t value) { bytes_[offset] = std::byte{value}; }

  std::span<const std::byte> bytes() const { return bytes_; }
  std::vector<std::byte> Take() && { return std::move(bytes_); }

 private:
  template <std::unsigned_integral T>
  void Put(T value) {
    bytes_.resize(bytes_.size() + sizeof(T));
    StoreBigEndian(bytes_.data() + bytes_.size() - sizeof(T), value);
  }

  std::vector<std::byte> bytes_;
};

}  // namespace aurochs::scsi
