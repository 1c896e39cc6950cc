#include "support/sim_node.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"

namespace aurochs {
namespace {

// Versions of one block that are kept between two syncs; of more, the oldest are forgotten.
constexpr size_t kVersionsMax = 4;

}  // namespace

uint64_t SimRandom::Next() {
  state_ += 0x9e3779b97f4a7c15;
  uint64_t mixed = state_;
  mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
  mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
  return mixed ^ (mixed >> 31);
}

SimFileNode::~SimFileNode() {
  space_.used_bytes -= allocated_bytes_;
}

void SimFileNode::Read(std::span<std::byte> into, uint64_t offset_bytes) const {
  std::fill(into.begin(), into.end(), std::byte{0});
  const uint64_t end_bytes = offset_bytes + into.size();
  for (auto it = slots_.lower_bound(offset_bytes / kBlockBytes); it != slots_.end(); ++it) {
    const uint64_t block_begin = it->first * kBlockBytes;
    if (block_begin >= end_bytes) break;
    if (it->second.current == nullptr) continue;
    const uint64_t begin = std::max(offset_bytes, block_begin);
    const uint64_t end = std::min(end_bytes, block_begin + kBlockBytes);
    std::memcpy(into.data() + (begin - offset_bytes),
                it->second.current->data() + (begin - block_begin), end - begin);
  }
}

std::optional<FileRange> SimFileNode::NextData(uint64_t offset_bytes, uint64_t end_bytes) const {
  const uint64_t limit = std::min(end_bytes, size_bytes_);
  auto it = slots_.lower_bound(offset_bytes / kBlockBytes);
  while (it != slots_.end() && it->second.current == nullptr) ++it;
  if (it == slots_.end()) return std::nullopt;
  const uint64_t begin = std::max(offset_bytes, it->first * kBlockBytes);
  if (begin >= limit) return std::nullopt;
  uint64_t index = it->first;
  while (it != slots_.end() && it->first == index && it->second.current != nullptr &&
         index * kBlockBytes < limit) {
    ++it;
    ++index;
  }
  return FileRange{begin, std::min(limit, index * kBlockBytes) - begin};
}

Status SimFileNode::Write(std::span<const std::byte> from, uint64_t offset_bytes) {
  while (!from.empty()) {
    const uint64_t index = offset_bytes / kBlockBytes;
    const uint64_t inside = offset_bytes % kBlockBytes;
    const size_t count = std::min<size_t>(from.size(), kBlockBytes - inside);
    const auto it = slots_.find(index);
    const SimBlock* const before = it == slots_.end() ? nullptr : it->second.current.get();
    if (before == nullptr && space_.used_bytes + kBlockBytes > space_.capacity_bytes) {
      return {ErrorCode::kNoSpace, "No space left on simulated disk"};
    }
    auto block = std::make_shared<SimBlock>();
    if (before != nullptr && count < kBlockBytes) *block = *before;
    std::memcpy(block->data() + inside, from.data(), count);
    SetBlock(index, std::move(block), 0);
    from = from.subspan(count);
    offset_bytes += count;
    if (offset_bytes > size_bytes_) SetSize(offset_bytes, 0);
  }
  return Status::Ok();
}

void SimFileNode::Punch(uint64_t offset_bytes, uint64_t length_bytes) {
  const uint64_t end = (offset_bytes + length_bytes) / kBlockBytes;
  std::vector<uint64_t> punched;
  for (auto it = slots_.lower_bound(offset_bytes / kBlockBytes); it != slots_.end(); ++it) {
    if (it->first >= end) break;
    if (it->second.current != nullptr) punched.push_back(it->first);
  }
  for (uint64_t index : punched) SetBlock(index, nullptr, 0);
}

void SimFileNode::Truncate(uint64_t size_bytes) {
  const uint64_t number = ++truncations_;
  if (size_bytes < size_bytes_) {
    const uint64_t inside = size_bytes % kBlockBytes;
    const auto tail = slots_.find(size_bytes / kBlockBytes);
    if (inside != 0 && tail != slots_.end() && tail->second.current != nullptr) {
      auto block = std::make_shared<SimBlock>(*tail->second.current);
      std::fill(block->begin() + static_cast<ptrdiff_t>(inside), block->end(), std::byte{0});
      SetBlock(tail->first, std::move(block), number);
    }
    std::vector<uint64_t> cut;
    for (auto it = slots_.lower_bound(AlignUp(size_bytes, kBlockBytes) / kBlockBytes);
         it != slots_.end(); ++it) {
      if (it->second.current != nullptr) cut.push_back(it->first);
    }
    for (uint64_t index : cut) SetBlock(index, nullptr, number);
  }
  SetSize(size_bytes, number);
}

void SimFileNode::CloneFrom(const SimFileNode& source, uint64_t offset_bytes,
                            uint64_t length_bytes) {
  const uint64_t begin = offset_bytes / kBlockBytes;
  const uint64_t end = AlignUp(offset_bytes + length_bytes, kBlockBytes) / kBlockBytes;
  for (uint64_t index = begin; index < end; ++index) {
    const auto from = source.slots_.find(index);
    SimBlockPtr data = from == source.slots_.end() ? nullptr : from->second.current;
    const auto to = slots_.find(index);
    const bool hole_already = to == slots_.end() || to->second.current == nullptr;
    if (data != nullptr || !hole_already) SetBlock(index, std::move(data), 0);
  }
  size_bytes_ = std::max(size_bytes_, offset_bytes + length_bytes);
}

void SimFileNode::Sync() {
  for (uint64_t index : dirty_) {
    const auto it = slots_.find(index);
    it->second.durable = it->second.current;
    it->second.unsynced.clear();
    if (it->second.durable == nullptr) slots_.erase(it);
  }
  dirty_.clear();
  durable_size_bytes_ = size_bytes_;
  unsynced_sizes_.clear();
}

void SimFileNode::LoseUnsynced() {
  for (uint64_t index : dirty_) slots_.at(index).unsynced.clear();
  dirty_.clear();
  // The size is in the journal, which may be sound.
  durable_size_bytes_ = size_bytes_;
  unsynced_sizes_.clear();
}

void SimFileNode::DropCached() {
  for (auto it = slots_.begin(); it != slots_.end();) {
    Slot& slot = it->second;
    if (!slot.unsynced.empty()) {
      ++it;
      continue;
    }
    const bool was_hole = slot.current == nullptr;
    slot.current = slot.durable;
    const bool is_hole = slot.current == nullptr;
    if (was_hole != is_hole) {
      const uint64_t change = is_hole ? -kBlockBytes : kBlockBytes;
      allocated_bytes_ += change;
      space_.used_bytes += change;
    }
    it = is_hole ? slots_.erase(it) : std::next(it);
  }
}

void SimFileNode::PowerCut(SimRandom& random, SimLuck luck) {
  const uint64_t truncations_kept = ChooseSize(random, luck);
  const uint64_t end = AlignUp(size_bytes_, kBlockBytes) / kBlockBytes;
  space_.used_bytes -= std::exchange(allocated_bytes_, 0);
  for (auto it = slots_.begin(); it != slots_.end();) {
    Slot& slot = it->second;
    const SimBlockPtr chosen = ChooseBlock(slot, truncations_kept, random, luck);
    if (chosen == nullptr || it->first >= end) {
      it = slots_.erase(it);
      continue;
    }
    slot = {chosen, chosen, {}};
    allocated_bytes_ += kBlockBytes;
    ++it;
  }
  space_.used_bytes += allocated_bytes_;
  dirty_.clear();
}

// Returns the number of the last truncation that has reached the disk.
uint64_t SimFileNode::ChooseSize(SimRandom& random, SimLuck luck) {
  size_t kept = 0;  // changes that reach the disk, in their order
  if (luck == SimLuck::kEverything) kept = unsynced_sizes_.size();
  if (luck == SimLuck::kAnything) kept = random.Below(unsynced_sizes_.size() + 1);
  uint64_t truncations_kept = unsynced_sizes_.empty() ? truncations_ : 0;
  size_bytes_ = durable_size_bytes_;
  for (size_t i = 0; i < kept; ++i) {
    size_bytes_ = unsynced_sizes_[i].size_bytes;
    truncations_kept = std::max(truncations_kept, unsynced_sizes_[i].truncation);
  }
  durable_size_bytes_ = size_bytes_;
  unsynced_sizes_.clear();
  return truncations_kept;
}

SimBlockPtr SimFileNode::ChooseBlock(const Slot& slot, uint64_t truncations_kept, SimRandom& random,
                                     SimLuck luck) const {
  size_t kept = 0;
  if (luck == SimLuck::kEverything) kept = slot.unsynced.size();
  if (luck == SimLuck::kAnything) kept = random.Below(slot.unsynced.size() + 1);
  // A truncation takes its blocks along only when it reaches the disk itself.
  while (kept > 0 && slot.unsynced[kept - 1].truncation > truncations_kept) --kept;
  return kept == 0 ? slot.durable : slot.unsynced[kept - 1].data;
}

void SimFileNode::SetBlock(uint64_t index, SimBlockPtr data, uint64_t truncation) {
  Slot& slot = slots_[index];
  if (slot.current == nullptr && data != nullptr) {
    allocated_bytes_ += kBlockBytes;
    space_.used_bytes += kBlockBytes;
  } else if (slot.current != nullptr && data == nullptr) {
    allocated_bytes_ -= kBlockBytes;
    space_.used_bytes -= kBlockBytes;
  }
  slot.current = data;
  if (slot.unsynced.empty()) dirty_.push_back(index);
  if (slot.unsynced.size() == kVersionsMax) slot.unsynced.erase(slot.unsynced.begin());
  slot.unsynced.push_back({std::move(data), truncation});
}

void SimFileNode::SetSize(uint64_t size_bytes, uint64_t truncation) {
  size_bytes_ = size_bytes;
  // A file that grows write by write need not remember every size.
  if (truncation == 0 && unsynced_sizes_.size() >= kVersionsMax &&
      unsynced_sizes_.back().truncation == 0) {
    unsynced_sizes_.back().size_bytes = size_bytes;
    return;
  }
  unsynced_sizes_.push_back({size_bytes, truncation});
}

SimNode::SimNode(SimSpace& space, bool is_directory) {
  if (!is_directory) file = std::make_unique<SimFileNode>(space);
}

void SimNode::Add(const std::string& name, std::shared_ptr<SimNode> node) {
  Change({"", name, std::move(node)});
}

void SimNode::Remove(const std::string& name) {
  Change({name, "", nullptr});
}

void SimNode::Rename(const std::string& from, const std::string& to) {
  Change({from, to, entries.at(from)});
}

void SimNode::Change(NameChange change) {
  Apply(entries, change);
  unsynced_.push_back(std::move(change));
}

void SimNode::Apply(Entries& entries, const NameChange& change) {
  if (!change.removed.empty()) entries.erase(change.removed);
  if (!change.added.empty()) entries[change.added] = change.node;
}

void SimNode::SyncNames() {
  durable_entries_ = entries;
  unsynced_.clear();
}

void SimNode::PowerCut(SimRandom& random, SimLuck luck) {
  if (file != nullptr) {
    file->PowerCut(random, luck);
    return;
  }
  // From the last change back, since one that is kept needs the earlier ones of its names.
  std::vector<bool> kept(unsynced_.size());
  std::set<std::string> needed;
  for (size_t i = unsynced_.size(); i-- > 0;) {
    const NameChange& change = unsynced_[i];
    kept[i] = needed.contains(change.removed) || needed.contains(change.added) ||
              luck == SimLuck::kEverything || (luck == SimLuck::kAnything && random.Below(2) == 0);
    if (!kept[i]) continue;
    for (const std::string& name : {change.removed, change.added}) {
      if (!name.empty()) needed.insert(name);
    }
  }
  entries = durable_entries_;
  for (size_t i = 0; i < unsynced_.size(); ++i) {
    if (kept[i]) Apply(entries, unsynced_[i]);
  }
  SyncNames();
  for (const auto& [name, node] : entries) node->PowerCut(random, luck);
}

void SimNode::ClearLocks() {
  locks.clear();
  for (const auto& [name, node] : entries) node->ClearLocks();
}

}  // namespace aurochs
