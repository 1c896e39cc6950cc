// The handshake phase of one connection (proto.md, "Handshake"): fixed newstyle, from the greeting
// to the choice of an export. A function of bytes: it knows neither sockets nor loops, so that
// every line of it can be tested and fuzzed.
//
// Thread:    that of its owner.
// Ownership: the catalog outlives it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nbd/export_catalog.h"
#include "nbd/meta_context.h"
#include "nbd/spec.h"

namespace aurochs::nbd {

// The modes of proto.md, "TLS support": NOTLS, SELECTIVETLS without a TLS-only export, FORCEDTLS.
enum class TlsMode : uint8_t { kOff, kOptional, kRequired };

// What both sides agreed on for transmission.
struct Agreement {
  ExportDescription chosen;
  ReplyStyle replies = ReplyStyle::kSimple;
  std::vector<MetaContext> contexts;  // that BLOCK_STATUS tells of
};

class Handshake {
 public:
  enum class Outcome : uint8_t {
    kNeedMore,      // The next message is not there yet in full.
    kAnswered,      // One message was taken; its answer is in the output.
    kStartTls,      // TLS begins once the output is sent; then call TlsStarted().
    kTransmission,  // The transmission phase begins once the output is sent.
    kClose,         // The connection ends once the output is sent.
  };

  Handshake(const ExportCatalog& catalog, TlsMode tls_mode);

  // The server speaks first.
  void Greet(std::vector<std::byte>& output) const;

  // Takes at most one message from the front of `input`, advances `input` past what it took, and
  // appends the answer. Never needs more than kNbdOptionBytesMax and a header at once: longer
  // options are passed over as they arrive.
  Outcome Consume(std::span<const std::byte>& input, std::vector<std::byte>& output);

  // Forgets what was negotiated in clear text (proto.md, NBD_OPT_STARTTLS).
  void TlsStarted();

  // After kTransmission.
  const Agreement& agreement() const { return agreement_; }

 private:
  using Output = std::vector<std::byte>;
  using Bytes = std::span<const std::byte>;

  Outcome ConsumeClientFlags(Bytes& input);
  Outcome ConsumeOption(Bytes& input, Output& output);
  Outcome HandleOption(Option option, Bytes data, Output& output);
  Outcome HandleExportName(Bytes data, Output& output);
  Outcome HandleList(Bytes data, Output& output);
  Outcome HandleStartTls(Bytes data, Output& output);
  Outcome HandleInfoOrGo(Option option, Bytes data, Output& output);
  Outcome HandleReplyStyle(Option option, Bytes data, Output& output);
  Outcome HandleMetaContext(Option option, Bytes data, Output& output);
  void SelectNoContexts();
  // Those that were selected for this export.
  std::span<const MetaContext> ContextsOf(const ExportDescription& chosen) const;
  uint16_t FlagsFor(const ExportDescription& chosen) const;
  void Agree(const ExportDescription& chosen);

  const ExportCatalog& catalog_;
  const TlsMode tls_mode_;
  bool flags_received_ = false;
  bool fixed_newstyle_ = false;
  bool no_zeroes_ = false;
  bool tls_active_ = false;
  ReplyStyle replies_ = ReplyStyle::kSimple;
  std::string contexts_of_;  // name of the export that the contexts were selected for
  std::vector<MetaContext> contexts_;

  uint32_t options_taken_ = 0;
  // An option that is too long to be looked at: how much of its data is still to come.
  uint64_t skip_bytes_ = 0;
  Agreement agreement_;
};

}  // namespace aurochs::nbd
