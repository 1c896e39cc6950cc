// A replica on a simulated disk that loses power, and what rules D1 to D3 allow it to read as
// after.
//
// Of each block of 4 KiB the run knows its content at the last flush and everything written to it
// since. After a power cut the block must read as one of these; a snapshot reads as it was taken.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "sim/replica_model.h"
#include "support/replica_rig.h"
#include "support/sim_directory.h"

namespace aurochs::test {

inline constexpr uint64_t kSectorsPerBlock = kBlockBytes / kSectorBytes;
using BlockContent = std::array<SectorTag, kSectorsPerBlock>;

class PowerCutRun {
 public:
  explicit PowerCutRun(uint64_t size_bytes);

  SimDisk& disk() { return disk_; }
  ReplicaRig& rig() { return rig_; }
  uint64_t size_bytes() const { return live_.size() * kBlockBytes; }
  const std::map<std::string, std::vector<BlockContent>>& snapshots() const { return snapshots_; }

  // Each is false once the power is gone.
  bool Open();
  bool Write(uint64_t offset_bytes, uint64_t length_bytes, bool fua = false);
  bool Zero(IoOp op, uint64_t offset_bytes, uint64_t length_bytes, bool keep_allocated = false);
  bool Unmap(uint64_t offset_bytes, uint64_t length_bytes) {
    return Zero(IoOp::kUnmap, offset_bytes, length_bytes);
  }
  bool Flush();
  bool Snapshot(const std::string& word);
  bool Revert(const std::string& word);
  // Waits for the merge.
  bool Delete(const std::string& word);
  // The merge goes on beside what follows.
  bool DeleteLater(const std::string& word);
  bool Expand(uint64_t size_bytes);

  // Cuts the power, if it is not gone, and starts anew in one of the states that may be left.
  // Fails the test if the replica cannot be opened or reads as it must not.
  void CutPowerAndCheck(uint64_t seed);
  // Compares all snapshots; the live state is the same after.
  void CheckSnapshots();
  // The offline check of the closed replica finds no error; opens it again.
  void CheckOffline();

 private:
  // What was asked for and not answered when the power went.
  struct Pending {
    enum class Kind { kNothing, kSnapshot, kRevert, kDelete, kExpand };
    Kind kind = Kind::kNothing;
    std::string word;
    uint64_t size_bytes = 0;
  };

  bool Survived(bool ok);
  bool CommandEnded(const Status& status);
  void NoteWrite(uint64_t offset_bytes, uint64_t length_bytes, SectorTag tag);
  std::vector<BlockContent> Current() const;
  std::vector<BlockContent> ReadAll();
  bool Allowed(const std::vector<BlockContent>& read) const;
  void Settle(const std::vector<BlockContent>& content);
  void CheckNames(const ReplicaInfo& info);

  SimDisk disk_;
  ReplicaRig rig_;
  uint64_t epoch_ = 1;
  SectorTag last_tag_ = 0;
  // Of each block, its content at the last flush and after each write since.
  std::vector<std::vector<BlockContent>> live_;
  std::map<std::string, std::vector<BlockContent>> snapshots_;
  Pending pending_;
};

}  // namespace aurochs::test
