// Work on scattered bytes.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace aurochs::scsi {

uint64_t TotalBytes(std::span<const iovec> pieces);

// Fills `into` with the bytes after the first `skip_bytes`; there are as many.
void CopyFrom(std::span<const iovec> pieces, uint64_t skip_bytes, std::span<std::byte> into);

// The pieces of the `length_bytes` after the first `skip_bytes`.
void SliceInto(std::vector<iovec>& slice, std::span<const iovec> pieces, uint64_t skip_bytes,
               uint64_t length_bytes);

// The index of the first of `bytes` that differs from the bytes after the first `skip_bytes`.
std::optional<size_t> FirstDifference(std::span<const iovec> pieces, uint64_t skip_bytes,
                                      std::span<const std::byte> bytes);

// Ors the bytes, as many as there are in `into`, onto it.
void OrInto(std::span<const iovec> pieces, std::span<std::byte> into);

}  // namespace aurochs::scsi
