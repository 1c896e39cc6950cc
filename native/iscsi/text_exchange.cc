#include "iscsi/text_exchange.h"

#include <utility>

#include "base/limits.h"

namespace aurochs::iscsi {

void TextExchange::Reset() {
  incoming_.clear();
  outgoing_.clear();
  under_way_ = false;
}

TextExchange::Answer TextExchange::Fail(PduFault fault) {
  Reset();
  return {.fault = fault};
}

TextExchange::Answer TextExchange::OnRequest(const Bhs& request, std::string_view text,
                                             uint32_t segment_bytes_max) {
  const uint32_t tag = request.U32(field::kTtt);
  if (tag == kReservedTag) {
    Reset();  // 11.10.4: a new exchange ends the old one
    if (++tag_ == kReservedTag) tag_ = 0;
  } else if (!under_way_ || tag != tag_) {
    return Fail(PduFault::kTextOutOfTurn);
  }
  if (!outgoing_.empty()) {
    return text.empty() ? NextPart(request, segment_bytes_max) : Fail(PduFault::kTextOutOfTurn);
  }
  if (incoming_.size() + text.size() > kTextRequestBytesMax) return Fail(PduFault::kTextTooLong);
  incoming_.append(text);
  if ((request.flags() & kContinueFlag) != 0) {
    // 11.10.2: there is more to come, so this cannot be the end.
    return request.final() ? Fail(PduFault::kTextMalformed) : Respond(request, 0, {});
  }
  const std::string complete = std::exchange(incoming_, {});
  const auto pairs = ParseText(complete);
  if (!pairs.ok()) return Fail(PduFault::kTextMalformed);
  handler_(*pairs, outgoing_);
  return NextPart(request, segment_bytes_max);
}

TextExchange::Answer TextExchange::NextPart(const Bhs& request, uint32_t segment_bytes_max) {
  if (outgoing_.size() > segment_bytes_max) {
    std::string part = outgoing_.substr(0, segment_bytes_max);
    outgoing_.erase(0, segment_bytes_max);
    return Respond(request, kContinueFlag, std::move(part));
  }
  return Respond(request, request.final() ? kFinalFlag : 0, std::exchange(outgoing_, {}));
}

TextExchange::Answer TextExchange::Respond(const Bhs& request, uint8_t flags, std::string text) {
  under_way_ = (flags & kFinalFlag) == 0;
  Answer answer{.bhs = Bhs(Opcode::kTextResponse, flags), .text = std::move(text)};
  answer.bhs.SetU64(field::kLun, request.U64(field::kLun));
  answer.bhs.SetU32(field::kItt, request.itt());
  answer.bhs.SetU32(field::kTtt, under_way_ ? tag_ : kReservedTag);
  return answer;
}

}  // namespace aurochs::iscsi
