// replica.json as anybody might have written it. What is accepted must survive being written again.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/crc32c.h"
#include "replica/replica_meta.h"

namespace aurochs {
namespace {

// The header line that fits `body`, or no fuzzer would ever get past the checksum.
std::string WithHeader(std::string_view body) {
  char header[96];
  std::snprintf(header, sizeof header, "aurochs-replica 1 crc32c=%08x length=%zu\n",
                Crc32c(std::as_bytes(std::span(body))), body.size());
  return header + std::string(body);
}

void CheckDecoder(std::string_view text) {
  const auto meta = DecodeReplicaMeta(text);
  if (!meta.ok()) return;
  const auto again = DecodeReplicaMeta(EncodeReplicaMeta(*meta));
  CHECK(again.ok() && *again == *meta);
}

}  // namespace
}  // namespace aurochs

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  aurochs::CheckDecoder(text);
  aurochs::CheckDecoder(aurochs::WithHeader(text));
  return 0;
}
