// Text requests and responses of the full feature phase, over as many PDUs as the text needs (RFC
// 7143, 11.10 and 11.11).
//
// Thread: of the session.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "iscsi/pdu.h"
#include "iscsi/pdu_fault.h"
#include "iscsi/text_keys.h"

namespace aurochs::iscsi {

class TextExchange {
 public:
  // Appends the answers to `pairs`, which are all of one request.
  using Handler = std::function<void(const std::vector<TextPair>& pairs, std::string& answer)>;

  explicit TextExchange(Handler handler) : handler_(std::move(handler)) {}

  struct Answer {
    std::optional<PduFault> fault;  // then nothing else; the exchange has been forgotten
    Bhs bhs;
    std::string text;
  };
  // Judges one text request; at most `segment_bytes_max` of text go into the answer.
  Answer OnRequest(const Bhs& request, std::string_view text, uint32_t segment_bytes_max);

 private:
  Answer Fail(PduFault fault);
  Answer NextPart(const Bhs& request, uint32_t segment_bytes_max);
  Answer Respond(const Bhs& request, uint8_t flags, std::string text);
  void Reset();

  const Handler handler_;
  std::string incoming_;    // of requests with the C bit
  std::string outgoing_;    // not sent yet
  uint32_t tag_ = 0;        // target transfer tag of the exchange
  bool under_way_ = false;  // the initiator is to go on with tag_
};

}  // namespace aurochs::iscsi
