// What a client can be told about exports before it has chosen one.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "block/block_device.h"
#include "nbd/spec.h"

namespace aurochs::nbd {

class Export;

struct ExportDescription {
  std::string name;
  std::string description;
  bool read_only = false;
  DeviceInfo info;  // as of now; the device may grow later
  // Likewise; never null.
  std::shared_ptr<const SnapshotNames> snapshots = std::make_shared<const SnapshotNames>();
  std::shared_ptr<Export> target;  // for the server; the handshake only carries it
};

class ExportCatalog {
 public:
  virtual std::optional<ExportDescription> Find(std::string_view name) const = 0;
  // In the order of their names.
  virtual std::vector<ExportDescription> List() const = 0;

 protected:
  ~ExportCatalog() = default;
};

// proto.md, "Transmission flags": what the export can do, truthfully.
uint16_t TransmissionFlagsFor(const ExportDescription& chosen, ReplyStyle replies);

}  // namespace aurochs::nbd
