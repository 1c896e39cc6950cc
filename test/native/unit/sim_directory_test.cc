#include "support/sim_directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

#include "base/units.h"

namespace aurochs {
namespace {

using testing::AnyOf;
using testing::Contains;
using testing::ElementsAre;
using testing::Not;

constexpr uint64_t kSeeds = 200;

std::span<const std::byte> BytesOf(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::string Block(char fill) {
  return std::string(kBlockBytes, fill);
}

std::string ReadBack(File& file, uint64_t offset_bytes, size_t length_bytes) {
  std::string text(length_bytes, '?');
  EXPECT_TRUE(file.ReadAt(std::as_writable_bytes(std::span(text)), offset_bytes).ok());
  return text;
}

std::unique_ptr<File> Open(SimDisk& disk, const char* name) {
  return disk.Root()->OpenFile(name, OpenMode::kReadWrite).value();
}

// A disk with the durable file "f" that holds `content`.
void MakeDurable(SimDisk& disk, const std::string& content) {
  auto root = disk.Root();
  auto file = root->OpenFile("f", OpenMode::kCreate).value();
  ASSERT_TRUE(file->WriteAt(BytesOf(content), 0).ok());
  ASSERT_TRUE(file->SyncData().ok());
  ASSERT_TRUE(root->Sync().ok());
}

// One letter per block of "f": its first byte, '.' for a hole.
std::string Letters(SimDisk& disk) {
  auto file = Open(disk, "f");
  const uint64_t size_bytes = file->SizeBytes().value();
  std::string letters;
  for (uint64_t at = 0; at < size_bytes; at += kBlockBytes) {
    const std::string block = ReadBack(*file, at, kBlockBytes);
    EXPECT_EQ(block.find_first_not_of(block[0]), std::string::npos) << "torn inside a block";
    const bool is_data = file->NextData(at, at + kBlockBytes)->has_value();
    EXPECT_TRUE(is_data || block[0] == 0);
    letters += is_data ? block[0] : '.';
  }
  return letters;
}

// What is left of `changes` after power cuts with many seeds.
std::set<std::string> Outcomes(const std::string& before,
                               const std::function<void(File&)>& changes) {
  std::set<std::string> outcomes;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimDisk disk;
    MakeDurable(disk, before);
    changes(*Open(disk, "f"));
    disk.PowerCut(seed);
    outcomes.insert(Letters(disk));
  }
  return outcomes;
}

void Put(File& file, uint64_t block, const std::string& content) {
  ASSERT_TRUE(file.WriteAt(BytesOf(content), block * kBlockBytes).ok());
}

TEST(SimDisk, KeepsWhatWasSynced) {
  EXPECT_THAT(Outcomes(Block('a'),
                       [](File& file) {
                         Put(file, 1, Block('b'));
                         ASSERT_TRUE(file.SyncData().ok());
                       }),
              ElementsAre("ab"));
}

TEST(SimDisk, TearsAnUnsyncedWriteAtBlockBordersOnly) {
  EXPECT_THAT(
      Outcomes(Block('a') + Block('a'), [](File& file) { Put(file, 0, Block('b') + Block('b')); }),
      ElementsAre("aa", "ab", "ba", "bb"));
}

TEST(SimDisk, ReordersWritesOfDifferentBlocksAndKeepsAnyVersionOfOne) {
  EXPECT_THAT(Outcomes(Block('a') + Block('x'),
                       [](File& file) {
                         Put(file, 0, Block('b'));
                         Put(file, 1, Block('y'));
                         Put(file, 0, Block('c'));
                       }),
              ElementsAre("ax", "ay", "bx", "by", "cx", "cy"));
}

TEST(SimDisk, ADroppedWriteIntoAHoleLeavesAHole) {
  SimDisk disk;
  EXPECT_THAT(Outcomes(Block('a'),
                       [](File& file) {
                         ASSERT_TRUE(file.Truncate(3 * kBlockBytes).ok());
                         ASSERT_TRUE(file.SyncData().ok());
                         Put(file, 1, Block('b'));
                       }),
              ElementsAre("a..", "ab."));
}

TEST(SimDisk, ADroppedPunchLeavesTheOlderData) {
  EXPECT_THAT(Outcomes(Block('a') + Block('b'),
                       [](File& file) { ASSERT_TRUE(file.PunchHole(0, 2 * kBlockBytes).ok()); }),
              ElementsAre("..", ".b", "a.", "ab"));
}

TEST(SimDisk, ASyncedPunchStays) {
  EXPECT_THAT(Outcomes(Block('a') + Block('b'),
                       [](File& file) {
                         ASSERT_TRUE(file.PunchHole(0, kBlockBytes).ok());
                         ASSERT_TRUE(file.SyncData().ok());
                       }),
              ElementsAre(".b"));
}

TEST(SimDisk, SizeAndBlocksOfAGrowingFileReachTheDiskApart) {
  const auto outcomes = Outcomes(Block('a'), [](File& file) { Put(file, 1, Block('b')); });
  EXPECT_THAT(outcomes, ElementsAre("a", "a.", "ab"));
}

TEST(SimDisk, ATruncationTakesItsBlocksAlongOrNot) {
  EXPECT_THAT(Outcomes(Block('a') + Block('b') + Block('c'),
                       [](File& file) { ASSERT_TRUE(file.Truncate(kBlockBytes).ok()); }),
              ElementsAre("a", "abc"));
}

TEST(SimDisk, PartialBlocksKeepTheirNeighboursBytes) {
  SimDisk disk;
  MakeDurable(disk, Block('a'));
  auto file = Open(disk, "f");
  ASSERT_TRUE(file->WriteAt(BytesOf(std::string(512, 'b')), 1024).ok());
  EXPECT_EQ(ReadBack(*file, 0, kBlockBytes),
            std::string(1024, 'a') + std::string(512, 'b') + std::string(2560, 'a'));
}

TEST(SimDisk, TheSameSeedGivesTheSameOutcome) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    std::string letters[2];
    for (std::string& each : letters) {
      SimDisk disk;
      MakeDurable(disk, std::string(20 * kBlockBytes, 'a'));
      Put(*Open(disk, "f"), 0, std::string(20 * kBlockBytes, 'b'));
      disk.PowerCut(seed);
      each = Letters(disk);
    }
    EXPECT_EQ(letters[0], letters[1]);
  }
}

// -- Names

std::set<std::vector<std::string>> NameOutcomes(const std::function<void(Directory&)>& changes) {
  std::set<std::vector<std::string>> outcomes;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimDisk disk;
    MakeDurable(disk, Block('a'));
    changes(*disk.Root());
    disk.PowerCut(seed);
    outcomes.insert(disk.Root()->List().value());
  }
  return outcomes;
}

using Names = std::vector<std::string>;

TEST(SimDisk, NamesAreThereAsBeforeOrAsAfterUntilTheDirectoryIsSynced) {
  EXPECT_THAT(NameOutcomes(
                  [](Directory& root) { ASSERT_TRUE(root.OpenFile("g", OpenMode::kCreate).ok()); }),
              ElementsAre(Names{"f"}, Names{"f", "g"}));
  EXPECT_THAT(NameOutcomes([](Directory& root) { ASSERT_TRUE(root.Rename("f", "g").ok()); }),
              ElementsAre(Names{"f"}, Names{"g"}));
  EXPECT_THAT(NameOutcomes([](Directory& root) { ASSERT_TRUE(root.Remove("f").ok()); }),
              ElementsAre(Names{}, Names{"f"}));
  EXPECT_THAT(NameOutcomes([](Directory& root) {
                ASSERT_TRUE(root.Rename("f", "g").ok());
                ASSERT_TRUE(root.Sync().ok());
              }),
              ElementsAre(Names{"g"}));
}

TEST(SimDisk, ChangesOfOneNameReachTheDiskInTheirOrder) {
  const auto outcomes = NameOutcomes([](Directory& root) {
    ASSERT_TRUE(root.Rename("f", "g").ok());
    ASSERT_TRUE(root.OpenFile("f", OpenMode::kCreate).ok());  // Only once the old f is called g.
  });
  EXPECT_THAT(outcomes, ElementsAre(Names{"f"}, Names{"f", "g"}, Names{"g"}));
}

TEST(SimDisk, ADroppedRemovalBringsTheContentBack) {
  std::set<std::string> outcomes;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimDisk disk;
    MakeDurable(disk, Block('a'));
    ASSERT_TRUE(disk.Root()->Remove("f").ok());
    disk.PowerCut(seed);
    if (!disk.Root()->List()->empty()) outcomes.insert(Letters(disk));
  }
  EXPECT_THAT(outcomes, ElementsAre("a"));
}

TEST(SimDisk, ANewFileMayBeThereWithoutItsContent) {
  std::set<std::string> outcomes;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimDisk disk;
    auto root = disk.Root();
    auto file = root->OpenFile("f", OpenMode::kCreate).value();
    Put(*file, 0, Block('a'));
    ASSERT_TRUE(root->Sync().ok());
    disk.PowerCut(seed);
    outcomes.insert(Letters(disk));
  }
  EXPECT_THAT(outcomes, ElementsAre("", ".", "a"));
}

TEST(SimDisk, AnInnerDirectoryIsLostWithItsUnsyncedName) {
  std::set<std::string> outcomes;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimDisk disk;
    auto root = disk.Root();
    ASSERT_TRUE(root->CreateDirectory("d").ok());
    auto inner = root->OpenDirectory("d").value();
    ASSERT_TRUE(inner->OpenFile("x", OpenMode::kCreate).ok());
    ASSERT_TRUE(inner->Sync().ok());
    disk.PowerCut(seed);
    auto again = disk.Root()->OpenDirectory("d");
    outcomes.insert(again.ok() ? again.value()->List()->front() : "nothing");
  }
  EXPECT_THAT(outcomes, ElementsAre("nothing", "x"));
}

// -- The end of the machine

TEST(SimDisk, CrashesAtTheStepAskedForAndStaysDown) {
  SimDisk disk;
  MakeDurable(disk, Block('a'));
  auto file = Open(disk, "f");
  disk.CrashAt(2);
  EXPECT_TRUE(file->WriteAt(BytesOf(Block('b')), 0).ok());
  EXPECT_TRUE(file->SyncData().ok());
  EXPECT_FALSE(disk.crashed());
  EXPECT_EQ(file->WriteAt(BytesOf(Block('c')), 0).code(), ErrorCode::kIo);
  EXPECT_TRUE(disk.crashed());
  std::string into(10, '?');
  EXPECT_EQ(file->ReadAt(std::as_writable_bytes(std::span(into)), 0).code(), ErrorCode::kIo);
  EXPECT_EQ(file->SyncData().code(), ErrorCode::kIo);
  EXPECT_EQ(disk.Root()->List().status().code(), ErrorCode::kIo);
  disk.PowerCut(1);
  EXPECT_FALSE(disk.crashed());
  EXPECT_THAT(Letters(disk), AnyOf("b", "c"));
}

TEST(SimDisk, TheStepThatCrashesMayHaveReachedTheDisk) {
  std::set<std::string> outcomes;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimDisk disk;
    MakeDurable(disk, Block('a'));
    auto file = Open(disk, "f");
    disk.CrashAt(1);
    Put(*file, 0, Block('b'));
    EXPECT_FALSE(file->SyncData().ok());
    disk.PowerCut(seed);
    outcomes.insert(Letters(disk));
  }
  EXPECT_THAT(outcomes, ElementsAre("a", "b"));
}

TEST(SimDisk, HandlesAndLocksDoNotOutliveTheMachine) {
  SimDisk disk;
  MakeDurable(disk, Block('a'));
  auto root = disk.Root();
  auto file = Open(disk, "f");
  auto lock = root->Lock("lock").value();
  ASSERT_TRUE(root->Sync().ok());
  disk.PowerCut(0);
  EXPECT_EQ(file->SizeBytes().status().code(), ErrorCode::kIo);
  EXPECT_EQ(root->List().status().code(), ErrorCode::kIo);
  auto again = disk.Root()->Lock("lock");
  ASSERT_TRUE(again.ok());
  lock.reset();  // Of the old machine: the new lock stays.
  EXPECT_EQ(disk.Root()->Lock("lock").status().code(), ErrorCode::kBusy);
}

TEST(SimDisk, AKilledProcessLosesItsHandlesButNoData) {
  SimDisk disk;
  MakeDurable(disk, Block('a'));
  auto file = Open(disk, "f");
  Put(*file, 0, Block('b'));
  ASSERT_TRUE(disk.Root()->Rename("f", "g").ok());
  disk.KillProcess();
  EXPECT_EQ(file->SyncData().code(), ErrorCode::kIo);
  EXPECT_EQ(ReadBack(*Open(disk, "g"), 0, kBlockBytes), Block('b'));
}

TEST(SimDisk, CountsStepsAndNothingElse) {
  SimDisk disk;
  auto root = disk.Root();
  auto file = root->OpenFile("f", OpenMode::kCreate).value();  // 1
  Put(*file, 0, Block('a') + Block('b'));                      // 2
  ASSERT_TRUE(file->PunchHole(0, kBlockBytes).ok());           // 3
  ASSERT_TRUE(file->SyncData().ok());                          // 4
  ASSERT_TRUE(root->Sync().ok());                              // 5
  ReadBack(*file, 0, 10);
  (void)file->NextData(0, kBlockBytes);
  (void)root->List();
  EXPECT_EQ(root->Remove("missing").code(), ErrorCode::kNotFound);
  EXPECT_EQ(disk.steps(), 5u);
}

// -- Faults

TEST(SimDisk, FailsOneStepWithTheCodeAskedFor) {
  SimDisk disk;
  MakeDurable(disk, Block('a'));
  auto file = Open(disk, "f");
  disk.FailAt(1, ErrorCode::kNoSpace);
  Put(*file, 0, Block('b'));
  EXPECT_EQ(file->WriteAt(BytesOf(Block('c')), 0).code(), ErrorCode::kNoSpace);
  EXPECT_EQ(Letters(disk), "b");
  Put(*file, 0, Block('d'));
  EXPECT_EQ(Letters(disk), "d");
}

TEST(SimDisk, AFailedSyncLosesTheDataAlthoughItStaysVisible) {
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    SimDisk disk;
    MakeDurable(disk, Block('a') + Block('a'));
    auto file = Open(disk, "f");
    Put(*file, 0, Block('b'));
    disk.FailNextSyncData();
    EXPECT_EQ(file->SyncData().code(), ErrorCode::kIo);
    EXPECT_EQ(Letters(disk), "ba");
    Put(*file, 1, Block('c'));
    EXPECT_TRUE(file->SyncData().ok())
        << "the next one succeeds, and means nothing for the first write";
    disk.PowerCut(seed);
    EXPECT_EQ(Letters(disk), "ac");
  }
}

TEST(SimDisk, FailsOneReadAndRefusesChangesWhileReadOnly) {
  SimDisk disk;
  MakeDurable(disk, Block('a'));
  auto file = Open(disk, "f");
  disk.FailReadAt(1);
  std::string into(10, '?');
  const auto buffer = std::as_writable_bytes(std::span(into));
  EXPECT_TRUE(file->ReadAt(buffer, 0).ok());
  EXPECT_EQ(file->ReadAt(buffer, 0).code(), ErrorCode::kIo);
  EXPECT_TRUE(file->ReadAt(buffer, 0).ok());
  disk.SetReadOnly(true);
  EXPECT_EQ(file->WriteAt(BytesOf(Block('b')), 0).code(), ErrorCode::kReadOnly);
  EXPECT_EQ(disk.Root()->Remove("f").code(), ErrorCode::kReadOnly);
  EXPECT_EQ(disk.Root()->OpenFile("f", OpenMode::kReadWrite).status().code(), ErrorCode::kReadOnly);
  disk.SetReadOnly(false);
  EXPECT_EQ(Letters(disk), "a");
}

TEST(SimDisk, RunsOutOfSpaceAfterWhatFitsAndGetsItBackFromHolesAndRemovedFiles) {
  SimDisk disk;
  MakeDurable(disk, Block('a'));
  disk.SetCapacityBytes(3 * kBlockBytes);
  auto root = disk.Root();
  EXPECT_EQ(root->Space()->free_bytes, 2 * kBlockBytes);
  auto file = Open(disk, "f");
  EXPECT_EQ(file->WriteAt(BytesOf(std::string(4 * kBlockBytes, 'b')), kBlockBytes).code(),
            ErrorCode::kNoSpace);
  EXPECT_EQ(Letters(disk), "abb");
  Put(*file, 1, Block('c'));  // Taken already.
  ASSERT_TRUE(file->PunchHole(0, kBlockBytes).ok());
  Put(*file, 3, Block('d'));
  ASSERT_TRUE(root->Remove("f").ok());
  ASSERT_TRUE(root->Sync().ok());
  EXPECT_EQ(root->Space()->free_bytes, 0u) << "still open";
  file.reset();
  EXPECT_EQ(root->Space()->free_bytes, 3 * kBlockBytes);
}

TEST(SimDisk, RefusesFilesLargerThanTheFileSystemHolds) {
  SimDisk disk;
  disk.SetFileBytesMax(1 * kMiB);
  auto file = disk.Root()->OpenFile("f", OpenMode::kCreate).value();
  EXPECT_TRUE(file->Truncate(1 * kMiB).ok());
  EXPECT_EQ(file->Truncate(1 * kMiB + 1).code(), ErrorCode::kOutOfRange);
  EXPECT_EQ(file->WriteAt(BytesOf("x"), 1 * kMiB).code(), ErrorCode::kOutOfRange);
}

TEST(SimDisk, SharesExtentsWhenAllowed) {
  SimDisk disk;
  MakeDurable(disk, Block('a') + Block('b'));
  auto root = disk.Root();
  auto to = root->OpenFile("g", OpenMode::kCreate).value();
  auto from = Open(disk, "f");
  EXPECT_EQ(to->CloneRangeFrom(*from, 0, kBlockBytes).code(), ErrorCode::kUnsupported);
  disk.SetCanClone(true);
  ASSERT_TRUE(to->CloneRangeFrom(*from, kBlockBytes, kBlockBytes).ok());
  EXPECT_EQ(ReadBack(*to, 0, 2 * kBlockBytes), std::string(kBlockBytes, '\0') + Block('b'));
  Put(*from, 1, Block('c'));
  EXPECT_EQ(ReadBack(*to, kBlockBytes, kBlockBytes), Block('b'));
}

TEST(SimDisk, ReadsNothingFromMemoryWhileItsCacheIsCold) {
  SimDisk disk;
  MakeDurable(disk, Block('a'));
  auto file = Open(disk, "f");
  std::string into(kBlockBytes, '?');
  const iovec whole{into.data(), into.size()};
  EXPECT_TRUE(file->TryReadV({&whole, 1}, 0));
  EXPECT_EQ(into, Block('a'));
  disk.SetCacheCold(true);
  EXPECT_FALSE(file->TryReadV({&whole, 1}, 0));
}

}  // namespace
}  // namespace aurochs
