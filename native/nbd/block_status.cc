#include "nbd/block_status.h"

#include <array>
#include <bit>

#include "base/check.h"

namespace aurochs::nbd {
namespace {

// The snapshot is gone, so that nobody knows what has changed since: to the client, everything may.
struct GoneRun {
  uint64_t length_bytes;
};

uint32_t FlagsOf(const AllocationRun& run) {
  return run.state == AllocationState::kHole ? kStateHole | kStateZero : 0;
}

uint32_t FlagsOf(const ChangeRun& run) {
  switch (run.state) {
    case ChangeState::kSame: return 0;
    case ChangeState::kChanged: return kStateDirty;
    case ChangeState::kChangedToZeros: return kStateDirty | kStateDirtyZero;
  }
  Unreachable("FlagsOf");
}

uint32_t FlagsOf(const GoneRun&) {
  return kStateDirty | kStateSnapshotGone;
}

}  // namespace

BlockStatus::BlockStatus(BlockDevice& device, ReplyStyle style,
                         std::span<const MetaContext> contexts, const RequestHeader& request,
                         std::span<std::byte> reply)
    : device_(device),
      style_(style),
      contexts_(contexts),
      request_(request),
      runs_max_(request.Has(kCommandFlagReqOne)
                    ? 1
                    : kNbdBlockStatusExtentsMax / static_cast<uint32_t>(contexts.size())),
      reply_(reply) {
  CHECK(reply.size() >= kBlockStatusBytesMax);
}

void BlockStatus::Start(Done done, void* owner) {
  done_ = done;
  owner_ = owner;
  for (size_t i = 0; i < contexts_.size(); ++i) left_ += request_.Wants(i);
  CHECK(left_ > 0);
  AskNext();
}

// At most kNbdContextsSelectedMax deep, where the device answers at once.
void BlockStatus::AskNext() {
  if (left_ == 0) return done_(owner_, ErrorCode::kOk);  // May end this.
  while (!request_.Wants(current_)) ++current_;
  const MetaContext& context = contexts_[current_];
  if (context.snapshot_id.empty()) {
    allocation_ = {.extent = request_.extent, .runs_max = runs_max_};
    allocation_.complete = &BlockStatus::OnAllocation;
    allocation_.owner = this;
    device_.Submit(&allocation_);
  } else {
    changes_ = {.since = context.snapshot_id, .extent = request_.extent, .runs_max = runs_max_};
    changes_.complete = &BlockStatus::OnChanges;
    changes_.owner = this;
    device_.QueryChanges(&changes_);
  }
}

void BlockStatus::OnAllocation(AllocationQuery* query, ErrorCode result) {
  auto& self = *static_cast<BlockStatus*>(query->owner);
  if (result != ErrorCode::kOk) return self.done_(self.owner_, result);
  self.Add(std::span<const AllocationRun>(query->runs));
  self.AskNext();
}

void BlockStatus::OnChanges(ChangeQuery* query, ErrorCode result) {
  auto& self = *static_cast<BlockStatus*>(query->owner);
  if (result == ErrorCode::kNotFound) {
    const GoneRun all{self.request_.extent.length_bytes};
    self.Add(std::span(&all, 1));
  } else if (result != ErrorCode::kOk) {
    return self.done_(self.owner_, result);
  } else {
    self.Add(std::span<const ChangeRun>(query->runs));
  }
  self.AskNext();
}

template <typename Run>
void BlockStatus::Add(std::span<const Run> runs) {
  CHECK(!runs.empty() && runs.size() <= runs_max_);
  --left_;
  ByteWriter writer(reply_.subspan(reply_bytes_));
  PutBlockStatusHeader(writer, style_, request_, contexts_[current_++].id, runs.size(), left_ == 0);
  for (const Run& run : runs) {
    if (style_ == ReplyStyle::kExtended) {
      writer.U64(run.length_bytes);
      writer.U64(FlagsOf(run));
    } else {
      writer.U32(static_cast<uint32_t>(run.length_bytes));
      writer.U32(FlagsOf(run));
    }
  }
  reply_bytes_ = reply_.size() - writer.remaining();
}

}  // namespace aurochs::nbd
