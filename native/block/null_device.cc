#include "block/null_device.h"

#include <cstring>

namespace aurochs {

void NullDevice::Submit(IoRequest* request) {
  if (request->op == IoOp::kRead) {
    for (const iovec& piece : request->iov) std::memset(piece.iov_base, 0, piece.iov_len);
  }
  request->complete(request, ErrorCode::kOk);
}

void NullDevice::Submit(AllocationQuery* query) {
  query->runs.assign(1, {query->extent.length_bytes, AllocationState::kHole});
  query->complete(query, ErrorCode::kOk);
}

}  // namespace aurochs
