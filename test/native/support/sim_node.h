// The nodes of a simulated disk: files and directories with what a program sees, what the disk
// holds, and what has happened in between. See sim_directory.h.
//
// Thread: guarded by the SimDisk's mutex.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "base/units.h"
#include "io/file.h"

namespace aurochs {

// A small generator (SplitMix64): the same numbers everywhere for the same seed.
class SimRandom {
 public:
  explicit SimRandom(uint64_t seed) : state_(seed) {}
  uint64_t Next();
  uint64_t Below(uint64_t limit) { return Next() % limit; }

 private:
  uint64_t state_;
};

// How much of what was never synced reaches the disk in one power cut.
enum class SimLuck : uint8_t { kNothing, kEverything, kAnything };

// The space of the disk.
struct SimSpace {
  uint64_t capacity_bytes = UINT64_MAX;
  std::atomic<uint64_t> used_bytes = 0;  // a removed file's space is freed with its last handle
};

using SimBlock = std::array<std::byte, kBlockBytes>;
using SimBlockPtr = std::shared_ptr<const SimBlock>;  // null: a hole

class SimFileNode {
 public:
  explicit SimFileNode(SimSpace& space) : space_(space) {}
  ~SimFileNode();
  SimFileNode(const SimFileNode&) = delete;
  SimFileNode& operator=(const SimFileNode&) = delete;

  uint64_t size_bytes() const { return size_bytes_; }
  uint64_t allocated_bytes() const { return allocated_bytes_; }

  void Read(std::span<std::byte> into, uint64_t offset_bytes) const;
  std::optional<FileRange> NextData(uint64_t offset_bytes, uint64_t end_bytes) const;

  // kNoSpace after what fits.
  Status Write(std::span<const std::byte> from, uint64_t offset_bytes);
  void Punch(uint64_t offset_bytes, uint64_t length_bytes);
  void Truncate(uint64_t size_bytes);
  void CloneFrom(const SimFileNode& source, uint64_t offset_bytes, uint64_t length_bytes);

  void Sync();
  // A failed sync: the changes count as written, but the disk never gets them.
  void LoseUnsynced();
  // Shows what the disk holds of every block that has no change waiting.
  void DropCached();
  // Chooses what the disk holds, and shows that from now on.
  void PowerCut(SimRandom& random, SimLuck luck);

 private:
  // A state that the block may have on the disk, later than its durable one.
  struct Version {
    SimBlockPtr data;
    uint64_t truncation = 0;  // number of the Truncate that made it; 0: none
  };
  struct Slot {
    SimBlockPtr current;
    SimBlockPtr durable;
    std::vector<Version> unsynced;  // oldest first, the last is `current`
  };
  struct SizeChange {
    uint64_t size_bytes;
    uint64_t truncation;
  };

  void SetBlock(uint64_t index, SimBlockPtr data, uint64_t truncation);
  void SetSize(uint64_t size_bytes, uint64_t truncation);
  uint64_t ChooseSize(SimRandom& random, SimLuck luck);
  SimBlockPtr ChooseBlock(const Slot& slot, uint64_t truncations_kept, SimRandom& random,
                          SimLuck luck) const;

  SimSpace& space_;
  std::map<uint64_t, Slot> slots_;  // by block index
  std::vector<uint64_t> dirty_;     // blocks with unsynced versions
  uint64_t size_bytes_ = 0;
  uint64_t durable_size_bytes_ = 0;
  std::vector<SizeChange> unsynced_sizes_;
  uint64_t truncations_ = 0;
  uint64_t allocated_bytes_ = 0;
};

// A directory or a file.
struct SimNode {
  explicit SimNode(SimSpace& space, bool is_directory);

  bool is_directory() const { return file == nullptr; }

  // -- Directories
  using Entries = std::map<std::string, std::shared_ptr<SimNode>, std::less<>>;
  void Add(const std::string& name, std::shared_ptr<SimNode> node);
  void Remove(const std::string& name);
  void Rename(const std::string& from, const std::string& to);
  void SyncNames();
  // Of this node and everything below it.
  void PowerCut(SimRandom& random, SimLuck luck);
  void ClearLocks();

  std::unique_ptr<SimFileNode> file;  // null: a directory
  Entries entries;
  std::set<std::string, std::less<>> locks;

 private:
  // One change since the last sync; applied as a whole or not at all.
  struct NameChange {
    std::string removed;            // empty: none
    std::string added;              // empty: none
    std::shared_ptr<SimNode> node;  // of `added`
  };
  static void Apply(Entries& entries, const NameChange& change);
  void Change(NameChange change);

  Entries durable_entries_;
  std::vector<NameChange> unsynced_;
};

}  // namespace aurochs
