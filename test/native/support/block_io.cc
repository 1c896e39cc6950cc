#include "support/block_io.h"

#include <utility>

#include "base/check.h"

namespace aurochs::test {

std::vector<std::byte> Bytes(size_t count, uint8_t value) {
  return std::vector<std::byte>(count, std::byte{value});
}

std::vector<std::byte> Pattern(size_t count, uint8_t seed) {
  std::vector<std::byte> bytes(count);
  for (size_t i = 0; i < count; ++i) {
    bytes[i] = static_cast<std::byte>(seed + i + i / kSectorBytes * 7);
  }
  return bytes;
}

PendingIo::PendingIo(BlockDevice& on, IoOp op, Extent extent, std::vector<std::byte> data)
    : device(on), bytes(std::move(data)) {
  if (op == IoOp::kRead) bytes.assign(extent.length_bytes, std::byte{0xee});
  piece = {bytes.data(), bytes.size()};
  request.op = op;
  request.extent = extent;
  if (op == IoOp::kRead || op == IoOp::kWrite) request.iov = {&piece, 1};
  request.owner = this;
  request.complete = [](IoRequest* done, ErrorCode code) {
    auto* self = static_cast<PendingIo*>(done->owner);
    self->result = code;
    ++self->completions;
  };
}

ErrorCode WriteTo(BlockDevice& device, uint64_t offset_bytes, const std::vector<std::byte>& data) {
  PendingIo io(device, IoOp::kWrite, {offset_bytes, data.size()}, data);
  io.Submit();
  CHECK(io.result.has_value());
  return *io.result;
}

std::vector<std::byte> ReadFrom(BlockDevice& device, uint64_t offset_bytes, size_t count) {
  PendingIo io(device, IoOp::kRead, {offset_bytes, count});
  io.Submit();
  CHECK(io.result == ErrorCode::kOk);
  return io.bytes;
}

ErrorCode RunIo(BlockDevice& device, IoOp op, Extent extent) {
  PendingIo io(device, op, extent);
  io.Submit();
  CHECK(io.result.has_value());
  return *io.result;
}

std::string RunsOf(BlockDevice& device, Extent extent, uint32_t runs_max) {
  AllocationQuery query;
  query.extent = extent;
  query.runs_max = runs_max;
  bool completed = false;
  query.owner = &completed;
  query.complete = [](AllocationQuery* done, ErrorCode code) {
    CHECK(code == ErrorCode::kOk);
    *static_cast<bool*>(done->owner) = true;
  };
  device.Submit(&query);
  CHECK(completed);
  std::string text;
  for (const AllocationRun& run : query.runs) {
    if (!text.empty()) text += ' ';
    text += run.state == AllocationState::kData ? 'd' : 'h';
    text += std::to_string(run.length_bytes);
  }
  return text;
}

}  // namespace aurochs::test
