// A queue of file operations, linked through themselves. Private to io/.
#pragma once

#include <utility>

#include "io/event_loop.h"

namespace aurochs {

class FileOpList {
 public:
  bool empty() const { return first_ == nullptr; }
  FileOp* first() const { return first_; }
  FileOp* last() const { return last_; }

  void Append(FileOp* op) {
    op->next = nullptr;
    Append(FileOpList(op, op));
  }
  void Append(FileOpList list) {
    if (list.empty()) return;
    (empty() ? first_ : last_->next) = list.first_;
    last_ = list.last_;
  }
  // REQUIRES: !empty().
  FileOp* PopFirst() {
    FileOp* const op = first_;
    first_ = op->next;
    if (first_ == nullptr) last_ = nullptr;
    op->next = nullptr;
    return op;
  }
  FileOpList TakeAll() { return std::exchange(*this, FileOpList()); }

  FileOpList() = default;
  // A chain that is linked already.
  FileOpList(FileOp* first, FileOp* last) : first_(first), last_(last) {}

 private:
  FileOp* first_ = nullptr;
  FileOp* last_ = nullptr;
};

}  // namespace aurochs
