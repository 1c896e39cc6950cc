// A device with nothing behind it: writes vanish, reads are zeros. Behind a frontend it shows the
// frontend's own limit. What it costs is one memset of the read buffers, which may not be left out:
// they hold what earlier requests of other initiators left in them.
//
// Thread: the device's loop. Every request completes inside Submit.
#pragma once

#include "block/block_device.h"

namespace aurochs {

class NullDevice : public BlockDevice {
 public:
  explicit NullDevice(const DeviceInfo& info) : info_(info) {}

  const DeviceInfo& info() const override { return info_; }
  void Submit(IoRequest* request) override;
  void Submit(AllocationQuery* query) override;

 private:
  const DeviceInfo info_;
};

}  // namespace aurochs
