// Block devices of the kernel's NBD client on exports of our own server. The kernel keeps a device
// and its connections when this process ends; it has to be told of new ones within the time that it
// keeps requests for.
//
// Thread: any; blocks on the server and the kernel, so not on a loop.
#pragma once

#include <cstdint>
#include <string>

#include "base/status.h"
#include "nbd/client_handshake.h"
#include "nbd/kernel_control.h"

namespace aurochs::nbd {

struct KernelClientOptions {
  std::string address;  // "HOST:PORT" or "unix:PATH"
  std::string export_name;
  uint32_t connections = 1;  // more than one only where the export says that it takes several
  KernelDeviceTerms terms;
};

// What the kernel is to take the export for. kUnsupported if it cannot.
Result<KernelDeviceShape> ShapeOf(const NegotiatedExport& found);

// Returns N of /dev/nbdN.
Result<uint32_t> ConnectKernelDevice(const KernelClientOptions& options);

// Gives the device new connections in the place of those that the kernel has seen die, and the size
// that the export has now. Returns how many it took: none while all are alive, or while the kernel
// has not noticed yet.
Result<uint32_t> ReconnectKernelDevice(uint32_t index, const KernelClientOptions& options);

// Tells a device whose connections live that its export has grown.
Status ResizeKernelDevice(uint32_t index, uint64_t size_bytes, const std::string& identifier);

// Answers what is in flight with an error. A device without a connection is left as it is.
Status DisconnectKernelDevice(uint32_t index);

}  // namespace aurochs::nbd
