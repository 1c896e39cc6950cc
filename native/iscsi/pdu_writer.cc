#include "iscsi/pdu_writer.h"

#include <algorithm>

#include "base/crc32c.h"

namespace aurochs::iscsi {
namespace {

void StoreDigest(std::byte* to, uint32_t crc) {  // see LoadDigest in pdu_reader.cc
  for (size_t i = 0; i < kDigestBytes; ++i) to[i] = static_cast<std::byte>(crc >> (8 * i) & 0xff);
}

// Appends [from, from + count) without its first `skip` bytes; counts `skip` down.
class Gatherer {
 public:
  Gatherer(std::span<iovec> pieces, size_t skip) : pieces_(pieces), skip_(skip) {}

  bool full() const { return used_ == pieces_.size(); }
  size_t used() const { return used_; }
  void Add(const std::byte* from, size_t count) {
    const size_t skipped = std::min(skip_, count);
    skip_ -= skipped;
    if (count == skipped || full()) return;
    pieces_[used_++] = {const_cast<std::byte*>(from + skipped), count - skipped};
  }

 private:
  std::span<iovec> pieces_;
  size_t used_ = 0;
  size_t skip_;
};

}  // namespace

std::span<const std::byte> IovCursor::Take(size_t count) {
  while (offset == piece->iov_len) {
    ++piece;
    offset = 0;
  }
  const size_t here = std::min(count, piece->iov_len - offset);
  const auto* const start = static_cast<const std::byte*>(piece->iov_base) + offset;
  offset += here;
  return {start, here};
}

void PduWriter::SetDigests(bool header, bool data) {
  header_digest_ = header;
  data_digest_ = data;
}

OutPdu* PduWriter::New(const Bhs& bhs) {
  OutPdu* pdu = free_;
  if (pdu == nullptr) {
    pdu = &nodes_.emplace_back();
  } else {
    free_ = pdu->next_;
  }
  pdu->bhs = bhs;
  pdu->data = {};
  pdu->data_bytes = 0;
  pdu->inline_data_bytes = 0;
  pdu->sent = nullptr;
  pdu->owner = nullptr;
  pdu->next_ = nullptr;
  return pdu;
}

// Completes lengths, padding and digests.
void PduWriter::Seal(OutPdu* pdu) const {
  if (pdu->inline_data_bytes > 0) {
    pdu->single_ = {pdu->inline_data.data(), pdu->inline_data_bytes};
  } else if (!pdu->text.empty()) {
    pdu->single_ = {pdu->text.data(), pdu->text.size()};
  }
  if (pdu->data_bytes == 0 && (pdu->inline_data_bytes > 0 || !pdu->text.empty())) {
    pdu->data = {&pdu->single_, 0};
    pdu->data_bytes = static_cast<uint32_t>(pdu->single_.iov_len);
  }
  pdu->bhs.SetDataSegmentBytes(pdu->data_bytes);
  std::copy(pdu->bhs.bytes().begin(), pdu->bhs.bytes().end(), pdu->head_.begin());
  pdu->head_bytes_ = kBhsBytes;
  if (header_digest_) {
    StoreDigest(pdu->head_.data() + kBhsBytes, Crc32c(pdu->bhs.bytes()));
    pdu->head_bytes_ += kDigestBytes;
  }
  const size_t padding = PaddingFor(pdu->data_bytes);
  std::fill_n(pdu->tail_.begin(), padding, std::byte{0});
  pdu->tail_bytes_ = static_cast<uint8_t>(padding);
  if (data_digest_ && pdu->data_bytes > 0) {
    uint32_t crc = 0;
    IovCursor cursor = pdu->data;
    for (size_t left = pdu->data_bytes; left > 0;) {
      const auto bytes = cursor.Take(left);
      crc = Crc32c(bytes, crc);
      left -= bytes.size();
    }
    crc = Crc32c({pdu->tail_.data(), padding}, crc);
    StoreDigest(pdu->tail_.data() + padding, crc);
    pdu->tail_bytes_ = static_cast<uint8_t>(padding + kDigestBytes);
  }
}

size_t PduWriter::TotalBytes(const OutPdu& pdu) {
  return size_t{pdu.head_bytes_} + pdu.data_bytes + pdu.tail_bytes_;
}

void PduWriter::Append(OutPdu* pdu) {
  Seal(pdu);
  (last_ == nullptr ? first_ : last_->next_) = pdu;
  last_ = pdu;
  pending_bytes_ += TotalBytes(*pdu);
  pending_text_bytes_ += pdu->text.size();
  ++pending_pdus_;
}

size_t PduWriter::Gather(std::span<iovec> pieces) const {
  Gatherer gatherer(pieces, first_sent_bytes_);
  for (const OutPdu* pdu = first_; pdu != nullptr && !gatherer.full(); pdu = pdu->next_) {
    gatherer.Add(pdu->head_.data(), pdu->head_bytes_);
    IovCursor cursor = pdu->data;
    for (size_t left = pdu->data_bytes; left > 0 && !gatherer.full();) {
      const auto bytes = cursor.Take(left);
      gatherer.Add(bytes.data(), bytes.size());
      left -= bytes.size();
    }
    gatherer.Add(pdu->tail_.data(), pdu->tail_bytes_);
  }
  return gatherer.used();
}

void PduWriter::Sent(size_t count) {
  CHECK(count <= pending_bytes_);
  pending_bytes_ -= count;
  first_sent_bytes_ += count;
  while (first_ != nullptr && first_sent_bytes_ >= TotalBytes(*first_)) {
    OutPdu* const done = first_;
    first_sent_bytes_ -= TotalBytes(*done);
    first_ = done->next_;
    if (first_ == nullptr) last_ = nullptr;
    pending_text_bytes_ -= done->text.size();
    --pending_pdus_;
    if (done->sent != nullptr) done->sent(done->owner);
    Recycle(done);
  }
}

void PduWriter::Recycle(OutPdu* pdu) {
  // Text is rare and may be long; the memory is not kept.
  if (!pdu->text.empty()) std::string().swap(pdu->text);
  pdu->next_ = free_;
  free_ = pdu;
}

}  // namespace aurochs::iscsi
