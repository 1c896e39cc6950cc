// Orders to the kernel over generic netlink: messages of typed attributes, one answer each.
// (linux/netlink.h, linux/genetlink.h)
//
// Thread: any; a call blocks until the kernel has done what it was asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/unique_fd.h"

namespace aurochs {

// A request that is being put together.
class NetlinkRequest {
 public:
  NetlinkRequest(uint16_t family, uint8_t command, uint8_t version);

  void PutU32(uint16_t attribute, uint32_t value);
  void PutU64(uint16_t attribute, uint64_t value);
  void PutText(uint16_t attribute, std::string_view text);  // with the NUL that the kernel expects
  // What is put before EndNest with the returned place becomes part of `attribute`.
  size_t BeginNest(uint16_t attribute);
  void EndNest(size_t place);

  // The bytes to send; asks for an acknowledgement.
  std::span<const std::byte> Finish(uint32_t sequence);

 private:
  std::byte* PutHeader(uint16_t attribute, size_t payload_bytes);

  std::vector<std::byte> bytes_;
};

struct NetlinkAttribute {
  uint16_t type = 0;
  std::span<const std::byte> payload;
};

// Nothing if a length leads out of the bytes. The payloads point into them.
std::optional<std::vector<NetlinkAttribute>> ParseNetlinkAttributes(
    std::span<const std::byte> bytes);

// What the kernel made of a request.
struct NetlinkAnswer {
  int error_number = 0;               // 0: done
  std::vector<std::byte> attributes;  // of the reply, where the command has one
};

// Takes the messages of one datagram that answer request `sequence`; others are passed over. True
// once the acknowledgement was among them, kCorruption if a length leads out of the datagram.
Result<bool> TakeNetlinkAnswer(std::span<const std::byte> datagram, uint32_t sequence,
                               NetlinkAnswer& answer);

class NetlinkSocket {
 public:
  // A socket in the initial network namespace: families of devices are only there, unless the
  // kernel is a recent one. kUnsupported if the kernel has no generic netlink.
  static Result<NetlinkSocket> OpenInInitialNamespace();

  // The number of a family; kNotFound if no module has registered it.
  Result<uint16_t> FindFamily(std::string_view name);
  // A status is for what kept the answer from coming; what the kernel refused is in the answer.
  Result<NetlinkAnswer> Ask(NetlinkRequest& request);

 private:
  explicit NetlinkSocket(UniqueFd fd) : fd_(std::move(fd)) {}

  UniqueFd fd_;
  uint32_t sequence_ = 0;
};

}  // namespace aurochs
