#include "support/scsi_initiator.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <utility>

#include "base/byte_reader.h"
#include "base/byte_writer.h"
#include "base/check.h"

namespace aurochs::test {

Cdb MakeCdb(std::initializer_list<unsigned> bytes) {
  Cdb cdb{};
  size_t at = 0;
  for (unsigned byte : bytes) cdb.at(at++) = static_cast<std::byte>(byte);
  return cdb;
}

Cdb MakeCdb10(uint8_t opcode, uint32_t lba, uint16_t blocks, uint8_t flags) {
  Cdb cdb = MakeCdb({opcode, flags});
  StoreBigEndian(cdb.data() + 2, lba);
  StoreBigEndian(cdb.data() + 7, blocks);
  return cdb;
}

Cdb MakeCdb16(uint8_t opcode, uint64_t lba, uint32_t blocks, uint8_t flags) {
  Cdb cdb = MakeCdb({opcode, flags});
  StoreBigEndian(cdb.data() + 2, lba);
  StoreBigEndian(cdb.data() + 10, blocks);
  return cdb;
}

SentCommand::SentCommand(scsi::LogicalUnit& unit, uint64_t nexus, const Cdb& cdb,
                         std::vector<std::byte> data_out, uint64_t data_in_bytes_max)
    : unit_(unit), data_out_(std::move(data_out)) {
  command_.cdb = cdb;
  command_.nexus = nexus;
  command_.data_in_bytes_max = data_in_bytes_max;
  // Two pieces of uneven length, so that nobody relies on one.
  const size_t cut = data_out_.size() / 3;
  if (cut > 0) pieces_.push_back({data_out_.data(), cut});
  if (data_out_.size() > cut) pieces_.push_back({data_out_.data() + cut, data_out_.size() - cut});
  command_.data_out = pieces_;
  command_.owner = this;
  command_.complete = [](scsi::Command* command) {
    auto* self = static_cast<SentCommand*>(command->owner);
    ++self->completions_;
    uint64_t total = 0;
    for (const iovec& piece : command->data_in) {
      const auto* from = static_cast<const std::byte*>(piece.iov_base);
      self->data_.insert(self->data_.end(), from, from + piece.iov_len);
      total += piece.iov_len;
    }
    CHECK(total == command->data_in_bytes);
    CHECK(total <= command->data_in_bytes_max);
    self->unit_.Release(command);
  };
}

SentCommand::~SentCommand() {
  CHECK(done());
}

std::string SentCommand::result() const {
  if (!done()) return "PENDING";
  switch (command_.status) {
    case scsi::Status::kGood: return "GOOD";
    case scsi::Status::kBusy: return "BUSY";
    case scsi::Status::kReservationConflict: return "RESERVATION CONFLICT";
    case scsi::Status::kTaskSetFull: return "TASK SET FULL";
    case scsi::Status::kTaskAborted: return "TASK ABORTED";
    case scsi::Status::kCheckCondition: break;
  }
  CHECK(command_.sense.size() == scsi::kFixedSenseBytes);
  char text[32];
  std::snprintf(text, sizeof text, "%x/%02x/%02x", static_cast<unsigned>(command_.sense[2]),
                static_cast<unsigned>(command_.sense[12]),
                static_cast<unsigned>(command_.sense[13]));
  return text;
}

std::optional<uint32_t> SentCommand::information() const {
  if (command_.sense.empty() || (command_.sense[0] & std::byte{0x80}) == std::byte{0}) return {};
  return LoadBigEndian<uint32_t>(command_.sense.data() + 3);
}

std::optional<int> SentCommand::field_pointer() const {
  if (command_.sense.empty() || command_.sense[15] != std::byte{0xc0}) return {};
  return LoadBigEndian<uint16_t>(command_.sense.data() + 16);
}

Initiator::Initiator(scsi::LogicalUnit& unit, std::string name, bool take_attention)
    : unit_(unit), nexus_(unit.AttachNexus({std::move(name), 1})) {
  if (take_attention) CHECK(TestUnitReady() == "6/29/00");
}

Initiator::~Initiator() {
  unit_.DetachNexus(nexus_);
}

std::unique_ptr<SentCommand> Initiator::Send(const Cdb& cdb, std::vector<std::byte> data_out,
                                             uint64_t data_in_bytes_max) {
  const scsi::Plan plan = unit_.PlanFor(cdb);
  if (data_in_bytes_max == kPlanned) {
    data_in_bytes_max = plan.direction == scsi::DataDirection::kIn ? plan.length_bytes : 0;
  }
  const uint64_t sent_bytes = data_out.size();
  const uint64_t taken = plan.direction == scsi::DataDirection::kOut ? plan.length_bytes : 0;
  if (data_out.size() > taken) data_out.resize(taken);
  auto sent =
      std::make_unique<SentCommand>(unit_, nexus_, cdb, std::move(data_out), data_in_bytes_max);
  sent->command().data_out_bytes_expected = sent_bytes;
  sent->Submit();
  return sent;
}

std::string Initiator::Do(const Cdb& cdb, std::vector<std::byte> data_out) {
  return Send(cdb, std::move(data_out))->result();
}

std::vector<std::byte> Initiator::Get(const Cdb& cdb) {
  const auto sent = Send(cdb);
  EXPECT_EQ(sent->result(), "GOOD");
  return sent->data();
}

std::string Initiator::TestUnitReady() {
  return Do(MakeCdb({0x00}));
}

}  // namespace aurochs::test
