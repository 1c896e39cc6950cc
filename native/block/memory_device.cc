#include "block/memory_device.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "base/check.h"

namespace aurochs {
namespace {

// The part of [offset, offset + length) that lies in the page of `offset`.
uint64_t LengthInPage(uint64_t offset_bytes, uint64_t length_bytes, uint64_t page_bytes) {
  return std::min(length_bytes, page_bytes - offset_bytes % page_bytes);
}

}  // namespace

void MemoryDevice::Submit(IoRequest* request) {
  request->complete(request, Execute(*request));
}

ErrorCode MemoryDevice::Execute(const IoRequest& request) {
  if (request.op == IoOp::kFlush) return ErrorCode::kOk;
  CHECK(Contains(request.extent));
  if (request.op != IoOp::kRead && info_.read_only) return ErrorCode::kReadOnly;
  switch (request.op) {
    case IoOp::kRead: Read(request.extent, request.iov); break;
    case IoOp::kWrite: Write(request.extent, request.iov); break;
    case IoOp::kWriteZeroes:
      if (request.keep_allocated || !info_.can_unmap) {
        WriteZeroes(request.extent);
      } else {
        Unmap(request.extent);
      }
      break;
    case IoOp::kUnmap:
      if (!info_.can_unmap) return ErrorCode::kUnsupported;
      Unmap(request.extent);
      break;
    case IoOp::kFlush: break;
  }
  return ErrorCode::kOk;
}

void MemoryDevice::Read(Extent extent, std::span<const iovec> iov) const {
  uint64_t offset_bytes = extent.offset_bytes;
  for (const iovec& piece : iov) {
    auto* into = static_cast<std::byte*>(piece.iov_base);
    for (uint64_t left = piece.iov_len; left > 0;) {
      const uint64_t length = LengthInPage(offset_bytes, left, kPageBytes);
      const auto page = pages_.find(offset_bytes / kPageBytes);
      if (page == pages_.end()) {
        std::memset(into, 0, length);
      } else {
        std::memcpy(into, page->second->bytes.data() + offset_bytes % kPageBytes, length);
      }
      into += length;
      offset_bytes += length;
      left -= length;
    }
  }
  CHECK(offset_bytes == extent.end_bytes());
}

void MemoryDevice::Write(Extent extent, std::span<const iovec> iov) {
  uint64_t offset_bytes = extent.offset_bytes;
  for (const iovec& piece : iov) {
    const auto* from = static_cast<const std::byte*>(piece.iov_base);
    for (uint64_t left = piece.iov_len; left > 0;) {
      const uint64_t length = LengthInPage(offset_bytes, left, kPageBytes);
      CHECK(length <= extent.end_bytes() - offset_bytes);
      Page& page = PageFor(offset_bytes);
      Allocate(page, offset_bytes, length);
      std::memcpy(page.bytes.data() + offset_bytes % kPageBytes, from, length);
      from += length;
      offset_bytes += length;
      left -= length;
    }
  }
  CHECK(offset_bytes == extent.end_bytes());
}

void MemoryDevice::WriteZeroes(Extent extent) {
  uint64_t offset_bytes = extent.offset_bytes;
  while (offset_bytes < extent.end_bytes()) {
    const uint64_t length =
        LengthInPage(offset_bytes, extent.end_bytes() - offset_bytes, kPageBytes);
    Page& page = PageFor(offset_bytes);
    Allocate(page, offset_bytes, length);
    std::memset(page.bytes.data() + offset_bytes % kPageBytes, 0, length);
    offset_bytes += length;
  }
}

void MemoryDevice::Unmap(Extent extent) {
  uint64_t offset_bytes = extent.offset_bytes;
  while (offset_bytes < extent.end_bytes()) {
    const uint64_t length =
        LengthInPage(offset_bytes, extent.end_bytes() - offset_bytes, kPageBytes);
    UnmapInPage(offset_bytes, length);
    offset_bytes += length;
  }
}

void MemoryDevice::UnmapInPage(uint64_t offset_bytes, uint64_t length_bytes) {
  const auto entry = pages_.find(offset_bytes / kPageBytes);
  if (entry == pages_.end()) return;
  Page& page = *entry->second;
  const uint64_t begin = offset_bytes % kPageBytes;
  const uint64_t end = begin + length_bytes;
  std::memset(page.bytes.data() + begin, 0, length_bytes);
  for (uint64_t block = AlignUp(begin, kBlockBytes) / kBlockBytes; (block + 1) * kBlockBytes <= end;
       ++block) {
    const uint32_t bit = 1u << block;
    if ((page.allocated & bit) != 0) --allocated_blocks_;
    page.allocated &= ~bit;
  }
  if (page.allocated == 0) pages_.erase(entry);
}

MemoryDevice::Page& MemoryDevice::PageFor(uint64_t offset_bytes) {
  std::unique_ptr<Page>& page = pages_[offset_bytes / kPageBytes];
  if (page == nullptr) page = std::make_unique<Page>();
  return *page;
}

void MemoryDevice::Allocate(Page& page, uint64_t offset_bytes, uint64_t length_bytes) {
  const uint64_t first = offset_bytes % kPageBytes / kBlockBytes;
  const uint64_t last = (offset_bytes + length_bytes - 1) % kPageBytes / kBlockBytes;
  uint32_t bits = 0;
  for (uint64_t block = first; block <= last; ++block) bits |= 1u << block;
  allocated_blocks_ += static_cast<uint64_t>(std::popcount(bits & ~page.allocated));
  page.allocated |= bits;
}

AllocationRun MemoryDevice::RunAt(uint64_t offset_bytes, uint64_t length_bytes) const {
  const auto page = pages_.lower_bound(offset_bytes / kPageBytes);
  if (page == pages_.end()) return {length_bytes, AllocationState::kHole};
  const uint64_t page_begin = page->first * kPageBytes;
  if (page_begin > offset_bytes) {
    return {std::min(length_bytes, page_begin - offset_bytes), AllocationState::kHole};
  }
  const uint64_t block = (offset_bytes - page_begin) / kBlockBytes;
  const bool allocated = (page->second->allocated >> block & 1) != 0;
  return {LengthInPage(offset_bytes, length_bytes, kBlockBytes),
          allocated ? AllocationState::kData : AllocationState::kHole};
}

void MemoryDevice::Submit(AllocationQuery* query) {
  CHECK(Contains(query->extent));
  query->runs.clear();
  uint64_t offset_bytes = query->extent.offset_bytes;
  while (offset_bytes < query->extent.end_bytes()) {
    const AllocationRun run = RunAt(offset_bytes, query->extent.end_bytes() - offset_bytes);
    if (!query->runs.empty() && query->runs.back().state == run.state) {
      query->runs.back().length_bytes += run.length_bytes;
    } else if (query->runs.size() < query->runs_max) {
      query->runs.push_back(run);
    } else {
      break;
    }
    offset_bytes += run.length_bytes;
  }
  query->complete(query, ErrorCode::kOk);
}

void MemoryDevice::Expand(uint64_t size_bytes) {
  CHECK(size_bytes >= info_.size_bytes);
  info_.size_bytes = size_bytes;
  NotifyInfoChanged();
}

}  // namespace aurochs
