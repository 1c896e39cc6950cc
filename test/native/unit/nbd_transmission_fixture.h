// A transmission phase without a socket: bytes in, replies out.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <span>
#include <vector>

#include "block/checked_device.h"
#include "block/fault_device.h"
#include "block/memory_device.h"
#include "nbd/transmission.h"
#include "unit/nbd_wire.h"

namespace aurochs::nbd::test {

inline constexpr uint64_t kSize = 256 * kMiB;
inline const MetaContext kAllocation{
    .id = kAllocationContextId, .name = "base:allocation", .snapshot_id = ""};
inline const RequestRules kAllRules{
    .read_only = false, .replies = ReplyStyle::kStructured, .contexts = {kAllocation}};

// A transmission over a device in memory whose requests can be held back or failed, and whose use
// is checked.
class TransmissionFixture : public testing::Test, public Transmission::Observer {
 protected:
  TransmissionFixture() { Begin(kAllRules); }
  ~TransmissionFixture() override {
    faults_.ClearFaults();
    faults_.ReleaseAll();
  }

  void Begin(RequestRules rules) {
    style_ = rules.replies;
    transmission_ = std::make_unique<Transmission>(checked_, rules, *this);
    output_.clear();
  }

  // Gives it as much as it takes; returns how much that was.
  size_t Send(std::span<const std::byte> bytes) {
    size_t sent = 0;
    while (sent < bytes.size()) {
      const auto space = transmission_->InputSpace();
      if (space.empty()) break;
      size_t filled = 0;
      for (const iovec& piece : space) {
        const size_t count = std::min(piece.iov_len, bytes.size() - sent);
        std::memcpy(piece.iov_base, bytes.data() + sent, count);
        sent += count;
        filled += count;
      }
      transmission_->AddInput(filled);
    }
    return sent;
  }
  void SendAll(const Bytes& bytes) { ASSERT_EQ(Send(bytes), bytes.size()); }
  // In the style that was negotiated; an extended request with a payload says so by itself.
  void Request(Command command, uint64_t offset_bytes, uint64_t length_bytes, uint16_t flags = 0,
               const Bytes& payload = {}) {
    const uint64_t cookie = ++cookie_;
    if (style_ == ReplyStyle::kExtended) {
      if (!payload.empty()) flags |= kCommandFlagPayloadLen;
      SendAll(ExtendedRequestMessage(command, cookie, offset_bytes, length_bytes, flags, payload));
      return;
    }
    const auto compact_bytes = static_cast<uint32_t>(length_bytes);
    if (command == Command::kRead) read_bytes_[cookie] = compact_bytes;
    SendAll(RequestMessage(command, cookie, offset_bytes, compact_bytes, flags, payload));
  }

  // Takes at most `bytes` of the output, as a socket would.
  size_t TakeOutput(size_t bytes = SIZE_MAX) {
    std::array<iovec, 2 * kNbdRequestsInFlightMax> pieces;
    const size_t count = transmission_->GatherOutput(pieces);
    size_t taken = 0;
    for (const iovec& piece : std::span(pieces).first(count)) {
      const size_t part = std::min(piece.iov_len, bytes - taken);
      const auto* from = static_cast<const std::byte*>(piece.iov_base);
      output_.insert(output_.end(), from, from + part);
      taken += part;
    }
    transmission_->OutputSent(taken);
    transmission_->Resume();
    return taken;
  }

  std::vector<Reply> Replies() {
    while (TakeOutput() > 0) {
    }
    std::vector<Reply> replies;
    ByteReader reader(output_);
    while (auto reply = TakeReply(reader, [&](uint64_t c) { return read_bytes_[c]; })) {
      replies.push_back(std::move(*reply));
    }
    output_.assign(output_.end() - static_cast<ptrdiff_t>(reader.remaining()), output_.end());
    return replies;
  }

  // The reply to the last request, which must be the only one.
  Reply OnlyReply() {
    const auto replies = Replies();
    EXPECT_EQ(replies.size(), 1u);
    if (replies.empty()) return {.error = NbdError::kEshutdown};
    EXPECT_EQ(replies[0].cookie, cookie_);
    return replies[0];
  }
  NbdError ErrorOf(Command command, uint64_t offset_bytes, uint64_t length_bytes,
                   uint16_t flags = 0, const Bytes& payload = {}) {
    Request(command, offset_bytes, length_bytes, flags, payload);
    return OnlyReply().error;
  }

  void OnReplyReady() override { ++replies_ready_; }

  MemoryDevice memory_{DeviceInfo{.size_bytes = kSize}};
  FaultDevice faults_{memory_};
  CheckedDevice checked_{faults_};
  ReplyStyle style_ = ReplyStyle::kSimple;
  std::unique_ptr<Transmission> transmission_;
  Bytes output_;
  uint64_t cookie_ = 0x1122334455667700;
  std::map<uint64_t, uint32_t> read_bytes_;
  int replies_ready_ = 0;
};

}  // namespace aurochs::nbd::test
