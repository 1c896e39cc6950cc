// Keeps a unit's state in memory and makes it durable when the test says so.
#pragma once

#include <utility>

#include "base/check.h"
#include "scsi/unit_state.h"

namespace aurochs::test {

class FakeUnitStateStore final : public scsi::UnitStateStore {
 public:
  std::span<const std::byte> saved() const override { return bytes; }
  void Save(std::vector<std::byte> next, std::function<void(Status)> done) override {
    CHECK(!saving());
    next_ = std::move(next);
    done_ = std::move(done);
    ++saves;
  }

  bool saving() const { return done_ != nullptr; }
  // Ends the save under way.
  void Finish(ErrorCode code = ErrorCode::kOk) {
    CHECK(saving());
    if (code == ErrorCode::kOk) bytes = std::move(next_);
    std::exchange(done_, nullptr)(code == ErrorCode::kOk ? Status() : Status(code, "no disk"));
  }

  std::vector<std::byte> bytes;  // what is durable
  int saves = 0;

 private:
  std::vector<std::byte> next_;
  std::function<void(Status)> done_;
};

}  // namespace aurochs::test
