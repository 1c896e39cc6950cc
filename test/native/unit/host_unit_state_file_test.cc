#include <gtest/gtest.h>

#include "host/unit_state_file.h"
#include "replica/replica_meta.h"
#include "replica/small_file.h"
#include "support/loop_test.h"
#include "support/temp_directory.h"

namespace aurochs {
namespace {

class UnitStateFileTest : public LoopTest {
 protected:
  // Each on a loop of its own: a loop runs once.
  Result<std::unique_ptr<UnitStateFile>> Load() {
    loop_ = EventLoop::Create({.name = "", .backend = GetParam()}).value();
    return UnitStateFile::Load(loop(), directory.Open());
  }
  Status Save(UnitStateFile& file, const scsi::UnitState& state) {
    std::optional<Status> result;
    file.Save(scsi::EncodeUnitState(state), [&](Status status) {
      result = std::move(status);
      loop().Stop();
    });
    EXPECT_FALSE(result) << "not from inside the call";
    loop().Run();
    return *result;
  }

  TempDirectory directory;
};

scsi::UnitState Sanitizing() {
  scsi::UnitState state;
  state.sanitize = scsi::SanitizeState::kRestricted;
  return state;
}

TEST_P(UnitStateFileTest, IsThereAgainWhenItIsLoaded) {
  for (const bool first : {true, false}) {
    auto file = Load();
    ASSERT_TRUE(file.ok());
    EXPECT_EQ((*file)->saved().empty(), first);
    EXPECT_TRUE(Save(**file, Sanitizing()).ok());
  }
  auto file = Load();
  ASSERT_TRUE(file.ok());
  auto state = scsi::DecodeUnitState((*file)->saved());
  ASSERT_TRUE(state.ok());
  EXPECT_EQ(state->sanitize, scsi::SanitizeState::kRestricted);
  EXPECT_EQ(directory.Open()->List().value(), std::vector<std::string>{"unit-state"});
}

TEST_P(UnitStateFileTest, IgnoresAReplacementThatWasNotFinished) {
  auto at = directory.Open();
  auto half = at->OpenFile(ReplacementName(kUnitStateFile), OpenMode::kCreate);
  ASSERT_TRUE((*half)->WriteAt(std::as_bytes(std::span("half")), 0).ok());
  auto file = Load();
  ASSERT_TRUE(file.ok());
  EXPECT_TRUE((*file)->saved().empty());
  EXPECT_TRUE(Save(**file, Sanitizing()).ok());
}

TEST_P(UnitStateFileTest, StopsAtAFileThatIsNotWhole) {
  auto file = Load();
  ASSERT_TRUE(Save(**file, Sanitizing()).ok());
  auto bytes = (*file)->saved();
  auto on_disk = directory.Open()->OpenFile(kUnitStateFile, OpenMode::kReadWrite);
  const std::byte other = bytes[17] ^ std::byte{3};
  ASSERT_TRUE((*on_disk)->WriteAt(std::span(&other, 1), 17).ok());
  const auto again = Load();
  EXPECT_EQ(again.status().code(), ErrorCode::kCorruption);
  EXPECT_NE(again.status().message().find(directory.path() + "/unit-state"), std::string::npos)
      << again.status().message();
}

TEST_P(UnitStateFileTest, SaysWhyItCouldNotSave) {
  auto file = Load();
  ASSERT_TRUE(directory.Open()->CreateDirectory(kUnitStateFile).ok());
  EXPECT_FALSE(Save(**file, Sanitizing()).ok());
  EXPECT_TRUE((*file)->saved().empty());
}

INSTANTIATE_FOR_EVERY_BACKEND(UnitStateFileTest);

}  // namespace
}  // namespace aurochs
