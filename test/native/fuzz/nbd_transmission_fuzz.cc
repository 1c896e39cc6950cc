// Any bytes as what a client says in the transmission phase, arriving in pieces, to a device that
// checks how it is used.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/limits.h"
#include "block/checked_device.h"
#include "block/memory_device.h"
#include "nbd/transmission.h"

namespace aurochs::nbd {
namespace {

class Ignore : public Transmission::Observer {
 public:
  void OnReplyReady() override {}
};

void TakeOutput(Transmission& transmission) {
  std::array<iovec, 2 * kNbdRequestsInFlightMax> pieces;
  while (transmission.has_output()) {
    size_t bytes = 0;
    const size_t count = transmission.GatherOutput(pieces);
    for (const iovec& piece : std::span(pieces).first(count)) bytes += piece.iov_len;
    CHECK(bytes > 0);
    transmission.OutputSent(bytes);
    transmission.Resume();
  }
}

// The first byte chooses what was negotiated (bits 1 and 3 the style of replies), the second how
// large the pieces are.
void Run(std::span<const std::byte> bytes) {
  if (bytes.size() < 2) return;
  const auto rules = std::to_integer<uint8_t>(bytes[0]);
  const auto piece = std::to_integer<uint8_t>(bytes[1]);
  bytes = bytes.subspan(2);
  const size_t piece_bytes = piece < 128 ? bytes.size() : size_t{piece} - 127;

  const auto style = (rules & 2) == 0   ? ReplyStyle::kSimple
                     : (rules & 8) == 0 ? ReplyStyle::kStructured
                                        : ReplyStyle::kExtended;
  std::vector<MetaContext> contexts;
  if ((rules & 4) != 0) contexts.push_back({1, "base:allocation", ""});
  if ((rules & 16) != 0) contexts.push_back({2, "aurochs:dirty/s", "gone"});
  MemoryDevice memory(DeviceInfo{.size_bytes = kMiB});
  CheckedDevice device(memory);
  Ignore observer;
  Transmission transmission(
      device, {.read_only = (rules & 1) != 0, .replies = style, .contexts = std::move(contexts)},
      observer);
  while (!bytes.empty() && !transmission.input_closed()) {
    const auto space = transmission.InputSpace();
    size_t filled = 0;
    for (const iovec& one : space) {
      const size_t count = std::min({one.iov_len, bytes.size(), piece_bytes - filled});
      std::memcpy(one.iov_base, bytes.data(), count);
      bytes = bytes.subspan(count);
      filled += count;
    }
    if (filled > 0) transmission.AddInput(filled);
    CHECK(transmission.pinned_bytes() <= kConnectionBufferBytesMax);
    TakeOutput(transmission);
  }
  CHECK(transmission.in_device() == 0);
}

}  // namespace
}  // namespace aurochs::nbd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  aurochs::nbd::Run(std::as_bytes(std::span(data, size)));
  return 0;
}
