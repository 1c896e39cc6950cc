#include <algorithm>

#include "base/byte_reader.h"
#include "base/check.h"
#include "block/buffer_pool.h"
#include "scsi/command_spec.h"
#include "scsi/spec.h"
#include "scsi/unit.h"

namespace aurochs::scsi {
namespace {

// SPC-4, 6.6.1, 6.33 and 6.39: the commands that an incorrect LUN answers.
class AbsentUnit final : public LogicalUnit {
 public:
  uint64_t AttachNexus(NexusId) override { return 1; }
  void DetachNexus(uint64_t) override {}
  Plan PlanFor(std::span<const std::byte, 16> cdb) const override {
    const CommandLookup found = FindCommand(cdb);
    return found.spec == nullptr ? Plan{} : PlanOf(*found.spec, cdb, kSectorBytes);
  }
  void Submit(Command* command) override;
  void Release(Command* command) override;
  void Reset() override {}

 private:
  struct Answer {
    PooledBuffer buffer;
    iovec piece;
  };

  // The data-in of the command, or nothing if the LUN does not answer it.
  std::optional<std::vector<std::byte>> DataFor(const Command& command) const;
};

std::optional<std::vector<std::byte>> AbsentUnit::DataFor(const Command& command) const {
  constexpr uint8_t kEvpd = 0x01;
  const auto not_supported = EncodeFixedSense(IllegalRequest(Asc::kLogicalUnitNotSupported));
  switch (CdbByte(command.cdb, 0)) {
    case opcode::kInquiry:
      if ((CdbByte(command.cdb, 1) & kEvpd) != 0 || CdbByte(command.cdb, 2) != 0) break;
      return StandardInquiryData({}, {.present = false});
    case opcode::kReportLuns: return ReportLunsData();
    case opcode::kRequestSense:
      return std::vector<std::byte>(not_supported.begin(), not_supported.end());
    default: break;
  }
  return std::nullopt;
}

void AbsentUnit::Submit(Command* command) {
  command->status = Status::kGood;
  command->sense = {};
  command->data_in = {};
  command->data_in_bytes = 0;
  command->data_in_bytes_untruncated = 0;
  command->unit_state = nullptr;
  const auto data = DataFor(*command);
  if (!data) {
    command->status = Status::kCheckCondition;
    command->sense_storage = EncodeFixedSense(IllegalRequest(Asc::kLogicalUnitNotSupported));
    command->sense = command->sense_storage;
    return command->complete(command);
  }
  const uint64_t wanted = std::min<uint64_t>(data->size(), PlanFor(command->cdb).length_bytes);
  const uint64_t length = std::min(wanted, command->data_in_bytes_max);
  command->data_in_bytes_untruncated = wanted;
  if (length > 0) {
    auto* answer = new Answer{BufferPool::OfThisThread().Allocate(length), {}};
    CHECK(answer->buffer);
    std::copy_n(data->begin(), length, answer->buffer.data());
    answer->piece = {answer->buffer.data(), length};
    command->unit_state = answer;
    command->data_in = {&answer->piece, 1};
    command->data_in_bytes = length;
  }
  command->complete(command);
}

void AbsentUnit::Release(Command* command) {
  delete static_cast<Answer*>(command->unit_state);
  command->unit_state = nullptr;
  command->data_in = {};
}

}  // namespace

std::unique_ptr<LogicalUnit> CreateAbsentUnit() {
  return std::make_unique<AbsentUnit>();
}

}  // namespace aurochs::scsi
