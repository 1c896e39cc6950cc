#include "nbd/handshake.h"

#include <algorithm>

#include "base/byte_reader.h"
#include "base/limits.h"
#include "nbd/option_codec.h"

namespace aurochs::nbd {
namespace {

std::string UnknownExport(std::string_view name) {
  return "no export is named \"" + std::string(name.substr(0, 256)) + "\"";
}

}  // namespace

Handshake::Handshake(const ExportCatalog& catalog, TlsMode tls_mode)
    : catalog_(catalog), tls_mode_(tls_mode) {}

void Handshake::Greet(Output& output) const {
  AppendU64(output, kNbdMagic);
  AppendU64(output, kOptionMagic);
  AppendU16(output, kFlagFixedNewstyle | kFlagNoZeroes);
}

Handshake::Outcome Handshake::Consume(Bytes& input, Output& output) {
  if (skip_bytes_ > 0) {
    const size_t passed = std::min<uint64_t>(skip_bytes_, input.size());
    input = input.subspan(passed);
    skip_bytes_ -= passed;
    if (skip_bytes_ > 0) return Outcome::kNeedMore;
  }
  return flags_received_ ? ConsumeOption(input, output) : ConsumeClientFlags(input);
}

void Handshake::TlsStarted() {
  tls_active_ = true;
  replies_ = ReplyStyle::kSimple;
  SelectNoContexts();
}

Handshake::Outcome Handshake::ConsumeClientFlags(Bytes& input) {
  if (input.size() < kClientFlagsBytes) return Outcome::kNeedMore;
  const uint32_t flags = LoadBigEndian<uint32_t>(input.data());
  input = input.subspan(kClientFlagsBytes);
  if ((flags & ~uint32_t{kFlagFixedNewstyle | kFlagNoZeroes}) != 0) return Outcome::kClose;

  flags_received_ = true;
  fixed_newstyle_ = (flags & kFlagFixedNewstyle) != 0;
  no_zeroes_ = (flags & kFlagNoZeroes) != 0;
  return Outcome::kAnswered;
}

Handshake::Outcome Handshake::ConsumeOption(Bytes& input, Output& output) {
  if (input.size() < kOptionHeaderBytes) return Outcome::kNeedMore;
  ByteReader reader(input);
  if (reader.U64() != kOptionMagic) return Outcome::kClose;
  const auto option = static_cast<Option>(reader.U32());
  const uint32_t data_bytes = reader.U32();

  // A client that did not choose fixed newstyle could not read an answer to any other option.
  if (!fixed_newstyle_ && option != Option::kExportName) return Outcome::kClose;
  if (options_taken_ == kNbdOptionsMax) return Outcome::kClose;

  if (data_bytes > kNbdOptionBytesMax) {
    ++options_taken_;
    if (option == Option::kExportName) return Outcome::kClose;  // It has no error reply.
    input = input.subspan(kOptionHeaderBytes);
    skip_bytes_ = data_bytes;
    AppendError(output, option, OptionReply::kErrTooBig, "the option has more data than we take");
    return Outcome::kAnswered;
  }
  if (reader.remaining() < data_bytes) return Outcome::kNeedMore;

  ++options_taken_;
  const Bytes data = reader.Bytes(data_bytes);
  input = input.subspan(kOptionHeaderBytes + data_bytes);
  return HandleOption(option, data, output);
}

Handshake::Outcome Handshake::HandleOption(Option option, Bytes data, Output& output) {
  const bool tls_missing = tls_mode_ == TlsMode::kRequired && !tls_active_;
  if (tls_missing && option != Option::kStartTls && option != Option::kAbort) {
    if (option == Option::kExportName) return Outcome::kClose;
    AppendError(output, option, OptionReply::kErrTlsReqd, "this server speaks TLS only");
    return Outcome::kAnswered;
  }

  switch (option) {
    case Option::kExportName: return HandleExportName(data, output);
    case Option::kAbort: AppendAck(output, option); return Outcome::kClose;
    case Option::kList: return HandleList(data, output);
    case Option::kStartTls: return HandleStartTls(data, output);
    case Option::kInfo:
    case Option::kGo: return HandleInfoOrGo(option, data, output);
    case Option::kStructuredReply:
    case Option::kExtendedHeaders: return HandleReplyStyle(option, data, output);
    case Option::kListMetaContext:
    case Option::kSetMetaContext: return HandleMetaContext(option, data, output);
    case Option::kPeekExport: break;
  }
  // Reached also by numbers that are no enumerator: the client may send any.
  AppendError(output, option, OptionReply::kErrUnsup, "this server does not know the option");
  return Outcome::kAnswered;
}

Handshake::Outcome Handshake::HandleExportName(Bytes data, Output& output) {
  const std::string_view name(reinterpret_cast<const char*>(data.data()), data.size());
  const auto chosen = catalog_.Find(name);
  // A client that speaks extended headers must use GO.
  if (!chosen || replies_ == ReplyStyle::kExtended) return Outcome::kClose;

  Agree(*chosen);
  AppendU64(output, chosen->info.size_bytes);
  AppendU16(output, FlagsFor(*chosen));
  if (!no_zeroes_) output.resize(output.size() + kExportNameReservedBytes);
  return Outcome::kTransmission;
}

Handshake::Outcome Handshake::HandleList(Bytes data, Output& output) {
  if (!data.empty()) {
    AppendError(output, Option::kList, OptionReply::kErrInvalid, "LIST has no data");
    return Outcome::kAnswered;
  }
  for (const ExportDescription& one : catalog_.List()) AppendServer(output, one);
  AppendAck(output, Option::kList);
  return Outcome::kAnswered;
}

Handshake::Outcome Handshake::HandleStartTls(Bytes data, Output& output) {
  if (tls_mode_ == TlsMode::kOff) {
    AppendError(output, Option::kStartTls, OptionReply::kErrPolicy, "TLS is not set up here");
    return Outcome::kAnswered;
  }
  if (tls_active_ || !data.empty()) {
    AppendError(output, Option::kStartTls, OptionReply::kErrInvalid,
                tls_active_ ? "TLS is active already" : "STARTTLS has no data");
    return Outcome::kAnswered;
  }
  AppendAck(output, Option::kStartTls);
  return Outcome::kStartTls;
}

Handshake::Outcome Handshake::HandleInfoOrGo(Option option, Bytes data, Output& output) {
  const auto query = DecodeInfoQuery(data);
  if (!query) {
    AppendError(output, option, OptionReply::kErrInvalid, "lengths in the data do not add up");
    return Outcome::kAnswered;
  }
  const auto chosen = catalog_.Find(query->name);
  if (!chosen) {
    AppendError(output, option, OptionReply::kErrUnknown, UnknownExport(query->name));
    return Outcome::kAnswered;
  }

  AppendInfoExport(output, option, *chosen, FlagsFor(*chosen));
  // Unasked too: our smallest block is not the default, so a client does well to hear of it.
  AppendInfoBlockSize(output, option, chosen->info);
  if (query->wants_name) AppendInfoText(output, option, InfoType::kName, chosen->name);
  if (query->wants_description) {
    AppendInfoText(output, option, InfoType::kDescription, chosen->description);
  }
  AppendAck(output, option);
  if (option == Option::kInfo) return Outcome::kAnswered;
  Agree(*chosen);
  return Outcome::kTransmission;
}

// Extended headers take precedence over structured replies, whichever is asked for first.
Handshake::Outcome Handshake::HandleReplyStyle(Option option, Bytes data, Output& output) {
  const bool extended = option == Option::kExtendedHeaders;
  if (!data.empty()) {
    AppendError(output, option, OptionReply::kErrInvalid, "this option has no data");
    return Outcome::kAnswered;
  }
  if (!extended && replies_ == ReplyStyle::kExtended) {
    AppendError(output, option, OptionReply::kErrExtHeaderReqd, "extended headers are in use");
    return Outcome::kAnswered;
  }
  replies_ = extended ? ReplyStyle::kExtended : ReplyStyle::kStructured;
  AppendAck(output, option);
  return Outcome::kAnswered;
}

Handshake::Outcome Handshake::HandleMetaContext(Option option, Bytes data, Output& output) {
  // A SET replaces what an earlier one selected even when it fails.
  const bool selecting = option == Option::kSetMetaContext;
  if (selecting) SelectNoContexts();

  const auto query = DecodeMetaContextQuery(data);
  if (!query || replies_ == ReplyStyle::kSimple) {
    AppendError(output, option, OptionReply::kErrInvalid,
                query ? "negotiate structured replies or extended headers first"
                      : "lengths in the data do not add up");
    return Outcome::kAnswered;
  }
  const auto chosen = catalog_.Find(query->name);
  if (!chosen) {
    AppendError(output, option, OptionReply::kErrUnknown, UnknownExport(query->name));
    return Outcome::kAnswered;
  }
  auto selected = selecting ? SelectContexts(*chosen, query->queries) : std::nullopt;
  if (query->too_many || (selecting && !selected)) {
    AppendError(output, option, OptionReply::kErrTooBig, "these are too many contexts");
    return Outcome::kAnswered;
  }
  if (selecting) {
    contexts_of_ = chosen->name;
    contexts_ = std::move(*selected);
    for (const MetaContext& one : contexts_) AppendMetaContext(output, option, one.id, one.name);
  } else {
    for (const std::string& name : ListContexts(*chosen, query->queries)) {
      AppendMetaContext(output, option, 0, name);
    }
  }
  AppendAck(output, option);
  return Outcome::kAnswered;
}

void Handshake::SelectNoContexts() {
  contexts_of_.clear();
  contexts_.clear();
}

std::span<const MetaContext> Handshake::ContextsOf(const ExportDescription& chosen) const {
  if (contexts_of_ != chosen.name) return {};
  return contexts_;
}

uint16_t Handshake::FlagsFor(const ExportDescription& chosen) const {
  const bool can_choose = replies_ == ReplyStyle::kExtended && !ContextsOf(chosen).empty();
  return TransmissionFlagsFor(chosen, replies_) | (can_choose ? kFlagBlockStatusPayload : 0);
}

void Handshake::Agree(const ExportDescription& chosen) {
  const auto contexts = ContextsOf(chosen);
  agreement_.chosen = chosen;
  agreement_.replies = replies_;
  agreement_.contexts.assign(contexts.begin(), contexts.end());
}

}  // namespace aurochs::nbd
