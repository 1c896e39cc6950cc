// The power goes at every single step of every operation (D1 to D3).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <functional>
#include <random>
#include <string>

#include "sim/power_cut_run.h"

namespace aurochs::test {
namespace {

constexpr uint64_t kSize = 2 * kMiB;
constexpr uint64_t kSeedsPerStep = 4;

using Part = std::function<bool(PowerCutRun& run)>;

// Runs `before` with the power on, then cuts it at every step of `tested`.
void CutAtEveryStep(const Part& before, const Part& tested) {
  uint64_t cuts = 0;
  for (uint64_t step = 0;; ++step) {
    bool finished = false;
    for (uint64_t seed = 0; seed < kSeedsPerStep; ++seed) {
      SCOPED_TRACE("step " + std::to_string(step) + ", seed " + std::to_string(seed));
      PowerCutRun run(kSize);
      ASSERT_TRUE(before(run));
      run.disk().CrashAt(step);
      finished = tested(run);
      ++cuts;
      run.CutPowerAndCheck(step * kSeedsPerStep + seed);
      if (testing::Test::HasFailure()) return;
      run.CheckSnapshots();
      // It goes on working.
      EXPECT_TRUE(run.Write(512, 5 * kBlockBytes) && run.Flush());
      run.CutPowerAndCheck(seed);
      run.CheckOffline();
      if (testing::Test::HasFailure()) return;
    }
    if (finished) break;
  }
  EXPECT_GT(cuts, kSeedsPerStep) << "nothing was there to cut";
}

bool Nothing(PowerCutRun&) {
  return true;
}

// Blocks 0 to 63 hold data that was flushed.
bool SomeData(PowerCutRun& run) {
  return run.Write(0, 64 * kBlockBytes) && run.Flush();
}

// Snapshot a below a head that overwrites some of it.
bool OneSnapshot(PowerCutRun& run) {
  return SomeData(run) && run.Snapshot("a") && run.Write(8 * kBlockBytes, 8 * kBlockBytes) &&
         run.Flush();
}

// Snapshots a, b and c, each with data, zeros and holes of its own.
bool ThreeSnapshots(PowerCutRun& run) {
  return OneSnapshot(run) && run.Unmap(24 * kBlockBytes, 4 * kBlockBytes) && run.Snapshot("b") &&
         run.Write(12 * kBlockBytes, 24 * kBlockBytes) &&
         run.Unmap(10 * kBlockBytes, 3 * kBlockBytes) && run.Write(kMiB + 4096, 16 * kBlockBytes) &&
         run.Snapshot("c") && run.Write(30 * kBlockBytes, 2 * kBlockBytes) &&
         run.Unmap(16 * kBlockBytes, 8 * kBlockBytes) && run.Flush();
}

TEST(PowerCut, OfWritesAndFlushesOfOneLayer) {
  CutAtEveryStep(Nothing, [](PowerCutRun& run) {
    return run.Write(0, 16 * kBlockBytes) && run.Write(512, 1024) && run.Flush() &&
           run.Write(4096, 8192) && run.Unmap(8192, 16384) && run.Write(12288, 4096) &&
           run.Flush() && run.Write(16384, 4096, true) && run.Unmap(0, 65536);
  });
}

TEST(PowerCut, OfWritesAboveASnapshot) {
  CutAtEveryStep(OneSnapshot, [](PowerCutRun& run) {
    return run.Write(512, 512) && run.Write(3 * kBlockBytes + 1024, 2 * kBlockBytes) &&
           run.Flush() && run.Write(1024, 512) && run.Write(5 * kBlockBytes, kBlockBytes, true) &&
           run.Zero(IoOp::kWriteZeroes, 6 * kBlockBytes, 3 * kBlockBytes, true);
  });
}

TEST(PowerCut, OfAnUnmapThatHidesASnapshotsData) {
  CutAtEveryStep(OneSnapshot, [](PowerCutRun& run) {
    return run.Unmap(0, 4 * kBlockBytes) && run.Unmap(8 * kBlockBytes, 4 * kBlockBytes) &&
           run.Flush() && run.Write(2 * kBlockBytes, 2 * kBlockBytes) &&
           run.Write(9 * kBlockBytes, kBlockBytes) && run.Unmap(9 * kBlockBytes, kBlockBytes) &&
           run.Unmap(10 * kBlockBytes + 512, 3 * kBlockBytes) && run.Flush() &&
           run.Unmap(0, 32 * kBlockBytes);
  });
}

TEST(PowerCut, OfASnapshotWithUnflushedWritesAndZeros) {
  CutAtEveryStep(OneSnapshot, [](PowerCutRun& run) {
    return run.Write(0, 4 * kBlockBytes) && run.Unmap(10 * kBlockBytes, 4 * kBlockBytes) &&
           run.Snapshot("b") && run.Write(2 * kBlockBytes, 4 * kBlockBytes) && run.Snapshot("c");
  });
}

TEST(PowerCut, OfARevert) {
  CutAtEveryStep(ThreeSnapshots, [](PowerCutRun& run) {
    return run.Write(0, kBlockBytes) && run.Revert("b") && run.Write(0, 20 * kBlockBytes) &&
           run.Flush() && run.Revert("c") && run.Revert("a");
  });
}

TEST(PowerCut, OfAnExpansion) {
  CutAtEveryStep(
      [](PowerCutRun& run) { return OneSnapshot(run) && run.Unmap(0, kBlockBytes) && run.Flush(); },
      [](PowerCutRun& run) {
        return run.Write(kSize - 8192, 8192) && run.Expand(kSize + 12 * kBlockBytes) &&
               run.Write(kSize, 8192) && run.Unmap(kSize, 4096) && run.Snapshot("b") &&
               run.Expand(3 * kMiB) && run.Write(3 * kMiB - 4096, 4096) && run.Flush();
      });
}

TEST(PowerCut, OfAMergeOfTheOnlySnapshotIntoTheHead) {
  CutAtEveryStep(OneSnapshot, [](PowerCutRun& run) {
    return run.Write(4 * kBlockBytes, 8 * kBlockBytes) &&
           run.Unmap(20 * kBlockBytes, 4 * kBlockBytes) && run.Delete("a") && run.Write(512, 512) &&
           run.Unmap(0, 8192);
  });
}

TEST(PowerCut, OfAMergeIntoTheHeadAboveAnotherSnapshot) {
  CutAtEveryStep(ThreeSnapshots, [](PowerCutRun& run) {
    return run.Write(4 * kBlockBytes, 10 * kBlockBytes) && run.Unmap(0, 3 * kBlockBytes) &&
           run.Delete("c") && run.Write(512, 512) && run.Flush();
  });
}

// The base holds most, so what its child holds is copied down.
TEST(PowerCut, OfAMergeDownOntoTheBase) {
  CutAtEveryStep(ThreeSnapshots, [](PowerCutRun& run) {
    return run.Delete("a") && run.Write(0, 8192) && run.Flush();
  });
}

TEST(PowerCut, OfAMergeDownOntoALayerWithAParent) {
  CutAtEveryStep(
      [](PowerCutRun& run) {
        return SomeData(run) && run.Snapshot("a") && run.Write(0, 100 * kBlockBytes) &&
               run.Unmap(40 * kBlockBytes, 8 * kBlockBytes) && run.Snapshot("b") &&
               run.Write(8 * kBlockBytes, 4 * kBlockBytes) &&
               run.Unmap(2 * kBlockBytes, 8 * kBlockBytes) && run.Expand(kSize + 65536) &&
               run.Snapshot("c") && run.Flush();
      },
      [](PowerCutRun& run) { return run.Delete("b") && run.Write(0, 8192); });
}

TEST(PowerCut, OfAMergeUpIntoAFrozenLayer) {
  CutAtEveryStep(
      [](PowerCutRun& run) {
        return SomeData(run) && run.Snapshot("a") && run.Write(8192, 8192) &&
               run.Unmap(40 * kBlockBytes, 8 * kBlockBytes) && run.Snapshot("b") &&
               run.Write(0, 60 * kBlockBytes) && run.Snapshot("c") && run.Write(0, 8192);
      },
      [](PowerCutRun& run) { return run.Delete("b") && run.Write(0, 8192); });
}

TEST(PowerCut, OfDroppingWhatNothingStandsOn) {
  CutAtEveryStep([](PowerCutRun& run) { return ThreeSnapshots(run) && run.Revert("a"); },
                 [](PowerCutRun& run) {
                   // b waits for c to go, then becomes a leaf too.
                   return run.DeleteLater("b") && run.Delete("c") && run.Write(0, 8192);
                 });
}

TEST(PowerCut, OfCreatingAReplica) {
  for (uint64_t step = 0;; ++step) {
    bool created = false;
    for (uint64_t seed = 0; seed < kSeedsPerStep; ++seed) {
      SimDisk disk;
      disk.CrashAt(step);
      created = CreateReplica(*disk.Root(), "r", {kVolumeId, kReplicaId, kSize}).ok();
      disk.PowerCut(step * kSeedsPerStep + seed);
      auto root = disk.Root();
      ASSERT_TRUE(RemoveInterrupted(*root).ok());
      const auto names = root->List().value();
      ASSERT_TRUE(!created || names == std::vector<std::string>{"r"});
      if (names.empty()) {
        ASSERT_TRUE(CreateReplica(*root, "r", {kVolumeId, kReplicaId, kSize}).ok());
      }
      ASSERT_THAT(root->List().value(), testing::ElementsAre("r"));
      ReplicaRig rig;
      const Status opened = rig.Open(root->OpenDirectory("r").value());
      ASSERT_TRUE(opened.ok()) << "step " << step << ": " << opened.ToString();
      EXPECT_EQ(rig.Read(0, kSize), std::vector<std::byte>(kSize));
    }
    if (created) break;
  }
}

// The process dies at a step of the creation; the caller repeats it and takes the answer for
// durable.
TEST(PowerCut, AfterACreationThatWasRepeated) {
  for (uint64_t step = 0;; ++step) {
    bool created = false;
    for (uint64_t seed = 0; seed < kSeedsPerStep; ++seed) {
      SimDisk disk;
      disk.CrashAt(step);
      created = CreateReplica(*disk.Root(), "r", {kVolumeId, kReplicaId, kSize}).ok();
      disk.KillProcess();
      const Status again = CreateReplica(*disk.Root(), "r", {kVolumeId, kReplicaId, kSize});
      ASSERT_TRUE(again.ok() || again.code() == ErrorCode::kAlreadyExists) << again.ToString();
      disk.PowerCut(step * kSeedsPerStep + seed);
      auto root = disk.Root();
      ASSERT_TRUE(RemoveInterrupted(*root).ok());
      ASSERT_THAT(root->List().value(), testing::ElementsAre("r")) << "step " << step;
    }
    if (created) break;
  }
}

TEST(PowerCut, OfRemovingAReplica) {
  for (uint64_t step = 0;; ++step) {
    bool removed = false;
    for (uint64_t seed = 0; seed < kSeedsPerStep; ++seed) {
      PowerCutRun run(kSize);
      ASSERT_TRUE(OneSnapshot(run));
      ASSERT_TRUE(run.rig().Close().ok());
      run.disk().CrashAt(step);
      removed = RemoveReplica(*run.disk().Root(), "r").ok();
      run.disk().PowerCut(step * kSeedsPerStep + seed);
      auto root = run.disk().Root();
      const auto names = root->List().value();
      const bool is_there = std::find(names.begin(), names.end(), "r") != names.end();
      ASSERT_FALSE(removed && is_there);
      if (is_there) {
        run.CutPowerAndCheck(seed);  // All of it is there.
        run.CheckSnapshots();
        ASSERT_TRUE(run.rig().Close().ok());
        root = run.disk().Root();
      }
      const Status again = RemoveReplica(*root, "r");
      EXPECT_TRUE(again.ok() || again.code() == ErrorCode::kNotFound) << again.ToString();
      EXPECT_THAT(root->List().value(), testing::IsEmpty());
    }
    if (removed) break;
  }
}

TEST(PowerCut, OfStoringAnEpoch) {
  for (uint64_t step = 0;; ++step) {
    bool opened = false;
    for (uint64_t seed = 0; seed < kSeedsPerStep; ++seed) {
      PowerCutRun run(kSize);
      ASSERT_TRUE(SomeData(run) && run.rig().Close().ok());
      const auto open = [&run](uint64_t epoch) {
        return run.rig().Open(run.disk().Root()->OpenDirectory("r").value(), epoch);
      };
      run.disk().CrashAt(step);
      opened = open(9).ok();
      run.disk().PowerCut(step * kSeedsPerStep + seed);
      if (run.rig().is_open()) (void)run.rig().Close();
      EXPECT_TRUE(!opened || open(8).code() == ErrorCode::kStaleEpoch);
      ASSERT_TRUE(open(9).ok());
    }
    if (opened) break;
  }
}

// -- At random

// One random operation; false when the power went.
bool RandomOperation(PowerCutRun& run, std::mt19937_64& random, uint64_t* last_word) {
  const auto below = [&random](uint64_t bound) { return random() % bound; };
  const uint64_t grain = below(2) == 0 ? kSectorBytes : kBlockBytes;
  const uint64_t offset = below(std::min<uint64_t>(run.size_bytes(), 400 * kBlockBytes) / grain);
  const uint64_t count =
      std::min(1 + below(below(4) == 0 ? 60 : 6), run.size_bytes() / grain - offset);
  const auto any_snapshot = [&] {
    auto at = run.snapshots().begin();
    std::advance(at, static_cast<int64_t>(below(run.snapshots().size())));
    return at->first;
  };
  const uint64_t kind = below(100);
  if (kind < 45) return run.Write(offset * grain, count * grain, below(8) == 0);
  if (kind < 65) return run.Unmap(offset * grain, count * grain);
  if (kind < 70) {
    return run.Zero(IoOp::kWriteZeroes, offset * grain, count * grain, below(2) == 0);
  }
  if (kind < 78) return run.Flush();
  if (kind < 86 && run.snapshots().size() < 6) {
    return run.Snapshot("s" + std::to_string(++*last_word));
  }
  if (run.snapshots().empty()) return true;
  // Not waited for: a snapshot with several children stays until all but one are gone.
  if (kind < 95) return run.DeleteLater(any_snapshot());
  if (kind < 98) return run.Revert(any_snapshot());
  return run.size_bytes() >= 7 * kMiB ||
         run.Expand(run.size_bytes() + (1 + below(40)) * kBlockBytes);
}

TEST(PowerCut, AtRandomMomentsOfRandomOperations) {
  const char* one_seed = std::getenv("AUROCHS_MODEL_SEED");
  const uint64_t first = one_seed != nullptr ? std::strtoull(one_seed, nullptr, 10) : 1;
  const uint64_t last = one_seed != nullptr ? first : 60;
  for (uint64_t seed = first; seed <= last && !HasFailure(); ++seed) {
    SCOPED_TRACE("AUROCHS_MODEL_SEED=" + std::to_string(seed));
    std::mt19937_64 random(seed);
    PowerCutRun run(4 * kMiB + 65536);
    run.disk().SetCanClone(seed % 3 == 0);
    run.disk().SetCacheCold(seed % 2 == 0);
    uint64_t last_word = 0;
    for (int cut = 0; cut < 12 && !HasFailure(); ++cut) {
      run.disk().CrashAt(random() % 250);
      while (!HasFailure() && RandomOperation(run, random, &last_word)) {
      }
      run.CutPowerAndCheck(random());
      if (cut % 3 == 0 && !HasFailure()) run.CheckSnapshots();
    }
    if (!HasFailure()) run.CheckOffline();
  }
}

}  // namespace
}  // namespace aurochs::test
