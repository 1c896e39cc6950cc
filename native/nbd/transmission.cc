#include "nbd/transmission.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "nbd/errno_map.h"

namespace aurochs::nbd {
namespace {

// The longest message that is kept whole in a receive buffer.
constexpr size_t kMessageInPlaceBytesMax = kExtendedRequestHeaderBytes + kNbdWriteInPlaceBytesMax;
static_assert(kNbdReceiveBufferBytes >= 2 * kMessageInPlaceBytesMax);

// What a header-only receive takes while large writes arrive: the next header and little more, so
// that their data need not be copied.
constexpr size_t kHeaderReceiveBytes = 512;

}  // namespace

Transmission::Transmission(BlockDevice& device, RequestRules rules, Observer& observer)
    : device_(device),
      rules_(std::move(rules)),
      header_bytes_(RequestHeaderBytes(rules_.replies)),
      observer_(observer),
      pool_(BufferPool::OfThisThread()) {}

Transmission::~Transmission() {
  CHECK(in_device_ == 0);
  CloseInput();
  DropOutput();
  if (receiving_ != nullptr) ReleaseReceiveBuffer(receiving_);
}

// -- Input

std::span<const iovec> Transmission::InputSpace() {
  if (input_closed_ || at_limit_) return {};
  size_t count = 0;
  size_t room_wanted = kNbdReceiveBufferBytes;
  if (large_write_ != nullptr) {
    const iovec& data = large_write_->data;
    input_space_[count++] = {static_cast<std::byte*>(data.iov_base) + large_write_filled_,
                             data.iov_len - large_write_filled_};
  }
  if (large_writes_expected_ && skip_bytes_ == 0) room_wanted = kHeaderReceiveBytes;
  if (!MakeReceiveRoom()) {
    at_limit_ = count == 0;
    return std::span(input_space_).first(count);
  }
  input_space_[count++] = {receiving_->memory.data() + filled_,
                           std::min(room_wanted, receiving_->memory.size() - filled_)};
  return std::span(input_space_).first(count);
}

void Transmission::AddInput(size_t bytes) {
  if (large_write_ != nullptr) {
    const size_t missing = large_write_->data.iov_len - large_write_filled_;
    const size_t payload = std::min(bytes, missing);
    filled_ += bytes - payload;
    AddToLargeWrite(payload);
  } else {
    filled_ += bytes;
  }
  CHECK(filled_ == 0 || filled_ <= receiving_->memory.size());
  TakeRequests();
}

void Transmission::Resume() {
  if (!at_limit_) return;
  at_limit_ = false;
  TakeRequests();
}

void Transmission::CloseInput() {
  input_closed_ = true;
  // Requests of which a part has not arrived are as if they had never been sent.
  if (large_write_ != nullptr) FreeRequest(*std::exchange(large_write_, nullptr));
  if (refused_ != nullptr) FreeRequest(*std::exchange(refused_, nullptr));
  parsed_ = filled_;
}

void Transmission::TakeRequests() {
  while (!input_closed_ && large_write_ == nullptr && TakeNext()) {
  }
  if (receiving_ != nullptr && receiving_->users == 0 && parsed_ == filled_) parsed_ = filled_ = 0;
}

bool Transmission::TakeNext() {
  if (refused_ != nullptr) return SkipRefusedPayload();
  if (filled_ - parsed_ < header_bytes_) return false;

  const auto header =
      DecodeRequestHeader({receiving_->memory.data() + parsed_, header_bytes_}, rules_.replies);
  if (!header || header->command == Command::kDisc) {
    CloseInput();
    return false;
  }
  if (!HasRoomFor(*header)) {
    at_limit_ = true;
    return false;
  }
  if (header->payload_bytes > 0) return TakeWithPayload(*header);

  large_writes_expected_ = false;
  parsed_ += header_bytes_;
  Take(*header);
  return true;
}

// A request whose payload, if it had one, has been taken.
void Transmission::Take(const RequestHeader& header) {
  Request& request = NewRequest(header);
  const NbdError error = JudgeRequest(header, rules_, device_);
  if (error != NbdError::kNone) {
    Answer(request, error);
  } else {
    Start(request);
  }
}

bool Transmission::SkipRefusedPayload() {
  const size_t passed = std::min<uint64_t>(skip_bytes_, filled_ - parsed_);
  parsed_ += passed;
  skip_bytes_ -= passed;
  if (skip_bytes_ > 0) return false;
  Request& refused = *std::exchange(refused_, nullptr);
  Queue(refused);
  return true;
}

bool Transmission::TakeStatusPayload(const RequestHeader& header) {
  const auto payload_bytes = static_cast<size_t>(header.payload_bytes);
  if (filled_ - parsed_ - header_bytes_ < payload_bytes) return false;
  const std::byte* payload = receiving_->memory.data() + parsed_ + header_bytes_;
  parsed_ += header_bytes_ + payload_bytes;
  RequestHeader decoded = header;
  if (DecodeStatusPayload({payload, payload_bytes}, rules_.contexts, &decoded)) {
    Take(decoded);
  } else {
    Answer(NewRequest(header), NbdError::kEinval);
  }
  return true;
}

bool Transmission::TakeWithPayload(const RequestHeader& header) {
  if (header.command == Command::kBlockStatus && header.payload_bytes <= kStatusPayloadBytesMax) {
    return TakeStatusPayload(header);
  }
  const size_t available_bytes = filled_ - parsed_ - header_bytes_;
  const NbdError error = JudgeRequest(header, rules_, device_);
  if (error != NbdError::kNone) {
    parsed_ += header_bytes_;
    Refuse(NewRequest(header), error);
    return true;
  }
  CHECK(header.command == Command::kWrite);  // No other may have a payload.
  const size_t length_bytes = header.payload_bytes;

  const bool complete = available_bytes >= length_bytes;
  if (!complete && length_bytes <= kNbdWriteInPlaceBytesMax) return false;

  large_writes_expected_ = length_bytes > kNbdWriteInPlaceBytesMax;
  parsed_ += header_bytes_;
  Request& request = NewRequest(header);
  if (!complete) {
    ReceiveLargeWrite(request, available_bytes);
    return true;
  }
  request.received = receiving_;
  ++receiving_->users;
  request.data = {receiving_->memory.data() + parsed_, length_bytes};
  parsed_ += length_bytes;
  Start(request);
  return true;
}

void Transmission::ReceiveLargeWrite(Request& request, size_t available_bytes) {
  if (!AllocateBuffer(request, request.header.extent.length_bytes)) {
    Refuse(request, NbdError::kEnomem);
    return;
  }
  std::memcpy(request.buffer.data(), receiving_->memory.data() + parsed_, available_bytes);
  parsed_ += available_bytes;
  large_write_ = &request;
  large_write_filled_ = available_bytes;
}

void Transmission::AddToLargeWrite(size_t bytes) {
  large_write_filled_ += bytes;
  if (large_write_filled_ < large_write_->data.iov_len) return;
  Start(*std::exchange(large_write_, nullptr));
}

// A first request always has room, however large.
bool Transmission::HasRoomFor(const RequestHeader& header) const {
  if (in_flight_ == 0) return true;
  if (in_flight_ >= kNbdRequestsInFlightMax) return false;
  const bool is_read = header.command == Command::kRead;
  const bool has_data = is_read || header.command == Command::kWrite;
  const bool has_status = header.command == Command::kBlockStatus;
  const uint64_t bytes = has_data     ? header.extent.length_bytes
                         : has_status ? kBlockStatusBytesMax
                                      : 0;
  return bytes > kRequestBytesMax  // It will be refused.
         || pinned_bytes_ + bytes <= (is_read ? kNbdReadAheadBytesMax : kConnectionBufferBytesMax);
}

// Leaves at least kMessageInPlaceBytesMax behind what has arrived and is not taken yet.
bool Transmission::MakeReceiveRoom() {
  if (receiving_ != nullptr && receiving_->memory.size() - filled_ >= kMessageInPlaceBytesMax) {
    return true;
  }
  const size_t rest_bytes = filled_ - parsed_;
  if (receiving_ == nullptr || receiving_->users > 0) {
    if (in_flight_ > 0 && pinned_bytes_ + kNbdReceiveBufferBytes > kConnectionBufferBytesMax) {
      return false;
    }
    ReceiveBuffer* fresh = NewReceiveBuffer();
    if (fresh == nullptr) {
      // Without memory for one buffer nothing can go on, unless requests in flight give some back.
      if (in_flight_ == 0) CloseInput();
      return false;
    }
    if (receiving_ != nullptr) {
      std::memcpy(fresh->memory.data(), receiving_->memory.data() + parsed_, rest_bytes);
    }
    receiving_ = fresh;
  } else {
    std::memmove(receiving_->memory.data(), receiving_->memory.data() + parsed_, rest_bytes);
  }
  parsed_ = 0;
  filled_ = rest_bytes;
  return true;
}

// Answers a request whose payload will be passed over first.
void Transmission::Refuse(Request& request, NbdError error) {
  request.reply_bytes = EncodeAnswer(request.reply, rules_.replies, request.header, error);
  refused_ = &request;
  skip_bytes_ = request.header.payload_bytes;
}

// -- Execution

void Transmission::Start(Request& request) {
  const RequestHeader& header = request.header;
  if (header.extent.length_bytes == 0 && header.command != Command::kFlush) {
    Answer(request, NbdError::kNone);
    return;
  }
  switch (header.command) {
    case Command::kRead: return StartRead(request);
    case Command::kWrite: return Submit(request, IoOp::kWrite);
    case Command::kFlush: return Submit(request, IoOp::kFlush);
    case Command::kTrim: return Submit(request, IoOp::kUnmap);
    case Command::kWriteZeroes: return Submit(request, IoOp::kWriteZeroes);
    case Command::kBlockStatus: return StartBlockStatus(request);
    // The page cache below reads ahead by itself, so the hint is taken and nothing is done.
    case Command::kCache: return Answer(request, NbdError::kNone);
    case Command::kDisc: break;
  }
  Unreachable("Transmission::Start");  // JudgeRequest has refused what is not listed.
}

void Transmission::StartRead(Request& request) {
  if (!AllocateBuffer(request, request.header.extent.length_bytes)) {
    Answer(request, NbdError::kEnomem);
    return;
  }
  Submit(request, IoOp::kRead);
}

void Transmission::StartBlockStatus(Request& request) {
  if (!AllocateBuffer(request, kBlockStatusBytesMax)) {
    Answer(request, NbdError::kEnomem);
    return;
  }
  request.status = std::make_unique<BlockStatus>(device_, rules_.replies, rules_.contexts,
                                                 request.header, request.buffer.bytes());
  ++in_device_;
  request.status->Start(&Transmission::OnBlockStatus, &request);
}

void Transmission::Submit(Request& request, IoOp op) {
  IoRequest& io = request.io;
  io.op = op;
  const bool changes_data = op != IoOp::kRead && op != IoOp::kFlush;
  io.fua = changes_data && request.header.Has(kCommandFlagFua);
  io.keep_allocated = request.header.Has(kCommandFlagNoHole);
  io.extent = request.header.extent;
  io.iov = {&request.data, request.data.iov_len > 0 ? 1u : 0u};
  io.complete = &Transmission::OnIoComplete;
  io.owner = &request;
  ++in_device_;
  device_.Submit(&io);
}

void Transmission::OnIoComplete(IoRequest* io, ErrorCode result) {
  auto& request = *static_cast<Request*>(io->owner);
  request.owner->Complete(request, result);
}

void Transmission::OnBlockStatus(void* request, ErrorCode result) {
  auto& ended = *static_cast<Request*>(request);
  ended.owner->CompleteBlockStatus(ended, result);
}

void Transmission::Complete(Request& request, ErrorCode result) {
  CHECK(in_device_ > 0);
  --in_device_;
  if (result == ErrorCode::kOk && request.header.command == Command::kRead) {
    AnswerWithData(request);
  } else {
    Answer(request, NbdErrorFor(result));
  }
}

void Transmission::CompleteBlockStatus(Request& request, ErrorCode result) {
  CHECK(in_device_ > 0);
  --in_device_;
  const auto status = std::move(request.status);
  if (result != ErrorCode::kOk) {
    Answer(request, NbdErrorFor(result));
    return;
  }
  // All of it, with the headers of its chunks, is in the buffer.
  request.reply_bytes = 0;
  request.reply_data_bytes = static_cast<uint32_t>(status->reply_bytes());
  Queue(request);
}

// -- Output

void Transmission::Answer(Request& request, NbdError error) {
  ReleaseBuffers(request);
  request.reply_bytes = EncodeAnswer(request.reply, rules_.replies, request.header, error);
  Queue(request);
}

void Transmission::AnswerWithData(Request& request) {
  request.reply_bytes = EncodeReadHeader(request.reply, rules_.replies, request.header);
  request.reply_data_bytes = static_cast<uint32_t>(request.data.iov_len);
  Queue(request);
}

void Transmission::Queue(Request& request) {
  if (output_dropped_) {
    FreeRequest(request);
  } else {
    request.next = nullptr;
    (replies_head_ == nullptr ? replies_head_ : replies_tail_->next) = &request;
    replies_tail_ = &request;
  }
  observer_.OnReplyReady();
}

size_t Transmission::GatherOutput(std::span<iovec> into) const {
  size_t count = 0;
  size_t sent_bytes = head_sent_bytes_;
  const auto add = [&](const void* from, size_t bytes) {
    const size_t skipped = std::min(sent_bytes, bytes);
    sent_bytes -= skipped;
    if (skipped == bytes) return;
    auto* first = static_cast<std::byte*>(const_cast<void*>(from)) + skipped;
    into[count++] = {first, bytes - skipped};
  };
  for (const Request* one = replies_head_; one != nullptr && count + 2 <= into.size();
       one = one->next) {
    add(one->reply.data(), one->reply_bytes);
    add(one->data.iov_base, one->reply_data_bytes);
  }
  return count;
}

void Transmission::OutputSent(size_t bytes) {
  head_sent_bytes_ += bytes;
  while (replies_head_ != nullptr) {
    Request& head = *replies_head_;
    const size_t head_bytes = size_t{head.reply_bytes} + head.reply_data_bytes;
    if (head_sent_bytes_ < head_bytes) return;
    head_sent_bytes_ -= head_bytes;
    replies_head_ = head.next;
    FreeRequest(head);
  }
  CHECK(head_sent_bytes_ == 0);
}

void Transmission::DropOutput() {
  output_dropped_ = true;
  while (replies_head_ != nullptr) FreeRequest(*std::exchange(replies_head_, replies_head_->next));
  head_sent_bytes_ = 0;
}

// -- Memory

void Transmission::ReleaseIdleMemory() {
  if (in_flight_ > 0 || receiving_ == nullptr || parsed_ != filled_) return;
  ReleaseReceiveBuffer(std::exchange(receiving_, nullptr));
  parsed_ = filled_ = 0;
}

Transmission::Request& Transmission::NewRequest(const RequestHeader& header) {
  if (free_requests_ == nullptr) {
    CHECK(requests_.size() < kNbdRequestsInFlightMax);
    requests_.push_back(std::make_unique<Request>());
    requests_.back()->owner = this;
    free_requests_ = requests_.back().get();
  }
  Request& request = *std::exchange(free_requests_, free_requests_->next);
  request.header = header;
  request.data = {};
  request.reply_data_bytes = 0;
  ++in_flight_;
  return request;
}

void Transmission::FreeRequest(Request& request) {
  ReleaseBuffers(request);
  CHECK(in_flight_ > 0);
  --in_flight_;
  request.next = free_requests_;
  free_requests_ = &request;
}

bool Transmission::AllocateBuffer(Request& request, uint64_t bytes) {
  request.buffer = pool_.Allocate(bytes);
  if (!request.buffer) return false;
  request.data = {request.buffer.data(), bytes};
  pinned_bytes_ += bytes;
  return true;
}

void Transmission::ReleaseBuffers(Request& request) {
  if (request.buffer) {
    pinned_bytes_ -= request.buffer.size();
    request.buffer.Reset();
  }
  if (request.received != nullptr) {
    ReceiveBuffer* received = std::exchange(request.received, nullptr);
    CHECK(received->users > 0);
    --received->users;
    if (received->users == 0 && received != receiving_) ReleaseReceiveBuffer(received);
  }
  request.data = {};
}

Transmission::ReceiveBuffer* Transmission::NewReceiveBuffer() {
  auto memory = pool_.Allocate(kNbdReceiveBufferBytes);
  if (!memory) return nullptr;
  if (spare_receive_buffers_.empty()) {
    spare_receive_buffers_.push_back(std::make_unique<ReceiveBuffer>());
  }
  ReceiveBuffer* fresh = spare_receive_buffers_.back().release();
  spare_receive_buffers_.pop_back();
  fresh->memory = std::move(memory);
  pinned_bytes_ += kNbdReceiveBufferBytes;
  return fresh;
}

void Transmission::ReleaseReceiveBuffer(ReceiveBuffer* buffer) {
  CHECK(buffer->users == 0);
  buffer->memory.Reset();
  pinned_bytes_ -= kNbdReceiveBufferBytes;
  spare_receive_buffers_.emplace_back(buffer);
}

}  // namespace aurochs::nbd
