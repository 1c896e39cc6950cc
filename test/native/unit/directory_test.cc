#include "io/directory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "base/units.h"
#include "support/sim_directory.h"
#include "support/temp_directory.h"

namespace aurochs {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::span<const std::byte> BytesOf(const std::string& text) {
  return std::as_bytes(std::span(text));
}

std::string ReadBack(File& file, uint64_t offset_bytes, size_t length_bytes) {
  std::string text(length_bytes, '?');
  EXPECT_TRUE(file.ReadAt(std::as_writable_bytes(std::span(text)), offset_bytes).ok());
  return text;
}

// What holds for every implementation: the real file system and the simulated disk.
class DirectoryTest : public testing::TestWithParam<bool> {
 protected:
  TempDirectory temp_;
  SimDisk disk_;
  std::unique_ptr<Directory> directory_ = GetParam() ? disk_.Root() : temp_.Open();
};

INSTANTIATE_TEST_SUITE_P(Implementations, DirectoryTest, testing::Bool(),
                         [](const auto& which) { return which.param ? "Simulated" : "Posix"; });

TEST_P(DirectoryTest, FillsABufferPastTheEndWithZeros) {
  auto file = directory_->OpenFile("f", OpenMode::kCreate).value();
  ASSERT_TRUE(file->WriteAt(BytesOf("data"), 0).ok());
  EXPECT_EQ(ReadBack(*file, 2, 5), std::string("ta\0\0\0", 5));
}

TEST_P(DirectoryTest, SeesHolesAtTheGrainOf4KiB) {
  auto file = directory_->OpenFile("f", OpenMode::kCreate).value();
  ASSERT_TRUE(file->Truncate(64 * kKiB).ok());
  EXPECT_FALSE(file->NextData(0, 64 * kKiB)->has_value());
  ASSERT_TRUE(file->WriteAt(BytesOf(std::string(8192, 'x')), 16 * kKiB).ok());
  auto data = file->NextData(0, 64 * kKiB).value();
  ASSERT_TRUE(data.has_value());
  EXPECT_EQ(data->offset_bytes, 16 * kKiB);
  EXPECT_EQ(data->length_bytes, 8 * kKiB);
  data = file->NextData(0, 20 * kKiB).value();
  EXPECT_EQ(data->length_bytes, 4 * kKiB) << "cut at the end asked for";
  EXPECT_FALSE(file->NextData(0, 16 * kKiB)->has_value());
  ASSERT_TRUE(file->PunchHole(16 * kKiB, 4 * kKiB).ok());
  data = file->NextData(0, 64 * kKiB).value();
  EXPECT_EQ(data->offset_bytes, 20 * kKiB);
  EXPECT_EQ(ReadBack(*file, 16 * kKiB, 4096), std::string(4096, '\0'));
  EXPECT_EQ(file->SizeBytes().value(), 64 * kKiB);
}

TEST_P(DirectoryTest, CountsTheSpaceItTakes) {
  auto file = directory_->OpenFile("f", OpenMode::kCreate).value();
  ASSERT_TRUE(file->Truncate(1 * kMiB).ok());
  EXPECT_EQ(file->AllocatedBytes().value(), 0u);
  ASSERT_TRUE(file->WriteAt(BytesOf(std::string(64 * kKiB, 'x')), 0).ok());
  ASSERT_TRUE(file->SyncData().ok());
  EXPECT_EQ(file->AllocatedBytes().value(), 64 * kKiB);
}

TEST_P(DirectoryTest, ReadsFromMemoryOnlyWhatIsWhollyThere) {
  auto file = directory_->OpenFile("f", OpenMode::kCreate).value();
  ASSERT_TRUE(file->WriteAt(BytesOf(std::string(8192, 'x')), 0).ok());
  std::string into(8192, '?');
  const iovec whole{into.data(), into.size()};
  if (file->TryReadV({&whole, 1}, 0)) {
    EXPECT_EQ(into, std::string(8192, 'x'));
  }
  EXPECT_FALSE(file->TryReadV({&whole, 1}, 4096)) << "part of it lies past the end";
}

TEST_P(DirectoryTest, CreatesOnlyWhatIsNotThereAndOpensOnlyWhatIs) {
  EXPECT_EQ(directory_->OpenFile("f", OpenMode::kReadWrite).status().code(), ErrorCode::kNotFound);
  ASSERT_TRUE(directory_->OpenFile("f", OpenMode::kCreate).ok());
  const Status again = directory_->OpenFile("f", OpenMode::kCreate).status();
  EXPECT_EQ(again.code(), ErrorCode::kAlreadyExists);
  EXPECT_THAT(again.message(), HasSubstr(directory_->path() + "/f"));
  EXPECT_TRUE(directory_->OpenFile("f", OpenMode::kReadOnly).ok());
}

TEST(PosixDirectory, RefusesToFollowASymbolicLink) {
  TempDirectory temp;
  auto directory = temp.Open();
  ASSERT_TRUE(directory->OpenFile("f", OpenMode::kCreate).ok());
  std::filesystem::create_symlink("f", temp.path() + "/link");
  EXPECT_EQ(directory->OpenFile("link", OpenMode::kReadWrite).status().code(),
            ErrorCode::kInvalidArgument);
}

TEST_P(DirectoryTest, RenameReplacesAndListIsSorted) {
  for (const char* name : {"b", "c", "a"}) {
    ASSERT_TRUE(
        directory_->OpenFile(name, OpenMode::kCreate).value()->WriteAt(BytesOf(name), 0).ok());
  }
  ASSERT_TRUE(directory_->CreateDirectory("d").ok());
  EXPECT_THAT(directory_->List().value(), ElementsAre("a", "b", "c", "d"));
  ASSERT_TRUE(directory_->Rename("c", "a").ok());
  ASSERT_TRUE(directory_->Remove("b").ok());
  ASSERT_TRUE(directory_->Sync().ok());
  EXPECT_THAT(directory_->List().value(), ElementsAre("a", "d"));
  auto file = directory_->OpenFile("a", OpenMode::kReadOnly).value();
  EXPECT_EQ(ReadBack(*file, 0, 1), "c");
  EXPECT_EQ(directory_->Remove("b").code(), ErrorCode::kNotFound);
  EXPECT_EQ(directory_->Rename("b", "x").code(), ErrorCode::kNotFound);
}

TEST_P(DirectoryTest, RemovesOnlyEmptyDirectories) {
  ASSERT_TRUE(directory_->CreateDirectory("d").ok());
  EXPECT_EQ(directory_->CreateDirectory("d").code(), ErrorCode::kAlreadyExists);
  auto inner = directory_->OpenDirectory("d").value();
  EXPECT_EQ(inner->path(), directory_->path() + "/d");
  ASSERT_TRUE(inner->OpenFile("f", OpenMode::kCreate).ok());
  EXPECT_EQ(directory_->RemoveDirectory("d").code(), ErrorCode::kFailedPrecondition);
  ASSERT_TRUE(inner->Remove("f").ok());
  EXPECT_TRUE(directory_->RemoveDirectory("d").ok());
  EXPECT_EQ(directory_->OpenDirectory("d").status().code(), ErrorCode::kNotFound);
}

TEST_P(DirectoryTest, ALockExcludesAnotherOfTheSameProcessUntilItGoes) {
  auto held = directory_->Lock("lock");
  ASSERT_TRUE(held.ok());
  const Status refused = directory_->Lock("lock").status();
  EXPECT_EQ(refused.code(), ErrorCode::kBusy);
  EXPECT_THAT(refused.message(), HasSubstr("lock"));
  std::move(held).value().reset();
  EXPECT_TRUE(directory_->Lock("lock").ok());
}

TEST_P(DirectoryTest, KnowsItsFileSystemAndTheSpaceThere) {
  const FileSystemSpace space = directory_->Space().value();
  EXPECT_GT(space.free_bytes, 0u);
  EXPECT_GE(space.size_bytes, space.free_bytes);
  ASSERT_TRUE(directory_->CreateDirectory("inside").ok());
  EXPECT_EQ(directory_->OpenDirectory("inside").value()->DeviceNumber().value(),
            directory_->DeviceNumber().value());
}

TEST_P(DirectoryTest, ClonesOrSaysThatItCannot) {
  auto from = directory_->OpenFile("from", OpenMode::kCreate).value();
  auto to = directory_->OpenFile("to", OpenMode::kCreate).value();
  ASSERT_TRUE(from->WriteAt(BytesOf(std::string(8192, 'x')), 0).ok());
  ASSERT_TRUE(to->Truncate(8192).ok());
  const Status cloned = to->CloneRangeFrom(*from, 4096, 4096);
  if (cloned.ok()) {
    EXPECT_EQ(ReadBack(*to, 0, 8192), std::string(4096, '\0') + std::string(4096, 'x'));
  } else {
    EXPECT_EQ(cloned.code(), ErrorCode::kUnsupported);
  }
}

}  // namespace
}  // namespace aurochs
