// Cuts the bytes of a connection into PDUs (RFC 7143, 11.2), however they arrive. Knows no socket:
// the owner receives into Space(), tells how much came, and asks for what is complete.
//
// A data segment is usually handed out where it was received, in the reader's buffer. The owner can
// redirect it into memory of its own once the header is known; what has not arrived by then is
// received straight into that memory.
//
// Thread: of the connection.
#pragma once

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "iscsi/pdu.h"

namespace aurochs::iscsi {

class PduReader {
 public:
  enum class Event : uint8_t {
    kNeedBytes,          // receive more, then ask again
    kHeader,             // bhs() is known; RedirectData may follow, then ask again
    kPdu,                // all of the PDU is there; data() is valid until the next call to Space()
    kHeaderDigestError,  // the stream cannot be trusted any more; so it stays
    kDataTooLong,        // the data segment exceeds what was declared; so it stays
  };

  // Data segments up to `data_bytes_max` are read.
  explicit PduReader(uint32_t data_bytes_max);

  // For the PDUs after the one that was handed out last.
  void SetDigests(bool header, bool data);
  // Bytes that another reader had received and not used. Before any others.
  void Adopt(std::span<const std::byte> bytes);

  // Where the next bytes belong: one or two pieces, returned as their number. Never none.
  size_t Space(std::span<iovec, 2> pieces);
  // `count` bytes were put into what Space() gave, in order.
  void Received(size_t count);
  Event Next();

  // Additional header segments are skipped; bhs().ahs_bytes() tells whether there were any.
  const Bhs& bhs() const { return bhs_; }
  std::span<const std::byte> data() const { return {data_, bhs_.data_segment_bytes()}; }
  // After kPdu: whether the data segment is what the initiator sent.
  bool data_digest_matches() const { return data_digest_matches_; }

  // REQUIRES: Next() has just returned kHeader. `into` has room for the whole data segment and
  // stays valid until kPdu, or until the reader ends.
  void RedirectData(std::byte* into);

  // Received but not yet used: belongs to whoever reads on from here.
  std::span<const std::byte> unused() const { return {buffer_.get() + begin_, end_ - begin_}; }

 private:
  enum class State : uint8_t {
    kHeader,       // collects BHS, AHS and header digest
    kHeaderShown,  // kHeader was returned
    kBuffered,     // collects the data segment, padding and digest in the buffer
    kRedirected,   // collects the data segment elsewhere
    kTrailer,      // after redirected data: collects padding and digest
    kShown,        // kPdu was returned
    kBroken,       // an error was returned
  };

  size_t buffered() const { return end_ - begin_; }
  size_t padding_bytes() const { return PaddingFor(bhs_.data_segment_bytes()); }
  size_t trailer_bytes() const;
  void Consume(size_t count);
  Event OnHeader();
  Event OnBufferedData();
  Event OnTrailer();
  Event Show(const std::byte* trailer);
  Event Break(Event event);

  const uint32_t data_bytes_max_;
  const size_t capacity_;
  const std::unique_ptr<std::byte[]> buffer_;
  size_t begin_ = 0;  // [begin_, end_) is received and not used up
  size_t end_ = 0;

  State state_ = State::kHeader;
  Event broken_by_ = Event::kNeedBytes;
  bool header_digest_ = false;
  bool data_digest_ = false;
  Bhs bhs_;
  const std::byte* data_ = nullptr;
  bool data_digest_matches_ = true;
  std::byte* redirected_ = nullptr;
  size_t redirected_done_ = 0;
};

}  // namespace aurochs::iscsi
