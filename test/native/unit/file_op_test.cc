#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <csignal>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/units.h"
#include "io/directory.h"
#include "io/event_loop.h"
#include "support/loop_test.h"
#include "support/stub_file.h"
#include "support/temp_directory.h"

namespace aurochs {
namespace {

// A FileOp with its buffers and a handler.
struct Op : FileOp {
  Op(Kind op_kind, File& op_file, uint64_t op_offset_bytes, std::vector<size_t> sizes,
     char fill = 0) {
    kind = op_kind;
    file = &op_file;
    offset_bytes = op_offset_bytes;
    for (size_t size : sizes) {
      buffers.emplace_back(size, fill);
      length_bytes += size;
    }
    for (std::string& buffer : buffers) entries.push_back({buffer.data(), buffer.size()});
    iov = entries;
    complete = [](FileOp* op, ErrorCode code_now) {
      auto* self = static_cast<Op*>(op);
      self->completed = true;
      self->code = code_now;
      if (self->then) self->then();
    };
  }

  std::string Bytes() const {
    std::string all;
    for (const std::string& buffer : buffers) all += buffer;
    return all;
  }

  std::vector<std::string> buffers;
  std::vector<iovec> entries;
  std::function<void()> then;
  bool completed = false;
  ErrorCode code = ErrorCode::kOk;
};

class FileOpTest : public LoopTest {
 protected:
  void SetUp() override {
    LoopTest::SetUp();
    directory_ = temp_.Open();
    file_ = directory_->OpenFile("file", OpenMode::kCreate).value();
  }

  // Submits all at once and runs the loop until all are complete.
  void RunOps(std::vector<Op*> ops) {
    size_t left = ops.size();
    for (Op* op : ops) {
      op->then = [&] {
        if (--left == 0) loop().Stop();
      };
    }
    loop().Post([&] {
      for (Op* op : ops) {
        loop().SubmitFileOp(op);
        EXPECT_FALSE(op->completed);
      }
    });
    loop().Run();
    loop_ = EventLoop::Create({.name = "", .backend = GetParam()}).value();
  }

  TempDirectory temp_;
  std::unique_ptr<Directory> directory_;
  std::unique_ptr<File> file_;
};

TEST_P(FileOpTest, ReadsBackWhatItWroteAcrossBuffersOfOddSizes) {
  Op write(FileOp::Kind::kWrite, *file_, 8192, {512, 4096, 1, 7679}, 'w');
  RunOps({&write});
  EXPECT_EQ(write.code, ErrorCode::kOk);
  Op read(FileOp::Kind::kRead, *file_, 8192, {1, 12287}, '?');
  RunOps({&read});
  EXPECT_EQ(read.code, ErrorCode::kOk);
  EXPECT_EQ(read.Bytes(), std::string(12288, 'w'));
}

TEST_P(FileOpTest, ReadsBackLongWritesThatTheFileTakesInPieces) {
  const std::vector<size_t> sizes = {1, 400 * kKiB, 4095, 128 * kKiB, 7};
  Op first(FileOp::Kind::kWrite, *file_, 4096 + 512, sizes, 'w');
  Op second(FileOp::Kind::kWrite, *file_, 1 * kMiB, {256 * kKiB}, 'x');
  for (std::string& buffer : first.buffers) {
    for (size_t i = 0; i < buffer.size(); ++i) buffer[i] = static_cast<char>(i * 31 / 7);
  }
  RunOps({&first, &second});
  EXPECT_EQ(first.code, ErrorCode::kOk);
  Op read(FileOp::Kind::kRead, *file_, 4096 + 512, {first.length_bytes}, '?');
  Op read_second(FileOp::Kind::kRead, *file_, 1 * kMiB, {256 * kKiB}, '?');
  RunOps({&read, &read_second});
  EXPECT_EQ(read.Bytes(), first.Bytes());
  EXPECT_EQ(read_second.Bytes(), second.Bytes());
}

TEST_P(FileOpTest, WritesThatLieNextToEachOtherKeepTheirPlacesAndTheirOrder) {
  constexpr uint64_t kStart = 28 * kKiB;  // so that they reach past what one call writes
  Op first(FileOp::Kind::kWrite, *file_, kStart, {4096}, '1');
  Op second(FileOp::Kind::kWrite, *file_, kStart + 4096, {512, 3584}, '2');
  Op third(FileOp::Kind::kWrite, *file_, kStart + 8192, {8192}, '3');
  Op over_second(FileOp::Kind::kWrite, *file_, kStart + 4096, {4096}, '4');
  Op before(FileOp::Kind::kWrite, *file_, kStart - 4096, {4096}, '0');
  RunOps({&first, &second, &third, &over_second, &before});
  for (const Op* op : {&first, &second, &third, &over_second, &before}) {
    EXPECT_EQ(op->code, ErrorCode::kOk);
  }
  Op read(FileOp::Kind::kRead, *file_, kStart - 4096, {5 * 4096}, '?');
  RunOps({&read});
  EXPECT_EQ(read.Bytes(), std::string(4096, '0') + std::string(4096, '1') + std::string(4096, '4') +
                              std::string(8192, '3'));
}

// The limit of the process's files stands for a disk that is full.
TEST_P(FileOpTest, OfWritesThatLieNextToEachOtherOnlyThoseFailThatDoNotFit) {
  const auto no_signal = ::signal(SIGXFSZ, SIG_IGN);
  rlimit before;
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit limit{6144, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  Op fits(FileOp::Kind::kWrite, *file_, 0, {4096}, '1');
  Op crosses(FileOp::Kind::kWrite, *file_, 4096, {4096}, '2');
  Op beyond(FileOp::Kind::kWrite, *file_, 8192, {4096}, '3');
  RunOps({&fits, &crosses, &beyond});
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  ::signal(SIGXFSZ, no_signal);
  EXPECT_EQ(fits.code, ErrorCode::kOk);
  EXPECT_NE(crosses.code, ErrorCode::kOk);
  EXPECT_NE(beyond.code, ErrorCode::kOk);
  Op read(FileOp::Kind::kRead, *file_, 0, {4096}, '?');
  RunOps({&read});
  EXPECT_EQ(read.Bytes(), std::string(4096, '1'));
}

TEST_P(FileOpTest, ReadsZerosPastTheEndOfTheFile) {
  Op write(FileOp::Kind::kWrite, *file_, 0, {100}, 'w');
  RunOps({&write});
  Op across(FileOp::Kind::kRead, *file_, 50, {20, 60, 100}, '?');
  Op beyond(FileOp::Kind::kRead, *file_, 1 * kMiB, {4096}, '?');
  RunOps({&across, &beyond});
  EXPECT_EQ(across.code, ErrorCode::kOk);
  EXPECT_EQ(across.Bytes(), std::string(50, 'w') + std::string(130, '\0'));
  EXPECT_EQ(beyond.code, ErrorCode::kOk);
  EXPECT_EQ(beyond.Bytes(), std::string(4096, '\0'));
}

TEST_P(FileOpTest, PunchesHolesAndSyncs) {
  Op write(FileOp::Kind::kWrite, *file_, 0, {64 * kKiB}, 'w');
  RunOps({&write});
  Op punch(FileOp::Kind::kPunchHole, *file_, 16 * kKiB, {});
  punch.length_bytes = 16 * kKiB;
  RunOps({&punch});
  Op sync(FileOp::Kind::kSyncData, *file_, 0, {});
  RunOps({&sync});
  EXPECT_EQ(punch.code, ErrorCode::kOk);
  EXPECT_EQ(sync.code, ErrorCode::kOk);
  const auto data = file_->NextData(16 * kKiB, 64 * kKiB);
  ASSERT_TRUE(data.ok() && data->has_value());
  EXPECT_EQ((*data)->offset_bytes, 32 * kKiB);
  Op read(FileOp::Kind::kRead, *file_, 16 * kKiB, {16 * kKiB}, '?');
  RunOps({&read});
  EXPECT_EQ(read.Bytes(), std::string(16 * kKiB, '\0'));
}

TEST_P(FileOpTest, ReportsErrorsByTheirCode) {
  auto read_only = directory_->OpenFile("file", OpenMode::kReadOnly).value();
  Op write(FileOp::Kind::kWrite, *read_only, 0, {4096}, 'w');
  Op punch(FileOp::Kind::kPunchHole, *read_only, 0, {});
  punch.length_bytes = 4096;
  RunOps({&write, &punch});
  EXPECT_EQ(write.code, ErrorCode::kIo);  // EBADF
  EXPECT_EQ(punch.code, ErrorCode::kIo);
}

TEST_P(FileOpTest, KeepsManyOperationsInFlightApart) {
  constexpr int kOps = 2000;  // More than the ring and the threads take at once.
  std::vector<std::unique_ptr<Op>> ops;
  std::vector<Op*> all;
  for (int i = 0; i < kOps; ++i) {
    ops.push_back(std::make_unique<Op>(FileOp::Kind::kWrite, *file_, i * 4096ull,
                                       std::vector<size_t>{1024, 3072},
                                       static_cast<char>('a' + i % 26)));
    all.push_back(ops.back().get());
  }
  RunOps(all);
  for (int i = 0; i < kOps; ++i) {
    ASSERT_EQ(all[i]->code, ErrorCode::kOk);
    ops[i] = std::make_unique<Op>(FileOp::Kind::kRead, *file_, i * 4096ull,
                                  std::vector<size_t>{4096}, '?');
    all[i] = ops[i].get();
  }
  RunOps(all);
  for (int i = 0; i < kOps; ++i) {
    ASSERT_EQ(all[i]->Bytes(), std::string(4096, static_cast<char>('a' + i % 26))) << "block " << i;
  }
}

TEST_P(FileOpTest, AnOperationMayBeSubmittedAgainByItsOwnCompletion) {
  Op write(FileOp::Kind::kWrite, *file_, 0, {4096}, 'w');
  int times = 0;
  write.then = [&] {
    if (++times == 100) {
      loop().Stop();
    } else {
      write.offset_bytes += 4096;
      loop().SubmitFileOp(&write);
    }
  };
  loop().Post([&] { loop().SubmitFileOp(&write); });
  loop().Run();
  EXPECT_EQ(file_->SizeBytes().value(), 100 * 4096u);
}

TEST_P(FileOpTest, CompletesWhatIsInFlightBeforeTheLoopStops) {
  std::vector<std::unique_ptr<Op>> ops;
  for (int i = 0; i < 100; ++i) {
    ops.push_back(std::make_unique<Op>(FileOp::Kind::kWrite, *file_, i * 4096ull,
                                       std::vector<size_t>{4096}, 'w'));
  }
  auto sync = std::make_unique<Op>(FileOp::Kind::kSyncData, *file_, 0, std::vector<size_t>{});
  ops[50]->then = [&] { loop().SubmitFileOp(sync.get()); };
  loop().Post([&] {
    for (auto& op : ops) loop().SubmitFileOp(op.get());
    loop().Stop();
  });
  loop().Run();
  for (auto& op : ops) EXPECT_TRUE(op->completed);
  EXPECT_TRUE(sync->completed);
}

// A file without a descriptor that records how it is used.
class RecordingFile : public StubFile {
 public:
  Status ReadAt(std::span<std::byte> into, uint64_t) override {
    std::memset(into.data(), 'r', into.size());
    return Note("read", into.size());
  }
  Status WriteAt(std::span<const std::byte> from, uint64_t) override {
    return Note("write", from.size());
  }
  Status PunchHole(uint64_t, uint64_t length_bytes) override { return Note("punch", length_bytes); }
  Status SyncData() override { return Note("sync", 0); }

  std::vector<std::string> calls;
  std::function<bool()> on_expected_thread;

 private:
  Status Note(const char* what, uint64_t bytes) {
    EXPECT_TRUE(on_expected_thread());
    calls.push_back(std::string(what) + " " + std::to_string(bytes));
    return Status::Ok();
  }
};

TEST_P(FileOpTest, RunsOperationsWithoutADescriptorOnTheLoopInOrderAndCompletesThemLater) {
  RecordingFile file;
  file.on_expected_thread = [&] { return loop().InLoopThread(); };
  Op write(FileOp::Kind::kWrite, file, 0, {512, 3584}, 'w');
  Op punch(FileOp::Kind::kPunchHole, file, 0, {});
  punch.length_bytes = 8192;
  Op sync(FileOp::Kind::kSyncData, file, 0, {});
  Op read(FileOp::Kind::kRead, file, 0, {100, 200}, '?');
  RunOps({&write, &punch, &sync, &read});
  EXPECT_EQ(file.calls,
            (std::vector<std::string>{"write 4096", "punch 8192", "sync 0", "read 300"}));
  EXPECT_EQ(read.Bytes(), std::string(300, 'r'));
}

// A real file whose sync takes as long as the test wants.
class SlowSyncFile : public RecordingFile {
 public:
  SlowSyncFile(int fd, std::atomic<bool>& go) : fd_(fd), go_(go) {}
  Status SyncData() override {
    go_.wait(false);
    return Status::Ok();
  }
  int fd() const override { return fd_; }

 private:
  const int fd_;
  std::atomic<bool>& go_;
};

TEST_P(FileOpTest, SyncsThatHangHoldUpNeitherReadsNorWritesNorPunches) {
  constexpr int kSyncs = 100;  // More than there are threads for anything.
  std::atomic<bool> go = false;
  SlowSyncFile slow(file_->fd(), go);
  std::vector<std::unique_ptr<Op>> syncs;
  Op write(FileOp::Kind::kWrite, *file_, 0, {4096}, 'w');
  Op read(FileOp::Kind::kRead, *file_, 0, {4096}, '?');
  Op punch(FileOp::Kind::kPunchHole, *file_, 0, {});
  punch.length_bytes = 4096;
  write.then = [&] { loop().SubmitFileOp(&read); };
  read.then = [&] { loop().SubmitFileOp(&punch); };
  punch.then = [&] {
    for (const auto& sync : syncs) EXPECT_FALSE(sync->completed);
    go = true;
    go.notify_all();
    loop().Stop();
  };
  loop().Post([&] {
    for (int i = 0; i < kSyncs; ++i) {
      syncs.push_back(
          std::make_unique<Op>(FileOp::Kind::kSyncData, slow, 0, std::vector<size_t>{}));
      loop().SubmitFileOp(syncs.back().get());
    }
    loop().SubmitFileOp(&write);
  });
  loop().Run();
  EXPECT_EQ(read.Bytes(), std::string(4096, 'w'));
  for (const auto& sync : syncs) EXPECT_TRUE(sync->completed);
}

INSTANTIATE_FOR_EVERY_BACKEND(FileOpTest);

}  // namespace
}  // namespace aurochs
