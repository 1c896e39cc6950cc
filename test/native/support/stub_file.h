// A file without a descriptor that does nothing and succeeds: a base for files of which a test
// wants to see or hold up one kind of call.
#pragma once

#include "io/file.h"

namespace aurochs {

class StubFile : public File {
 public:
  Status ReadAt(std::span<std::byte>, uint64_t) override { return Status::Ok(); }
  Status WriteAt(std::span<const std::byte>, uint64_t) override { return Status::Ok(); }
  bool TryReadV(std::span<const iovec>, uint64_t) override { return false; }
  Status PunchHole(uint64_t, uint64_t) override { return Status::Ok(); }
  Status DropCached() override { return Status::Ok(); }
  Status SyncData() override { return Status::Ok(); }
  Result<uint64_t> SizeBytes() override { return uint64_t{0}; }
  Status Truncate(uint64_t) override { return Status::Ok(); }
  Result<uint64_t> AllocatedBytes() override { return uint64_t{0}; }
  Result<std::optional<FileRange>> NextData(uint64_t, uint64_t) override {
    return std::optional<FileRange>();
  }
  Status CloneRangeFrom(File&, uint64_t, uint64_t) override { return Status::Ok(); }
  int fd() const override { return -1; }
};

}  // namespace aurochs
