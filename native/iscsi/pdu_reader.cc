#include "iscsi/pdu_reader.h"

#include <algorithm>
#include <cstring>

#include "base/crc32c.h"
#include "base/units.h"

namespace aurochs::iscsi {
namespace {

// 13.1: the CRC goes out in the byte order in which the polynomial's bits leave, which is
// little-endian for the value that Crc32c returns.
uint32_t LoadDigest(const std::byte* from) {
  uint32_t value = 0;
  for (size_t i = kDigestBytes; i-- > 0;) value = value << 8 | std::to_integer<uint32_t>(from[i]);
  return value;
}

}  // namespace

PduReader::PduReader(uint32_t data_bytes_max)
    : data_bytes_max_(data_bytes_max),
      capacity_(kBhsBytes + kAhsBytesMax + kDigestBytes + AlignUp(data_bytes_max, kWordBytes) +
                kDigestBytes),
      // Not initialised, so that memory is taken by what is received and not by what is possible.
      buffer_(new std::byte[capacity_]) {}

void PduReader::SetDigests(bool header, bool data) {
  header_digest_ = header;
  data_digest_ = data;
}

void PduReader::Adopt(std::span<const std::byte> bytes) {
  CHECK(end_ == 0 && bytes.size() <= capacity_);
  std::copy(bytes.begin(), bytes.end(), buffer_.get());
  end_ = bytes.size();
}

size_t PduReader::Space(std::span<iovec, 2> pieces) {
  if (state_ == State::kShown) state_ = State::kHeader;
  if (begin_ > 0) {
    // At most the beginning of one PDU is left when everything complete has been taken.
    std::memmove(buffer_.get(), buffer_.get() + begin_, buffered());
    end_ -= begin_;
    begin_ = 0;
  }
  size_t count = 0;
  if (state_ == State::kRedirected) {
    pieces[count++] = {redirected_ + redirected_done_,
                       bhs_.data_segment_bytes() - redirected_done_};
  }
  if (end_ < capacity_) pieces[count++] = {buffer_.get() + end_, capacity_ - end_};
  CHECK(count > 0);
  return count;
}

void PduReader::Received(size_t count) {
  if (state_ == State::kRedirected) {
    const size_t direct = std::min<size_t>(count, bhs_.data_segment_bytes() - redirected_done_);
    redirected_done_ += direct;
    count -= direct;
  }
  CHECK(count <= capacity_ - end_);
  end_ += count;
}

void PduReader::Consume(size_t count) {
  CHECK(count <= buffered());
  begin_ += count;
}

size_t PduReader::trailer_bytes() const {
  const bool has_digest = data_digest_ && bhs_.data_segment_bytes() > 0;
  return padding_bytes() + (has_digest ? kDigestBytes : 0);
}

PduReader::Event PduReader::Next() {
  switch (state_) {
    case State::kShown: state_ = State::kHeader; [[fallthrough]];
    case State::kHeader: return OnHeader();
    case State::kHeaderShown: state_ = State::kBuffered; [[fallthrough]];
    case State::kBuffered: return OnBufferedData();
    case State::kRedirected:
      if (redirected_done_ < bhs_.data_segment_bytes()) return Event::kNeedBytes;
      state_ = State::kTrailer;
      [[fallthrough]];
    case State::kTrailer: return OnTrailer();
    case State::kBroken: return broken_by_;
  }
  Unreachable("PduReader::Next");
}

PduReader::Event PduReader::OnHeader() {
  if (buffered() < kBhsBytes) return Event::kNeedBytes;
  const std::byte* const start = buffer_.get() + begin_;
  bhs_.Assign(start);
  if (bhs_.data_segment_bytes() > data_bytes_max_) return Break(Event::kDataTooLong);
  const size_t header_bytes = kBhsBytes + bhs_.ahs_bytes();
  const size_t total = header_bytes + (header_digest_ ? kDigestBytes : 0);
  if (buffered() < total) return Event::kNeedBytes;
  if (header_digest_ && Crc32c({start, header_bytes}) != LoadDigest(start + header_bytes)) {
    return Break(Event::kHeaderDigestError);
  }
  Consume(total);
  state_ = State::kHeaderShown;
  return Event::kHeader;
}

void PduReader::RedirectData(std::byte* into) {
  CHECK(state_ == State::kHeaderShown);
  const size_t here = std::min<size_t>(buffered(), bhs_.data_segment_bytes());
  std::copy_n(buffer_.get() + begin_, here, into);  // `into` may be null for no data
  Consume(here);
  redirected_ = into;
  redirected_done_ = here;
  state_ = State::kRedirected;
}

PduReader::Event PduReader::OnBufferedData() {
  const size_t data_bytes = bhs_.data_segment_bytes();
  if (buffered() < data_bytes + trailer_bytes()) return Event::kNeedBytes;
  data_ = buffer_.get() + begin_;
  const std::byte* const trailer = data_ + data_bytes;
  Consume(data_bytes + trailer_bytes());
  return Show(trailer);
}

PduReader::Event PduReader::OnTrailer() {
  if (buffered() < trailer_bytes()) return Event::kNeedBytes;
  data_ = redirected_;
  const std::byte* const trailer = buffer_.get() + begin_;
  Consume(trailer_bytes());
  return Show(trailer);
}

PduReader::Event PduReader::Show(const std::byte* trailer) {
  data_digest_matches_ = true;
  if (data_digest_ && bhs_.data_segment_bytes() > 0) {
    const uint32_t crc = Crc32c({trailer, padding_bytes()}, Crc32c(data()));
    data_digest_matches_ = crc == LoadDigest(trailer + padding_bytes());
  }
  state_ = State::kShown;
  return Event::kPdu;
}

PduReader::Event PduReader::Break(Event event) {
  state_ = State::kBroken;
  broken_by_ = event;
  return event;
}

}  // namespace aurochs::iscsi
