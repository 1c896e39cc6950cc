#include "nbd/kernel_control.h"

#include <linux/nbd-netlink.h>

#include <cerrno>
#include <utility>

#include "base/byte_reader.h"

namespace aurochs::nbd {
namespace {

std::string DeviceName(uint32_t index) {
  return "/dev/nbd" + std::to_string(index);
}

void PutTerms(NetlinkRequest& request, const KernelDeviceTerms& terms) {
  request.PutU64(NBD_ATTR_TIMEOUT, terms.request_timeout_s);
  request.PutU64(NBD_ATTR_DEAD_CONN_TIMEOUT, terms.dead_connection_timeout_s);
  request.PutText(NBD_ATTR_BACKEND_IDENTIFIER, terms.identifier);
}

void PutShape(NetlinkRequest& request, const KernelDeviceShape& shape) {
  request.PutU64(NBD_ATTR_SIZE_BYTES, shape.size_bytes);
  request.PutU64(NBD_ATTR_BLOCK_SIZE_BYTES, shape.block_bytes);
}

void PutSockets(NetlinkRequest& request, std::span<const int> sockets) {
  const size_t list = request.BeginNest(NBD_ATTR_SOCKETS);
  for (const int fd : sockets) {
    const size_t item = request.BeginNest(NBD_SOCK_ITEM);
    request.PutU32(NBD_SOCK_FD, static_cast<uint32_t>(fd));
    request.EndNest(item);
  }
  request.EndNest(list);
}

Status InvalidOrder(KernelOrder order, const std::string& device) {
  switch (order) {
    case KernelOrder::kConnect:
      return {ErrorCode::kUnsupported,
              "the kernel's NBD client refuses the export's size or block size; the kernel's log"
              " says why"};
    case KernelOrder::kReconfigure:
      return {ErrorCode::kFailedPrecondition,
              device + " is not connected, or to something else; connect it anew"};
    case KernelOrder::kDisconnect: return {ErrorCode::kNotFound, "there is no " + device};
  }
  Unreachable("InvalidOrder");
}

}  // namespace

// Without client flags: a device that loses its connection, or whose last user closes it, stays
// until it is told to go, and its number is then free for the next one.
NetlinkRequest ConnectRequest(uint16_t family, const KernelDeviceShape& shape,
                              uint16_t server_flags, const KernelDeviceTerms& terms,
                              std::span<const int> sockets) {
  NetlinkRequest request(family, NBD_CMD_CONNECT, NBD_GENL_VERSION);
  PutShape(request, shape);
  request.PutU64(NBD_ATTR_SERVER_FLAGS, server_flags);
  PutTerms(request, terms);
  PutSockets(request, sockets);
  return request;
}

NetlinkRequest ReplaceSocketsRequest(uint16_t family, uint32_t index,
                                     const KernelDeviceTerms& terms, std::span<const int> sockets) {
  NetlinkRequest request(family, NBD_CMD_RECONFIGURE, NBD_GENL_VERSION);
  request.PutU32(NBD_ATTR_INDEX, index);
  PutTerms(request, terms);
  PutSockets(request, sockets);
  return request;
}

NetlinkRequest ResizeRequest(uint16_t family, uint32_t index, const KernelDeviceShape& shape,
                             const KernelDeviceTerms& terms) {
  NetlinkRequest request(family, NBD_CMD_RECONFIGURE, NBD_GENL_VERSION);
  request.PutU32(NBD_ATTR_INDEX, index);
  PutShape(request, shape);
  PutTerms(request, terms);
  return request;
}

NetlinkRequest SetSizeRequest(uint16_t family, uint32_t index, uint64_t size_bytes,
                              const std::string& identifier) {
  NetlinkRequest request(family, NBD_CMD_RECONFIGURE, NBD_GENL_VERSION);
  request.PutU32(NBD_ATTR_INDEX, index);
  request.PutU64(NBD_ATTR_SIZE_BYTES, size_bytes);
  request.PutText(NBD_ATTR_BACKEND_IDENTIFIER, identifier);
  return request;
}

NetlinkRequest DisconnectRequest(uint16_t family, uint32_t index) {
  NetlinkRequest request(family, NBD_CMD_DISCONNECT, NBD_GENL_VERSION);
  request.PutU32(NBD_ATTR_INDEX, index);
  return request;
}

Status StatusOfOrder(KernelOrder order, int error_number, const std::string& device) {
  switch (error_number) {
    case 0: return Status::Ok();
    case EPERM:
    case EACCES:
      return {ErrorCode::kPermissionDenied,
              "the kernel's NBD client obeys only root (CAP_SYS_ADMIN); run the agent as root"};
    case EINVAL: return InvalidOrder(order, device);
    case EBUSY: return {ErrorCode::kBusy, device + " is in use by somebody else"};
    case EEXIST:
    case ENOSPC:
      return {ErrorCode::kLimitExceeded,
              "no NBD device is free; detach volumes, or load the module with a larger nbds_max"};
    default: return Status::FromErrno(error_number, "the kernel's NBD client, " + device);
  }
}

Result<KernelControl> KernelControl::Open() {
  auto socket = NetlinkSocket::OpenInInitialNamespace();
  if (!socket.ok()) return socket.status();
  const auto family = socket->FindFamily(NBD_GENL_FAMILY_NAME);
  if (family.ok()) return KernelControl(std::move(socket).value(), *family);
  if (family.status().code() != ErrorCode::kNotFound) return family.status();
  return Status(ErrorCode::kUnsupported,
                "the kernel has no NBD client; load its module with: modprobe nbd");
}

Result<NetlinkAnswer> KernelControl::Order(KernelOrder order, NetlinkRequest request,
                                           const std::string& device) {
  auto answer = socket_.Ask(request);
  if (!answer.ok()) return answer.status();
  RETURN_IF_ERROR(StatusOfOrder(order, answer->error_number, device));
  return answer;
}

Result<uint32_t> KernelControl::Connect(const KernelDeviceShape& shape, uint16_t server_flags,
                                        const KernelDeviceTerms& terms,
                                        std::span<const int> sockets) {
  const auto answer =
      Order(KernelOrder::kConnect, ConnectRequest(family_, shape, server_flags, terms, sockets),
            "a free device");
  if (!answer.ok()) return answer.status();
  const auto attributes = ParseNetlinkAttributes(answer->attributes);
  if (attributes) {
    for (const NetlinkAttribute& attribute : *attributes) {
      if (attribute.type == NBD_ATTR_INDEX && attribute.payload.size() == sizeof(uint32_t)) {
        return LoadHostOrder<uint32_t>(attribute.payload.data());
      }
    }
  }
  return Status(ErrorCode::kIo, "the kernel does not say which NBD device it has connected");
}

Status KernelControl::ReplaceSockets(uint32_t index, const KernelDeviceTerms& terms,
                                     std::span<const int> sockets) {
  return Order(KernelOrder::kReconfigure, ReplaceSocketsRequest(family_, index, terms, sockets),
               DeviceName(index))
      .status();
}

Status KernelControl::Resize(uint32_t index, const KernelDeviceShape& shape,
                             const KernelDeviceTerms& terms) {
  return Order(KernelOrder::kReconfigure, ResizeRequest(family_, index, shape, terms),
               DeviceName(index))
      .status();
}

Status KernelControl::SetSize(uint32_t index, uint64_t size_bytes, const std::string& identifier) {
  return Order(KernelOrder::kReconfigure, SetSizeRequest(family_, index, size_bytes, identifier),
               DeviceName(index))
      .status();
}

Status KernelControl::Disconnect(uint32_t index) {
  return Order(KernelOrder::kDisconnect, DisconnectRequest(family_, index), DeviceName(index))
      .status();
}

}  // namespace aurochs::nbd
