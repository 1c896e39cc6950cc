// One initiator port in front of a logical unit: sends CDBs as a transport would and keeps what
// comes back. The device below has to complete inline, or the test has to let it go.
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "scsi/logical_unit.h"
#include "scsi/sense.h"

namespace aurochs::test {

using Cdb = std::array<std::byte, 16>;

Cdb MakeCdb(std::initializer_list<unsigned> bytes);
// The ten- and sixteen-byte forms with LOGICAL BLOCK ADDRESS and TRANSFER LENGTH.
Cdb MakeCdb10(uint8_t opcode, uint32_t lba, uint16_t blocks, uint8_t flags = 0);
Cdb MakeCdb16(uint8_t opcode, uint64_t lba, uint32_t blocks, uint8_t flags = 0);

// A command sent, and its answer once `done`.
class SentCommand {
 public:
  SentCommand(scsi::LogicalUnit& unit, uint64_t nexus, const Cdb& cdb,
              std::vector<std::byte> data_out, uint64_t data_in_bytes_max);
  ~SentCommand();
  SentCommand(const SentCommand&) = delete;
  SentCommand& operator=(const SentCommand&) = delete;

  bool done() const { return completions_ == 1; }
  // "GOOD", "RESERVATION CONFLICT", "BUSY", or sense as "5/24/00".
  std::string result() const;
  const std::vector<std::byte>& data() const { return data_; }
  uint64_t untruncated() const { return command_.data_in_bytes_untruncated; }
  std::optional<uint32_t> information() const;
  std::optional<int> field_pointer() const;  // into the CDB
  scsi::Command& command() { return command_; }
  void Submit() { unit_.Submit(&command_); }

 private:
  scsi::LogicalUnit& unit_;
  scsi::Command command_;
  std::vector<std::byte> data_out_;
  std::vector<iovec> pieces_;
  std::vector<std::byte> data_;
  int completions_ = 0;
};

class Initiator {
 public:
  static constexpr uint64_t kPlanned = ~uint64_t{0};

  // Takes the unit attention for power on, unless told to leave it.
  explicit Initiator(scsi::LogicalUnit& unit, std::string name = "iqn.2026-11.test:a,i,0x1",
                     bool take_attention = true);
  ~Initiator();
  Initiator(const Initiator&) = delete;
  Initiator& operator=(const Initiator&) = delete;

  // Sends `cdb` with `data_out`, taking up to `data_in_bytes_max` (default: what the CDB asks for).
  std::unique_ptr<SentCommand> Send(const Cdb& cdb, std::vector<std::byte> data_out = {},
                                    uint64_t data_in_bytes_max = kPlanned);
  // The result of a command.
  std::string Do(const Cdb& cdb, std::vector<std::byte> data_out = {});
  // The data of a command that has to end with GOOD.
  std::vector<std::byte> Get(const Cdb& cdb);
  std::string TestUnitReady();

  scsi::LogicalUnit& unit() { return unit_; }
  uint64_t nexus() const { return nexus_; }

 private:
  scsi::LogicalUnit& unit_;
  uint64_t nexus_;
};

}  // namespace aurochs::test
