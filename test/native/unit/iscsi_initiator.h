// A minimal initiator for tests: sends what it is told, over a blocking socket, and gives back what
// comes. Does nothing on its own, so that a test can break every rule.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "iscsi/pdu.h"
#include "iscsi/text_keys.h"

namespace aurochs::iscsi::test {

struct Pdu {
  Bhs bhs;
  std::string data;
};

struct LoginOptions {
  std::string initiator = "iqn.2026-11.test:initiator";
  std::string target = "iqn.2026-11.io.aurochs:vol";  // empty: a discovery session
  std::string keys;  // further "Key=Value" pairs, each with a NUL at its end
  uint8_t isid_qualifier = 1;
  uint16_t tsih = 0;
  uint32_t cmd_sn = 100;
  bool header_digest = false;  // offered, and used after login
  bool data_digest = false;
};

class Initiator {
 public:
  explicit Initiator(const std::string& address);  // "127.0.0.1:3260"

  // One login request that goes straight to the full feature phase; its answer.
  Pdu Login(const LoginOptions& options);
  LoginStatus LoginTo(const LoginOptions& options);

  void Send(Bhs bhs, std::string_view data = {});
  void SendBytes(std::span<const std::byte> bytes);
  // Nothing if the target has closed the connection.
  std::optional<Pdu> Receive();
  // The next PDU; the test fails if the target has closed the connection.
  Pdu Next();
  // Receives until the target closes the connection; what came before.
  std::vector<Pdu> ReceiveToEnd();
  void Close() { fd_.Reset(); }

  // PDUs with CmdSN and ITT that follow each other.
  Bhs Request(Opcode opcode, uint8_t flags = kFinalFlag);
  Bhs Immediate(Opcode opcode, uint8_t flags = kFinalFlag);
  Bhs Read(uint32_t lba, uint16_t blocks);
  Bhs Write(uint32_t lba, uint16_t blocks, bool more_unsolicited = false);
  static Bhs DataOut(const Bhs& command, uint32_t ttt, uint32_t data_sn, uint32_t offset,
                     bool final = true);
  Bhs TaskManagement(TaskManagementFunction function, uint64_t lun, uint32_t referenced_tag);
  Bhs Logout(LogoutReason reason = LogoutReason::kCloseSession);
  // TEST UNIT READY until the unit has told this initiator its news.
  void ClearUnitAttentions();

  uint32_t cmd_sn = 0;  // of the next command
  uint32_t itt = 1;     // of the next command

 private:
  bool ReceiveBytes(std::byte* into, size_t count);

  UniqueFd fd_;
  bool header_digest_ = false;
  bool data_digest_ = false;
};

inline constexpr uint64_t kLun1 = 0x0001'0000'0000'0000;

inline uint8_t ScsiStatusOf(const Pdu& pdu) {
  return pdu.bhs.U8(field::kStatus);
}
// "0b/0c/0d": sense key and additional sense of a SCSI response.
std::string SenseOf(const Pdu& pdu);

}  // namespace aurochs::iscsi::test
