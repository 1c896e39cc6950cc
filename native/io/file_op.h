// Runs file operations with blocking calls: what worker threads do, and what the loop itself does
// for simulated files. Private to io/.
#pragma once

#include "io/event_loop.h"

namespace aurochs {

// Runs `op` to its end and sets its result.
void RunFileOp(FileOp& op);

// Runs the chain that begins with `first`, in order. Writes that are adjacent in the chain and in
// one file share a call; each has its own result all the same.
void RunFileOps(FileOp* first);

// The part of `op.iov` that is still to transfer, as at most kIovecsMax entries: writes the first,
// cut, entry to `first` when the transfer stands inside it.
struct RemainingIov {
  const iovec* entries;
  int count;
};
RemainingIov RemainingOf(const FileOp& op, iovec& first);

// Zeros what a read has not filled because the file ended.
void ZeroRemaining(const FileOp& op);

}  // namespace aurochs
