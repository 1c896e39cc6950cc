// A replica whose snapshots have data, zeros and holes of their own, for tests of copies.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "support/replica_rig.h"

namespace aurochs::test {

inline constexpr uint64_t kCopySourceBytes = 12 * kMiB;

// Takes snapshots a, b and c of an empty volume of kCopySourceBytes, and writes on. Returns what
// each holds.
inline std::map<std::string, std::vector<std::byte>> TakeThreeSnapshots(ReplicaRig& rig) {
  std::map<std::string, std::vector<std::byte>> held;
  const auto fill = [&](uint64_t block, uint64_t blocks, uint8_t value) {
    CHECK(rig.Fill(block * kBlockBytes, blocks * kBlockBytes, value) == ErrorCode::kOk);
  };
  const auto unmap = [&](uint64_t block, uint64_t blocks) {
    CHECK(rig.Unmap(block * kBlockBytes, blocks * kBlockBytes) == ErrorCode::kOk);
  };
  const auto snapshot = [&](const std::string& word) {
    CHECK(rig.Snapshot(word).ok());
    held[word] = rig.Read(0, kCopySourceBytes);
  };
  const uint64_t last_block = kCopySourceBytes / kBlockBytes - 1;
  fill(0, 64, 1);
  fill(last_block, 1, 2);
  snapshot("a");
  fill(8, 16, 3);
  unmap(32, 8);
  snapshot("b");
  fill(2100, 16, 4);
  fill(34, 2, 5);
  unmap(10, 4);
  unmap(last_block, 1);
  snapshot("c");
  fill(0, 64, 6);
  unmap(2100, 16);
  return held;
}

// What the replica in `directory` reads as.
inline std::vector<std::byte> ContentOf(std::unique_ptr<Directory> directory) {
  ReplicaRig rig;
  const Status opened = rig.Open(std::move(directory));
  EXPECT_TRUE(opened.ok()) << opened.ToString();
  if (!opened.ok()) return {};
  EXPECT_TRUE(rig.Describe()->snapshots.empty());
  return rig.Read(0, rig.device().info().size_bytes);
}

}  // namespace aurochs::test
