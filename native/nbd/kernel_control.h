// Orders to the kernel's NBD client: the generic netlink family "nbd" (linux/nbd-netlink.h).
//
// Thread: any; a call blocks until the kernel has done it.
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/status.h"
#include "io/generic_netlink.h"

namespace aurochs::nbd {

// How long the kernel waits, and what it calls the device's other end.
struct KernelDeviceTerms {
  uint32_t request_timeout_s = 0;  // then the request's connection is taken for dead
  uint32_t dead_connection_timeout_s = 0;
  std::string identifier;  // /sys/block/nbdN/backend, since Linux 5.14; RECONFIGURE must repeat it
};

struct KernelDeviceShape {
  uint64_t size_bytes = 0;
  uint32_t block_bytes = 0;
};

// The requests, for `family` as the kernel numbers it.
NetlinkRequest ConnectRequest(uint16_t family, const KernelDeviceShape& shape,
                              uint16_t server_flags, const KernelDeviceTerms& terms,
                              std::span<const int> sockets);
NetlinkRequest ReplaceSocketsRequest(uint16_t family, uint32_t index,
                                     const KernelDeviceTerms& terms, std::span<const int> sockets);
NetlinkRequest ResizeRequest(uint16_t family, uint32_t index, const KernelDeviceShape& shape,
                             const KernelDeviceTerms& terms);
// The size alone: its blocks, connections and terms stay as they are.
NetlinkRequest SetSizeRequest(uint16_t family, uint32_t index, uint64_t size_bytes,
                              const std::string& identifier);
NetlinkRequest DisconnectRequest(uint16_t family, uint32_t index);

enum class KernelOrder : uint8_t { kConnect, kReconfigure, kDisconnect };

// The only translation of what the kernel's client answers. `device` names it in the message.
Status StatusOfOrder(KernelOrder order, int error_number, const std::string& device);

class KernelControl {
 public:
  // kUnsupported if the kernel has no NBD.
  static Result<KernelControl> Open();

  // Starts a free device, or a new one if none is; returns its index. The kernel keeps the sockets.
  Result<uint32_t> Connect(const KernelDeviceShape& shape, uint16_t server_flags,
                           const KernelDeviceTerms& terms, std::span<const int> sockets);
  // Offers sockets for connections that have died. The kernel takes as many as have, and does not
  // say how many that is.
  Status ReplaceSockets(uint32_t index, const KernelDeviceTerms& terms,
                        std::span<const int> sockets);
  Status Resize(uint32_t index, const KernelDeviceShape& shape, const KernelDeviceTerms& terms);
  Status SetSize(uint32_t index, uint64_t size_bytes, const std::string& identifier);
  Status Disconnect(uint32_t index);

 private:
  KernelControl(NetlinkSocket socket, uint16_t family)
      : socket_(std::move(socket)), family_(family) {}
  Result<NetlinkAnswer> Order(KernelOrder order, NetlinkRequest request, const std::string& device);

  NetlinkSocket socket_;
  uint16_t family_;
};

}  // namespace aurochs::nbd
