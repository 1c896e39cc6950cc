// Parts of scatter lists.
#pragma once

#include <sys/uio.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/check.h"

namespace aurochs {

// Calls visit(bytes) for each piece of the `length_bytes` that lie `skip_bytes` into `iov`.
template <typename Visit>
void ForEachPiece(std::span<const iovec> iov, uint64_t skip_bytes, uint64_t length_bytes,
                  Visit visit) {
  for (const iovec& entry : iov) {
    if (length_bytes == 0) return;
    if (skip_bytes >= entry.iov_len) {
      skip_bytes -= entry.iov_len;
      continue;
    }
    const uint64_t take = std::min<uint64_t>(entry.iov_len - skip_bytes, length_bytes);
    visit(std::span(static_cast<std::byte*>(entry.iov_base) + skip_bytes, take));
    skip_bytes = 0;
    length_bytes -= take;
  }
  CHECK(length_bytes == 0);
}

// Appends that part of `iov` to `out`.
inline void AppendSlice(std::span<const iovec> iov, uint64_t skip_bytes, uint64_t length_bytes,
                        std::vector<iovec>* out) {
  ForEachPiece(iov, skip_bytes, length_bytes, [out](std::span<std::byte> piece) {
    out->push_back({piece.data(), piece.size()});
  });
}

inline void CopyOut(std::span<const iovec> iov, uint64_t skip_bytes, std::span<std::byte> to) {
  std::byte* at = to.data();
  ForEachPiece(iov, skip_bytes, to.size(), [&at](std::span<std::byte> piece) {
    std::memcpy(at, piece.data(), piece.size());
    at += piece.size();
  });
}

inline void FillWithZeros(std::span<const iovec> iov, uint64_t skip_bytes, uint64_t length_bytes) {
  ForEachPiece(iov, skip_bytes, length_bytes,
               [](std::span<std::byte> piece) { std::memset(piece.data(), 0, piece.size()); });
}

}  // namespace aurochs
