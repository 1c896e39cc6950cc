#include "iscsi/operational_keys.h"

#include <algorithm>
#include <iterator>

#include "iscsi/text_keys.h"

namespace aurochs::iscsi {
namespace {

enum class Kind : uint8_t {
  kMinimum,        // result: the smaller number
  kMaximum,        // result: the larger number
  kDeclared,       // a number that the initiator tells
  kOr,             // result: Yes if one side says so
  kAnd,            // result: Yes if both sides say so
  kDigest,         // result: the first of the list that we know
  kTaskReporting,  // 13.23
  kProtocolLevel,  // 13.24
  kMarker,         // 13.25: obsolete, never used
  kMarkerInterval,
  kNoted,  // told for information
};

struct KeyRule {
  std::string_view key;
  Kind kind;
  bool irrelevant_in_discovery = false;
  uint32_t low = 0;  // admissible numbers
  uint32_t high = 0;
  uint32_t ours = 0;  // number or boolean that we bring in
  uint32_t Parameters::*number = nullptr;
  bool Parameters::*boolean = nullptr;
};

constexpr uint32_t kSegmentMin = 512;
constexpr uint32_t kSegmentMax = 0xff'ffff;  // 24 bits

constexpr KeyRule Number(std::string_view key, Kind kind, bool irrelevant, uint32_t low,
                         uint32_t high, uint32_t ours, uint32_t Parameters::*result) {
  return {key, kind, irrelevant, low, high, ours, result, nullptr};
}
constexpr KeyRule Boolean(std::string_view key, Kind kind, bool irrelevant, bool ours,
                          bool Parameters::*result) {
  return {key, kind, irrelevant, 0, 1, ours, nullptr, result};
}

constexpr KeyRule kRules[] = {
    Boolean("HeaderDigest", Kind::kDigest, false, true, &Parameters::header_digest),
    Boolean("DataDigest", Kind::kDigest, false, true, &Parameters::data_digest),
    Number("MaxConnections", Kind::kMinimum, true, 1, 65535, 1, &Parameters::connections_max),
    {"InitiatorAlias", Kind::kNoted},
    Boolean("InitialR2T", Kind::kOr, true, false, &Parameters::initial_r2t),
    Boolean("ImmediateData", Kind::kAnd, true, true, &Parameters::immediate_data),
    Number("MaxRecvDataSegmentLength", Kind::kDeclared, false, kSegmentMin, kSegmentMax, 0,
           &Parameters::initiator_segment_bytes_max),
    Number("MaxBurstLength", Kind::kMinimum, true, kSegmentMin, kSegmentMax, kOurMaxBurstBytes,
           &Parameters::max_burst_bytes),
    Number("FirstBurstLength", Kind::kMinimum, true, kSegmentMin, kSegmentMax, kOurFirstBurstBytes,
           &Parameters::first_burst_bytes),
    Number("DefaultTime2Wait", Kind::kMaximum, false, 0, 3600, kOurTimeToWaitS,
           &Parameters::time_to_wait_s),
    Number("DefaultTime2Retain", Kind::kMinimum, false, 0, 3600, kOurTimeToRetainS,
           &Parameters::time_to_retain_s),
    Number("MaxOutstandingR2T", Kind::kMinimum, true, 1, 65535, kOurOutstandingR2tMax,
           &Parameters::outstanding_r2t_max),
    Boolean("DataPDUInOrder", Kind::kOr, true, true, &Parameters::data_pdu_in_order),
    Boolean("DataSequenceInOrder", Kind::kOr, true, true, &Parameters::data_sequence_in_order),
    Number("ErrorRecoveryLevel", Kind::kMinimum, false, 0, 2, 0, &Parameters::error_recovery_level),
    {"TaskReporting", Kind::kTaskReporting, true},
    {"iSCSIProtocolLevel", Kind::kProtocolLevel, true, 0, 31, 1},
    {"IFMarker", Kind::kMarker},
    {"OFMarker", Kind::kMarker},
    {"IFMarkInt", Kind::kMarkerInterval},
    {"OFMarkInt", Kind::kMarkerInterval},
};
static_assert(std::size(kRules) <= 64, "OperationalKeys::seen_ has 64 bits");

constexpr std::string_view kReject = "Reject";

bool Lists(std::string_view list, std::string_view wanted) {
  const auto items = SplitList(list);
  return std::find(items.begin(), items.end(), wanted) != items.end();
}

std::string AnswerNumber(const KeyRule& rule, std::string_view value, Parameters& parameters) {
  const std::optional<uint64_t> offer = ParseNumber(value);
  if (!offer || *offer < rule.low || *offer > rule.high) return std::string(kReject);
  const auto offered = static_cast<uint32_t>(*offer);
  const uint32_t result =
      rule.kind == Kind::kMaximum ? std::max(offered, rule.ours) : std::min(offered, rule.ours);
  if (rule.number != nullptr) parameters.*rule.number = result;
  return std::to_string(result);
}

std::string AnswerBoolean(const KeyRule& rule, std::string_view value, Parameters& parameters) {
  const std::optional<bool> offer = ParseBoolean(value);
  if (!offer) return std::string(kReject);
  const bool ours = rule.ours != 0;
  const bool result = rule.kind == Kind::kOr ? (*offer || ours) : (*offer && ours);
  parameters.*rule.boolean = result;
  return result ? "Yes" : "No";
}

std::string AnswerDigest(const KeyRule& rule, std::string_view value, Parameters& parameters) {
  for (std::string_view item : SplitList(value)) {
    if (item != "CRC32C" && item != "None") continue;
    parameters.*rule.boolean = item == "CRC32C";
    return std::string(item);
  }
  return std::string(kReject);
}

// The answer's value; empty where none is due.
std::string Answer(const KeyRule& rule, std::string_view value, Parameters& parameters) {
  switch (rule.kind) {
    case Kind::kMinimum:
    case Kind::kMaximum:
    case Kind::kProtocolLevel: return AnswerNumber(rule, value, parameters);
    case Kind::kOr:
    case Kind::kAnd: return AnswerBoolean(rule, value, parameters);
    case Kind::kDigest: return AnswerDigest(rule, value, parameters);
    case Kind::kTaskReporting: return Lists(value, "RFC3720") ? "RFC3720" : std::string(kReject);
    case Kind::kMarker: return "No";
    case Kind::kMarkerInterval: return std::string(kReject);
    case Kind::kDeclared:
    case Kind::kNoted: return {};
  }
  Unreachable("Answer");
}

bool NoteDeclaration(const KeyRule& rule, std::string_view value, Parameters& parameters) {
  const std::optional<uint64_t> number = ParseNumber(value);
  if (!number || *number < rule.low || *number > rule.high) return false;
  parameters.*rule.number = static_cast<uint32_t>(*number);
  return true;
}

}  // namespace

OperationalKeys::Verdict OperationalKeys::OnKey(std::string_view key, std::string_view value,
                                                Parameters& parameters, std::string& answer) {
  const KeyRule* const rule =
      std::find_if(std::begin(kRules), std::end(kRules),
                   [key](const KeyRule& candidate) { return candidate.key == key; });
  if (rule == std::end(kRules)) {
    AppendPair(answer, key, "NotUnderstood");
    return Verdict::kAnswered;
  }
  const uint64_t bit = uint64_t{1} << (rule - std::begin(kRules));
  if ((seen_ & bit) != 0) return Verdict::kRenegotiated;
  seen_ |= bit;
  if (rule->kind == Kind::kDeclared) {
    return NoteDeclaration(*rule, value, parameters) ? Verdict::kAnswered : Verdict::kMalformed;
  }
  if (rule->irrelevant_in_discovery && parameters.discovery) {
    AppendPair(answer, key, "Irrelevant");
    return Verdict::kAnswered;
  }
  const std::string result = Answer(*rule, value, parameters);
  if (!result.empty()) AppendPair(answer, key, result);
  return Verdict::kAnswered;
}

void OperationalKeys::Declare(std::string& answer) {
  if (declared_) return;
  declared_ = true;
  AppendPair(answer, "MaxRecvDataSegmentLength", std::to_string(kPduDataSegmentBytesMax));
}

void OperationalKeys::Settle(Parameters& parameters) {
  parameters.first_burst_bytes = std::min(parameters.first_burst_bytes, parameters.max_burst_bytes);
}

void OnFullFeatureKey(std::string_view key, std::string_view value, Parameters& parameters,
                      std::string& answer) {
  const KeyRule* const rule =
      std::find_if(std::begin(kRules), std::end(kRules),
                   [key](const KeyRule& candidate) { return candidate.key == key; });
  if (rule == std::end(kRules)) {
    AppendPair(answer, key, "NotUnderstood");
  } else if (rule->kind == Kind::kDeclared) {
    if (!NoteDeclaration(*rule, value, parameters)) AppendPair(answer, key, kReject);
  } else if (rule->kind != Kind::kNoted) {
    AppendPair(answer, key, kReject);
  }
}

}  // namespace aurochs::iscsi
