// Feeds a logical unit with commands cut from the input: CDB, expected length, data-out, and
// whether the device holds the request back or fails it. CheckedDevice stops the process when
// something reaches the device that should have been refused.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "base/check.h"
#include "base/limits.h"
#include "block/checked_device.h"
#include "block/fault_device.h"
#include "block/memory_device.h"
#include "scsi/logical_unit.h"

namespace aurochs::scsi {
namespace {

constexpr size_t kCommandsMax = 64;
constexpr uint64_t kDataOutBytesMax = 64 * kKiB;  // bounds the time that one input takes

// Takes bytes off the front of the input; zeros once it is used up.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}
  bool empty() const { return size_ == 0; }
  uint8_t U8() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }
  uint32_t U16() {
    const uint32_t high = U8();
    return high << 8 | U8();
  }

 private:
  const uint8_t* data_;
  size_t size_;
};

struct Sent {
  Command command;
  std::vector<std::byte> data_out;
  iovec piece{};
  LogicalUnit* unit = nullptr;
  bool done = false;
};

void OnComplete(Command* command) {
  auto* sent = static_cast<Sent*>(command->owner);
  CHECK(!sent->done);
  sent->done = true;
  uint64_t length_bytes = 0;
  for (const iovec& piece : command->data_in) length_bytes += piece.iov_len;
  CHECK(length_bytes == command->data_in_bytes);
  CHECK(length_bytes <= command->data_in_bytes_max);
  CHECK(length_bytes <= command->data_in_bytes_untruncated);
  CHECK((command->status == Status::kCheckCondition) == !command->sense.empty());
  sent->unit->Release(command);
}

void Send(LogicalUnit& unit, const uint64_t (&nexuses)[2], Input& input, Sent& sent) {
  for (std::byte& byte : sent.command.cdb) byte = std::byte{input.U8()};
  const uint8_t choices = input.U8();
  sent.unit = &unit;
  sent.command.nexus = nexuses[choices & 1];
  sent.command.data_in_bytes_max = (choices & 2) != 0 ? input.U16() : kRequestBytesMax;
  const Plan plan = unit.PlanFor(sent.command.cdb);
  if (plan.direction == DataDirection::kOut) {
    const uint64_t length_max = std::min(plan.length_bytes, kDataOutBytesMax);
    const uint64_t length =
        (choices & 4) != 0 ? std::min<uint64_t>(input.U16(), length_max) : length_max;
    sent.data_out.resize(length);
    for (size_t i = 0; i < std::min<size_t>(length, 256); ++i) {
      sent.data_out[i] = std::byte{input.U8()};
    }
    sent.piece = {sent.data_out.data(), length};
    if (length > 0) sent.command.data_out = {&sent.piece, 1};
    sent.command.data_out_bytes_expected = (choices & 8) != 0 ? input.U16() : length;
  }
  sent.command.owner = &sent;
  sent.command.complete = &OnComplete;
  unit.Submit(&sent.command);
}

void Run(Input input) {
  MemoryDevice memory({.size_bytes = kMiB});
  FaultDevice faulty(memory);
  CheckedDevice device(faulty);
  const auto unit = LogicalUnit::Create(device, {.serial = "fuzz", .naa = 1});
  const uint64_t nexuses[2] = {unit->AttachNexus({"iqn.2026-11.fuzz:a,i,0x1", 1}),
                               unit->AttachNexus({"iqn.2026-11.fuzz:b,i,0x1", 1})};
  uint8_t fate = 0;
  faulty.DelayMatching([&](const IoRequest&) { return (fate & 7) == 1; });
  faulty.FailMatching([&](const IoRequest&) { return (fate & 7) == 2; }, ErrorCode::kIo);

  std::vector<std::unique_ptr<Sent>> commands;
  while (!input.empty() && commands.size() < kCommandsMax) {
    fate = input.U8();
    if ((fate & 0x80) != 0 && !faulty.delayed().empty()) faulty.Release();
    if ((fate & 0x78) == 0x78) unit->Reset();
    commands.push_back(std::make_unique<Sent>());
    Send(*unit, nexuses, input, *commands.back());
  }
  faulty.ClearFaults();
  while (!faulty.delayed().empty()) faulty.Release();
  for (const auto& sent : commands) CHECK(sent->done);
  for (uint64_t nexus : nexuses) unit->DetachNexus(nexus);
}

}  // namespace
}  // namespace aurochs::scsi

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  aurochs::scsi::Run(aurochs::scsi::Input(data, size));
  return 0;
}
