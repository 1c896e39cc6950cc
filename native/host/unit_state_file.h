// What a volume's SCSI unit remembers, as a file beside replica.json.
//
// Thread:    Load: any, it blocks. Then the volume's loop.
// Ownership: outlives the unit.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/status.h"
#include "io/directory.h"
#include "io/event_loop.h"
#include "scsi/unit_state.h"

namespace aurochs {

class UnitStateFile final : public scsi::UnitStateStore {
 public:
  // `directory` is the replica's, which this process has locked. A file that is not what a unit
  // saved stops here, and the message names it (D2).
  static Result<std::unique_ptr<UnitStateFile>> Load(EventLoop& loop,
                                                     std::unique_ptr<Directory> directory);

  std::span<const std::byte> saved() const override { return saved_; }
  void Save(std::vector<std::byte> bytes, std::function<void(Status)> done) override;

 private:
  UnitStateFile(EventLoop& loop, std::unique_ptr<Directory> directory, std::vector<std::byte> saved)
      : loop_(loop), directory_(std::move(directory)), saved_(std::move(saved)) {}

  EventLoop& loop_;
  const std::unique_ptr<Directory> directory_;
  std::vector<std::byte> saved_;
};

}  // namespace aurochs
