#include <gtest/gtest.h>

#include <utility>

#include "host/failure_watch.h"
#include "support/loop_test.h"

namespace aurochs {
namespace {

// Only failed() is asked for.
class FakeReplica : public ReplicaDevice {
 public:
  bool has_failed = false;

  bool failed() const override { return has_failed; }
  const DeviceInfo& info() const override { return info_; }
  void Submit(IoRequest*) override { FAIL(); }
  void Submit(AllocationQuery*) override { FAIL(); }
  void TakeSnapshot(std::string, std::string, uint64_t, Done) override { FAIL(); }
  void Revert(std::string, Done) override { FAIL(); }
  void DeleteSnapshot(std::string, Done, Done, std::function<void(double)>) override { FAIL(); }
  void Expand(uint64_t, Done) override { FAIL(); }
  void Diff(std::string, std::string, uint64_t, uint32_t,
            std::function<void(Result<DiffPage>)>) override {
    FAIL();
  }
  void Describe(std::function<void(Result<ReplicaInfo>)>) override { FAIL(); }
  void Close(Done) override { FAIL(); }

 private:
  DeviceInfo info_;
};

class FailureWatchTest : public LoopTest {};

TEST_P(FailureWatchTest, TellsOfEachFailureOnceAndOfNothingElse) {
  FakeReplica sound;
  FakeReplica early;
  FakeReplica late;
  early.has_failed = true;
  int early_told = 0;
  FailureWatch watch(loop());
  loop().Post([&] {
    watch.Add(sound, [] { FAIL() << "this one has not failed"; });
    watch.Add(early, [&] {
      ++early_told;
      late.has_failed = true;  // Seen a round later.
    });
    watch.Add(late, [&] {
      watch.Remove(late);  // As its close does.
      watch.Remove(early);
      watch.Remove(sound);
      loop().Stop();
    });
  });
  loop().Run();
  EXPECT_EQ(early_told, 1);
}

INSTANTIATE_FOR_EVERY_BACKEND(FailureWatchTest);

}  // namespace
}  // namespace aurochs
