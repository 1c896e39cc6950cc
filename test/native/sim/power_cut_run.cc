#include "sim/power_cut_run.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <utility>

#include "replica/fsck.h"

namespace aurochs::test {

PowerCutRun::PowerCutRun(uint64_t size_bytes) : live_(size_bytes / kBlockBytes, {BlockContent{}}) {
  CHECK(CreateReplica(*disk_.Root(), "r", {kVolumeId, kReplicaId, size_bytes}).ok());
  CHECK(Open());
}

bool PowerCutRun::Open() {
  Status opened = rig_.Open(disk_.Root()->OpenDirectory("r").value(), epoch_);
  return opened.ok();
}

// An error while there is power is a failure of the test.
bool PowerCutRun::Survived(bool ok) {
  if (!ok && !disk_.crashed()) ADD_FAILURE() << "an operation failed with the power on";
  return ok && !disk_.crashed();
}

void PowerCutRun::NoteWrite(uint64_t offset_bytes, uint64_t length_bytes, SectorTag tag) {
  const uint64_t end = offset_bytes + length_bytes;
  for (uint64_t at = offset_bytes; at < end;) {
    auto& versions = live_[at / kBlockBytes];
    const uint64_t block_end = std::min(AlignDown(at, kBlockBytes) + kBlockBytes, end);
    BlockContent content = versions.back();
    for (; at < block_end; at += kSectorBytes) content[at % kBlockBytes / kSectorBytes] = tag;
    versions.push_back(content);
  }
}

bool PowerCutRun::Write(uint64_t offset_bytes, uint64_t length_bytes, bool fua) {
  const SectorTag tag = ++last_tag_;
  std::vector<std::byte> bytes(length_bytes);
  for (uint64_t at = 0; at < length_bytes; at += kSectorBytes) FillSector(&bytes[at], tag);
  NoteWrite(offset_bytes, length_bytes, tag);
  if (!Survived(rig_.Write(offset_bytes, bytes, fua) == ErrorCode::kOk)) return false;
  if (!fua) return true;
  for (uint64_t block = offset_bytes / kBlockBytes;
       block * kBlockBytes < offset_bytes + length_bytes; ++block) {
    live_[block] = {live_[block].back()};
  }
  return true;
}

bool PowerCutRun::Zero(IoOp op, uint64_t offset_bytes, uint64_t length_bytes, bool keep_allocated) {
  NoteWrite(offset_bytes, length_bytes, 0);
  return Survived(rig_.Io(op, offset_bytes, length_bytes, false, keep_allocated) == ErrorCode::kOk);
}

bool PowerCutRun::Flush() {
  if (!Survived(rig_.Flush() == ErrorCode::kOk)) return false;
  Settle(Current());
  return true;
}

bool PowerCutRun::CommandEnded(const Status& status) {
  if (!Survived(status.ok())) return false;
  pending_ = {};
  return true;
}

bool PowerCutRun::Snapshot(const std::string& word) {
  pending_ = {Pending::Kind::kSnapshot, word, 0};
  if (!CommandEnded(rig_.Snapshot(word))) return false;
  snapshots_[word] = Current();
  Settle(Current());
  return true;
}

bool PowerCutRun::Revert(const std::string& word) {
  pending_ = {Pending::Kind::kRevert, word, 0};
  if (!CommandEnded(rig_.Revert(word))) return false;
  Settle(snapshots_.at(word));
  return true;
}

bool PowerCutRun::Delete(const std::string& word) {
  pending_ = {Pending::Kind::kDelete, word, 0};
  if (!CommandEnded(rig_.Delete(word))) return false;
  snapshots_.erase(word);
  return true;
}

bool PowerCutRun::DeleteLater(const std::string& word) {
  pending_ = {Pending::Kind::kDelete, word, 0};
  if (!CommandEnded(rig_.DeleteRecorded(word))) return false;
  snapshots_.erase(word);
  return true;
}

bool PowerCutRun::Expand(uint64_t size_bytes) {
  pending_ = {Pending::Kind::kExpand, "", size_bytes};
  if (!CommandEnded(rig_.Expand(size_bytes))) return false;
  live_.resize(size_bytes / kBlockBytes, {BlockContent{}});
  return true;
}

std::vector<BlockContent> PowerCutRun::Current() const {
  std::vector<BlockContent> content;
  for (const auto& versions : live_) content.push_back(versions.back());
  return content;
}

void PowerCutRun::Settle(const std::vector<BlockContent>& content) {
  for (size_t block = 0; block < live_.size(); ++block) {
    live_[block] = {block < content.size() ? content[block] : BlockContent{}};
  }
}

std::vector<BlockContent> PowerCutRun::ReadAll() {
  const uint64_t size_bytes = rig_.device().info().size_bytes;
  const std::vector<std::byte> bytes = rig_.Read(0, size_bytes);
  std::vector<BlockContent> content(size_bytes / kBlockBytes);
  for (uint64_t sector = 0; sector < size_bytes / kSectorBytes; ++sector) {
    content[sector / kSectorsPerBlock][sector % kSectorsPerBlock] =
        TagOf(&bytes[sector * kSectorBytes]);
  }
  return content;
}

bool PowerCutRun::Allowed(const std::vector<BlockContent>& read) const {
  for (size_t block = 0; block < read.size(); ++block) {
    const auto& versions = live_[block];
    if (std::find(versions.begin(), versions.end(), read[block]) == versions.end()) return false;
  }
  return true;
}

void PowerCutRun::CheckNames(const ReplicaInfo& info) {
  std::map<std::string, bool> living;
  for (const SnapshotInfo& snapshot : info.snapshots) {
    if (!snapshot.removing) living[snapshot.name] = true;
  }
  if (pending_.kind == Pending::Kind::kSnapshot && living.contains(pending_.word)) {
    // It was flushed before it was recorded, so nothing older can be there.
    Settle(Current());
    snapshots_[pending_.word] = Current();
  }
  if (pending_.kind == Pending::Kind::kDelete && !living.contains(pending_.word)) {
    snapshots_.erase(pending_.word);
  }
  if (pending_.kind == Pending::Kind::kExpand && info.size_bytes == pending_.size_bytes) {
    live_.resize(info.size_bytes / kBlockBytes, {BlockContent{}});
  }
  EXPECT_EQ(info.size_bytes, size_bytes());
  for (const auto& [word, content] : snapshots_) {
    EXPECT_TRUE(living.contains(word)) << "snapshot " << word << " is gone";
  }
  EXPECT_EQ(living.size(), snapshots_.size());
}

void PowerCutRun::CutPowerAndCheck(uint64_t seed) {
  disk_.PowerCut(seed);
  if (rig_.is_open()) (void)rig_.Close();
  ++epoch_;
  const Status opened = rig_.Open(disk_.Root()->OpenDirectory("r").value(), epoch_);
  ASSERT_TRUE(opened.ok()) << opened.ToString();
  const auto info = rig_.Describe();
  ASSERT_TRUE(info.ok()) << info.status().ToString();
  CheckNames(*info);
  if (testing::Test::HasFailure()) return;

  const auto read = ReadAll();
  bool allowed = Allowed(read);
  if (pending_.kind == Pending::Kind::kRevert && !allowed) {
    std::vector<BlockContent> reverted = snapshots_.at(pending_.word);
    reverted.resize(read.size());
    allowed = read == reverted;
  }
  for (size_t block = 0; block < read.size() && !allowed; ++block) {
    const auto& versions = live_[block];
    if (std::find(versions.begin(), versions.end(), read[block]) != versions.end()) continue;
    ADD_FAILURE() << "block " << block << " starts with " << read[block][0] << " after "
                  << "a power cut; last known " << versions.front()[0] << " to "
                  << versions.back()[0] << " in " << versions.size() << " versions";
  }
  EXPECT_TRUE(allowed);
  Settle(read);
  pending_ = {};
}

void PowerCutRun::CheckSnapshots() {
  ASSERT_TRUE(rig_.Snapshot("now").ok());
  for (const auto& [word, content] : snapshots_) {
    ASSERT_TRUE(rig_.Revert(word).ok());
    std::vector<BlockContent> expected = content;
    expected.resize(live_.size());
    EXPECT_TRUE(ReadAll() == expected) << "snapshot " << word << " reads as it was never taken";
  }
  ASSERT_TRUE(rig_.Revert("now").ok());
  EXPECT_TRUE(Allowed(ReadAll()));
  ASSERT_TRUE(rig_.Delete("now").ok());
  EXPECT_TRUE(Allowed(ReadAll()));
}

void PowerCutRun::CheckOffline() {
  ASSERT_TRUE(rig_.Close().ok());
  auto directory = disk_.Root()->OpenDirectory("r").value();
  for (const FsckFinding& finding : FsckReplica(*directory)) {
    EXPECT_NE(finding.severity, FsckFinding::Severity::kError) << finding.message;
  }
  ASSERT_TRUE(Open());
}

}  // namespace aurochs::test
