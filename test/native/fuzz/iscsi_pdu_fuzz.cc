// Feeds a PDU reader with bytes of an initiator, in pieces that the input chooses: whatever comes,
// it stays inside its memory and hands out what the header says.

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "iscsi/pdu_reader.h"

using aurochs::iscsi::PduReader;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 2) return 0;
  const uint8_t options = data[0];
  const size_t piece = 1 + data[1];
  std::span<const std::byte> rest(reinterpret_cast<const std::byte*>(data + 2), size - 2);
  PduReader reader(4096);
  reader.SetDigests((options & 1) != 0, (options & 2) != 0);
  std::vector<std::byte> elsewhere;
  for (;;) {
    switch (reader.Next()) {
      case PduReader::Event::kHeader:
        if ((options & 4) != 0) {
          elsewhere.resize(reader.bhs().data_segment_bytes());
          reader.RedirectData(elsewhere.data());
        }
        break;
      case PduReader::Event::kPdu: {
        unsigned sum = 0;  // touches every byte, for the sanitizer
        for (std::byte byte : reader.data()) sum += std::to_integer<unsigned>(byte);
        CHECK(sum <= 255 * reader.data().size());
        break;
      }
      case PduReader::Event::kNeedBytes: {
        if (rest.empty()) return 0;
        std::array<iovec, 2> pieces;
        const size_t count = reader.Space(pieces);
        size_t taken = 0;
        for (size_t i = 0; i < count; ++i) {
          const size_t here = std::min({pieces[i].iov_len, piece - taken, rest.size()});
          if (here > 0) std::memcpy(pieces[i].iov_base, rest.data(), here);
          rest = rest.subspan(here);
          taken += here;
          if (here < pieces[i].iov_len) break;
        }
        reader.Received(taken);
        break;
      }
      case PduReader::Event::kHeaderDigestError:
      case PduReader::Event::kDataTooLong: return 0;
    }
  }
}
