#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "block/null_device.h"
#include "nbd/transmission.h"
#include "support/allocation_count.h"
#include "unit/nbd_wire.h"

namespace aurochs::nbd {
namespace {

using test::Bytes;
using test::ExtendedRequestMessage;
using test::RequestMessage;
using test::Wire;

class Ignore : public Transmission::Observer {
 public:
  void OnReplyReady() override {}
};

// Gives it all of `said` and takes all replies, as a connection does; returns their bytes.
size_t Converse(Transmission& transmission, std::span<const std::byte> said) {
  std::array<iovec, 2 * kNbdRequestsInFlightMax> pieces;
  size_t taken = 0;
  while (!said.empty() || transmission.has_output()) {
    size_t filled = 0;
    for (const iovec& piece : transmission.InputSpace()) {
      const size_t count = std::min(piece.iov_len, said.size());
      std::memcpy(piece.iov_base, said.data(), count);
      said = said.subspan(count);
      filled += count;
    }
    transmission.AddInput(filled);
    size_t now = 0;
    const size_t count = transmission.GatherOutput(pieces);
    for (const iovec& piece : std::span(pieces).first(count)) now += piece.iov_len;
    transmission.OutputSent(now);
    transmission.Resume();
    taken += now;
  }
  transmission.ReleaseIdleMemory();
  return taken;
}

TEST(NbdHotPath, ReadsAndWritesDoNotAllocate) {
  if (!aurochs::test::CanCountAllocations()) GTEST_SKIP() << "a sanitizer owns the allocator";
  NullDevice device({.size_bytes = kGiB});
  Ignore observer;
  for (const auto style : {ReplyStyle::kSimple, ReplyStyle::kStructured, ReplyStyle::kExtended}) {
    Transmission transmission(device, {.replies = style}, observer);
    Wire wire;
    for (const uint32_t length_bytes : {4096u, 16'384u, 131'072u}) {
      const Bytes data(length_bytes);
      for (uint64_t i = 0; i < 32; ++i) {
        if (style == ReplyStyle::kExtended) {
          wire.Append(ExtendedRequestMessage(Command::kRead, i, i * kMiB, length_bytes));
          wire.Append(ExtendedRequestMessage(Command::kWrite, i, i * kMiB, length_bytes,
                                             kCommandFlagPayloadLen, data));
        } else {
          wire.Append(RequestMessage(Command::kRead, i, i * kMiB, length_bytes));
          wire.Append(RequestMessage(Command::kWrite, i, i * kMiB, length_bytes, 0, data));
        }
      }
    }
    const size_t reply_bytes = Converse(transmission, wire.bytes());
    const uint64_t before = aurochs::test::AllocationCount();
    for (int round = 0; round < 10; ++round) {
      EXPECT_EQ(Converse(transmission, wire.bytes()), reply_bytes);
    }
    EXPECT_EQ(aurochs::test::AllocationCount(), before);
  }
}

}  // namespace
}  // namespace aurochs::nbd
