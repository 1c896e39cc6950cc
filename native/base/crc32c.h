// CRC32C (Castagnoli), as iSCSI digests (RFC 7143, 13.1) and our file formats use it. Uses the
// processor's instruction where there is one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace aurochs {

// Of `bytes`, continuing from the checksum of the bytes before them (0 for none).
uint32_t Crc32c(std::span<const std::byte> bytes, uint32_t before = 0);

}  // namespace aurochs
