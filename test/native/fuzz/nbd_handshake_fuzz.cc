// Any bytes as what a client says in the handshake phase, arriving in pieces.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/check.h"
#include "base/limits.h"
#include "nbd/handshake.h"

namespace aurochs::nbd {
namespace {

class OneExport : public ExportCatalog {
 public:
  OneExport() {
    one_.name = "db";
    one_.description = "a volume";
    one_.info.size_bytes = kMiB;
    one_.snapshots =
        std::make_shared<const SnapshotNames>(SnapshotNames{{"1", "monday"}, {"2", "tuesday"}});
  }
  std::optional<ExportDescription> Find(std::string_view name) const override {
    return name == one_.name ? std::optional(one_) : std::nullopt;
  }
  std::vector<ExportDescription> List() const override { return {one_}; }

 private:
  ExportDescription one_;
};

// The first byte chooses the TLS mode and how large the pieces are.
void Run(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  const auto choice = std::to_integer<uint8_t>(bytes[0]);
  bytes = bytes.subspan(1);
  const OneExport catalog;
  Handshake handshake(catalog, static_cast<TlsMode>(choice % 3));
  const size_t piece_bytes = choice < 128 ? bytes.size() : size_t{choice} - 127;

  std::vector<std::byte> pending;
  std::vector<std::byte> output;
  while (!bytes.empty()) {
    const size_t count = std::min(piece_bytes, bytes.size());
    pending.insert(pending.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(count));
    bytes = bytes.subspan(count);
    for (;;) {
      std::span<const std::byte> input(pending);
      output.clear();
      const auto outcome = handshake.Consume(input, output);
      pending.assign(input.begin(), input.end());
      CHECK(output.size() <= 64 * kKiB);
      if (outcome == Handshake::Outcome::kStartTls) {
        handshake.TlsStarted();
      } else if (outcome == Handshake::Outcome::kNeedMore) {
        CHECK(pending.size() < kOptionHeaderBytes + kNbdOptionBytesMax);
        break;
      } else if (outcome != Handshake::Outcome::kAnswered) {
        return;
      }
    }
  }
}

}  // namespace
}  // namespace aurochs::nbd

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  aurochs::nbd::Run(std::as_bytes(std::span(data, size)));
  return 0;
}
