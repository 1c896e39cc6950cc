#include "scsi/iovecs.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace aurochs::scsi {
namespace {

// Calls `visit` with each contiguous part of `length_bytes` after the first `skip_bytes`, until it
// returns false. CHECKs that there are as many.
template <typename Visit>
void ForEachPart(std::span<const iovec> pieces, uint64_t skip_bytes, uint64_t length_bytes,
                 Visit visit) {
  for (const iovec& piece : pieces) {
    if (length_bytes == 0) return;
    if (skip_bytes >= piece.iov_len) {
      skip_bytes -= piece.iov_len;
      continue;
    }
    std::byte* begin = static_cast<std::byte*>(piece.iov_base) + skip_bytes;
    const uint64_t count = std::min<uint64_t>(piece.iov_len - skip_bytes, length_bytes);
    skip_bytes = 0;
    length_bytes -= count;
    if (!visit(std::span<std::byte>(begin, count))) return;
  }
  CHECK(length_bytes == 0);
}

}  // namespace

uint64_t TotalBytes(std::span<const iovec> pieces) {
  uint64_t bytes = 0;
  for (const iovec& piece : pieces) bytes += piece.iov_len;
  return bytes;
}

void CopyFrom(std::span<const iovec> pieces, uint64_t skip_bytes, std::span<std::byte> into) {
  ForEachPart(pieces, skip_bytes, into.size(), [&](std::span<std::byte> part) {
    std::memcpy(into.data(), part.data(), part.size());
    into = into.subspan(part.size());
    return true;
  });
}

void SliceInto(std::vector<iovec>& slice, std::span<const iovec> pieces, uint64_t skip_bytes,
               uint64_t length_bytes) {
  slice.clear();
  ForEachPart(pieces, skip_bytes, length_bytes, [&](std::span<std::byte> part) {
    slice.push_back({part.data(), part.size()});
    return true;
  });
}

std::optional<size_t> FirstDifference(std::span<const iovec> pieces, uint64_t skip_bytes,
                                      std::span<const std::byte> bytes) {
  size_t done = 0;
  std::optional<size_t> found;
  ForEachPart(pieces, skip_bytes, bytes.size(), [&](std::span<std::byte> part) {
    const auto here = bytes.subspan(done, part.size());
    done += part.size();
    if (std::memcmp(part.data(), here.data(), part.size()) == 0) return true;
    const auto at = std::mismatch(part.begin(), part.end(), here.begin()).first;
    found = done - part.size() + static_cast<size_t>(at - part.begin());
    return false;
  });
  return found;
}

void OrInto(std::span<const iovec> pieces, std::span<std::byte> into) {
  ForEachPart(pieces, 0, into.size(), [&](std::span<std::byte> part) {
    for (size_t i = 0; i < part.size(); ++i) into[i] |= part[i];
    into = into.subspan(part.size());
    return true;
  });
}

}  // namespace aurochs::scsi
