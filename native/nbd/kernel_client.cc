#include "nbd/kernel_client.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <utility>
#include <vector>

#include "base/limits.h"
#include "base/unique_fd.h"
#include "io/socket.h"
#include "nbd/spec.h"

namespace aurochs::nbd {
namespace {

struct Connections {
  std::vector<UniqueFd> sockets;
  NegotiatedExport found;

  std::vector<int> fds() const {
    std::vector<int> numbers;
    for (const UniqueFd& socket : sockets) numbers.push_back(socket.get());
    return numbers;
  }
};

Status CheckOptions(const KernelClientOptions& options) {
  const KernelDeviceTerms& terms = options.terms;
  if (options.connections < 1 || options.connections > kKernelNbdConnectionsMax) {
    return {ErrorCode::kInvalidArgument, "a kernel NBD device has 1 to " +
                                             std::to_string(kKernelNbdConnectionsMax) +
                                             " connections"};
  }
  // Without a limit for requests the kernel never gives up a connection whose server hangs, and
  // TookSocket could not tell.
  for (const uint32_t timeout_s : {terms.request_timeout_s, terms.dead_connection_timeout_s}) {
    if (timeout_s < 1 || timeout_s > kKernelNbdTimeoutSMax) {
      return {ErrorCode::kInvalidArgument, "a timeout of a kernel NBD device has 1 to " +
                                               std::to_string(kKernelNbdTimeoutSMax) + " seconds"};
    }
  }
  if (terms.identifier.empty() || terms.identifier.size() > kKernelNbdIdentifierBytesMax) {
    return {ErrorCode::kInvalidArgument, "an identifier of a kernel NBD device has 1 to " +
                                             std::to_string(kKernelNbdIdentifierBytesMax) +
                                             " bytes"};
  }
  return Status::Ok();
}

Result<Connections> OpenConnections(const KernelClientOptions& options) {
  Connections made;
  uint32_t wanted = 1;
  while (made.sockets.size() < wanted) {
    auto socket = ConnectSocket(options.address, kNbdClientCallTimeoutMs);
    if (!socket.ok()) return socket.status();
    const auto found = NegotiateAsClient(socket->get(), options.export_name);
    if (!found.ok()) return found.status();
    // The kernel sets its own; a receive that ends early would be a broken connection to it.
    RETURN_IF_ERROR(SetSocketTimeouts(socket->get(), 0));
    if (made.sockets.empty()) {
      made.found = *found;
      if ((found->transmission_flags & kFlagCanMultiConn) != 0) wanted = options.connections;
    } else if (*found != made.found) {
      return Status(ErrorCode::kBusy, "the NBD export \"" + options.export_name +
                                          "\" changed while it was being connected; try again");
    }
    made.sockets.push_back(std::move(socket).value());
  }
  return made;
}

// The kernel drops a socket that it has no use for and reports success. One that it takes it gives
// the device's request timeout as the limit for sending.
bool TookSocket(const UniqueFd& socket) {
  timeval limit{};
  socklen_t length = sizeof limit;
  if (::getsockopt(socket.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, &length) != 0) return false;
  return limit.tv_sec != 0 || limit.tv_usec != 0;
}

}  // namespace

// The kernel has one block size for what a request must be aligned to and for what the disk likes
// best. It gets the smallest that the export takes: what is on the volume (partition tables, file
// systems of small blocks) must be the same through iSCSI, where blocks have 512 bytes.
Result<KernelDeviceShape> ShapeOf(const NegotiatedExport& found) {
  const uint32_t block_bytes = std::max(found.block_bytes_min, kKernelNbdBlockBytesMin);
  if (!std::has_single_bit(block_bytes) || block_bytes > kKernelNbdBlockBytesMax) {
    return Status(ErrorCode::kUnsupported, "the kernel's NBD client cannot do blocks of " +
                                               std::to_string(block_bytes) + " bytes");
  }
  const bool is_size =
      found.size_bytes > 0 && found.size_bytes <= INT64_MAX && found.size_bytes % block_bytes == 0;
  if (!is_size) {
    return Status(ErrorCode::kUnsupported, "the kernel's NBD client cannot do a device of " +
                                               std::to_string(found.size_bytes) + " bytes");
  }
  return KernelDeviceShape{found.size_bytes, block_bytes};
}

Result<uint32_t> ConnectKernelDevice(const KernelClientOptions& options) {
  RETURN_IF_ERROR(CheckOptions(options));
  auto control = KernelControl::Open();
  if (!control.ok()) return control.status();
  const auto made = OpenConnections(options);
  if (!made.ok()) return made.status();
  const auto shape = ShapeOf(made->found);
  if (!shape.ok()) return shape.status();
  return control->Connect(*shape, made->found.transmission_flags, options.terms, made->fds());
}

Result<uint32_t> ReconnectKernelDevice(uint32_t index, const KernelClientOptions& options) {
  RETURN_IF_ERROR(CheckOptions(options));
  auto control = KernelControl::Open();
  if (!control.ok()) return control.status();
  const auto made = OpenConnections(options);
  if (!made.ok()) return made.status();
  const auto shape = ShapeOf(made->found);
  if (!shape.ok()) return shape.status();
  // Two steps: to change the size, newer kernels wait for the requests under way, and those wait
  // for a connection.
  RETURN_IF_ERROR(control->ReplaceSockets(index, options.terms, made->fds()));
  RETURN_IF_ERROR(control->Resize(index, *shape, options.terms));
  return static_cast<uint32_t>(std::ranges::count_if(made->sockets, TookSocket));
}

Status ResizeKernelDevice(uint32_t index, uint64_t size_bytes, const std::string& identifier) {
  auto control = KernelControl::Open();
  if (!control.ok()) return control.status();
  return control->SetSize(index, size_bytes, identifier);
}

Status DisconnectKernelDevice(uint32_t index) {
  auto control = KernelControl::Open();
  if (!control.ok()) return control.status();
  return control->Disconnect(index);
}

}  // namespace aurochs::nbd
