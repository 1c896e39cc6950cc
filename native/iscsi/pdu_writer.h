// Queues PDUs for sending and gathers them into scatter lists, so that one system call sends many.
// Knows no socket. Data segments are not copied: they are sent from where they lie.
//
// Thread:    of the connection.
// Ownership: of the queued PDUs. Nodes are recycled, so that the steady state does not allocate.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>

#include "iscsi/pdu.h"

namespace aurochs::iscsi {

// A place in a scatter list. Taking bytes moves it on.
struct IovCursor {
  const iovec* piece = nullptr;
  size_t offset = 0;  // into *piece

  // The next bytes that lie together, at most `count` of them.
  std::span<const std::byte> Take(size_t count);
};

inline constexpr size_t kInlineDataBytesMax = 32;  // sense data with its length, ASYNC's, and less

struct OutPdu {
  Bhs bhs;

  // The data segment is one of: scattered bytes that stay valid until `sent`, ...
  IovCursor data;
  uint32_t data_bytes = 0;
  // ... a few bytes kept here, or text kept here.
  std::array<std::byte, kInlineDataBytesMax> inline_data;
  uint32_t inline_data_bytes = 0;
  std::string text;

  // Called, if set, when the last byte has been sent. Not called for PDUs that never are.
  void (*sent)(void* owner) = nullptr;
  void* owner = nullptr;

 private:
  friend class PduWriter;
  std::array<std::byte, kBhsBytes + kDigestBytes> head_;
  std::array<std::byte, kWordBytes + kDigestBytes> tail_;  // padding and data digest
  uint8_t head_bytes_ = 0;
  uint8_t tail_bytes_ = 0;
  iovec single_{};  // of inline_data or text
  OutPdu* next_ = nullptr;
};

class PduWriter {
 public:
  PduWriter() = default;
  PduWriter(const PduWriter&) = delete;
  PduWriter& operator=(const PduWriter&) = delete;

  void SetDigests(bool header, bool data);

  // A node to fill, then to Append. Its fields are as default-constructed, `bhs` as given.
  OutPdu* New(const Bhs& bhs);
  void Append(OutPdu* pdu);

  bool empty() const { return first_ == nullptr; }
  size_t pending_bytes() const { return pending_bytes_; }
  size_t pending_pdus() const { return pending_pdus_; }
  size_t pending_text_bytes() const { return pending_text_bytes_; }  // held in memory of our own

  // Fills `pieces` with what comes next; returns how many were used.
  size_t Gather(std::span<iovec> pieces) const;
  // `count` bytes of what Gather gave went out.
  void Sent(size_t count);

 private:
  static size_t TotalBytes(const OutPdu& pdu);
  void Seal(OutPdu* pdu) const;
  void Recycle(OutPdu* pdu);

  bool header_digest_ = false;
  bool data_digest_ = false;
  std::deque<OutPdu> nodes_;  // all there are; grows and keeps its addresses
  OutPdu* free_ = nullptr;
  OutPdu* first_ = nullptr;
  OutPdu* last_ = nullptr;
  size_t first_sent_bytes_ = 0;  // of *first_
  size_t pending_bytes_ = 0;
  size_t pending_pdus_ = 0;
  size_t pending_text_bytes_ = 0;
};

}  // namespace aurochs::iscsi
