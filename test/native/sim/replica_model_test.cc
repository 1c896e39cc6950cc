// Random operations against a replica and against a plain model of it, several in flight at a time.
//
// AUROCHS_MODEL_SEED runs one seed only; AUROCHS_MODEL_OPS sets the operations of all seeds
// together.
#include "sim/replica_model.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <functional>
#include <memory>
#include <random>

#include "base/limits.h"
#include "io/event_loop.h"
#include "replica/copy_space.h"
#include "replica/replica_device.h"
#include "replica/replica_meta.h"
#include "support/loop_test.h"
#include "support/replica_rig.h"
#include "support/sim_directory.h"
#include "support/temp_directory.h"

namespace aurochs::test {
namespace {

constexpr uint64_t kStartBytes = 6 * kMiB;  // one region and a half
constexpr uint64_t kEndBytesMax = 14 * kMiB;
constexpr uint32_t kBatchMax = 8;
constexpr uint32_t kRequestSectorsMax = 96;
constexpr uint32_t kSnapshotsMax = 10;

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? std::strtoull(value, nullptr, 10) : otherwise;
}

// Where the replica lives, and how its process ends.
class ModelStore {
 public:
  virtual ~ModelStore() = default;
  virtual std::unique_ptr<Directory> Disk() = 0;
  virtual void KillProcess() = 0;
};

class SimStore final : public ModelStore {
 public:
  explicit SimStore(uint64_t seed) {
    disk_.SetCanClone(seed % 3 == 0);
    disk_.SetCacheCold(seed % 2 == 0);
  }
  std::unique_ptr<Directory> Disk() override { return disk_.Root(); }
  void KillProcess() override { disk_.KillProcess(); }

 private:
  SimDisk disk_;
};

class RealStore final : public ModelStore {
 public:
  std::unique_ptr<Directory> Disk() override { return directory_.Open(); }
  void KillProcess() override {}

 private:
  TempDirectory directory_;
};

// Drives one replica from its own loop, without ever waiting on a thread.
class ModelRun {
 public:
  ModelRun(EventLoop& loop, ModelStore& store, uint64_t seed, uint64_t operations)
      : loop_(loop), store_(store), random_(seed), operations_(operations), live_(kStartBytes) {}

  void Start() {
    Require(CreateReplica(*store_.Disk(), "r", {kVolumeId, kReplicaId, kStartBytes}), "create");
    Open();
  }
  uint64_t done() const { return done_; }
  uint64_t snapshots_taken() const { return snapshots_taken_; }
  uint64_t copies() const { return copies_; }

 private:
  struct Io {
    IoRequest request;
    iovec pieces[2];
    std::vector<std::byte> bytes;
    SectorTag tag = 0;
    ModelRun* run = nullptr;
  };

  uint64_t Below(uint64_t bound) { return random_() % bound; }
  bool OneIn(uint64_t n) { return Below(n) == 0; }

  void Require(const Status& status, const char* what) {
    if (status.ok() || testing::Test::HasFailure()) return;
    ADD_FAILURE() << what << " after " << done_ << " operations: " << status.ToString();
  }

  void Open() {
    auto directory = store_.Disk()->OpenDirectory("r");
    CHECK(directory.ok());
    ReplicaDevice::Open(loop_, std::move(*directory), ++epoch_,
                        [this](Result<std::unique_ptr<ReplicaDevice>> opened) {
                          Require(opened.status(), "open");
                          if (!opened.ok()) return loop_.Stop();
                          device_ = std::move(*opened);
                          ReadAll([this] { Next(); });
                        });
  }

  void Next() {
    if (testing::Test::HasFailure() || done_ >= operations_) return Finish();
    if (!OneIn(40)) return Batch({});
    ++done_;
    Command();
  }

  void Finish() {
    ReadAll([this] {
      device_->Close([this](const Status& status) {
        Require(status, "close");
        device_.reset();
        loop_.Stop();
      });
    });
  }

  // -- Requests

  // Submits up to kBatchMax requests that share blocks but no sectors, beside `command` if there is
  // one; goes on when all are answered.
  void Batch(std::function<void(std::function<void()> ended)> command) {
    CHECK(in_flight_ == 0);
    ++in_flight_;  // This function.
    const uint64_t count = 1 + Below(kBatchMax);
    const uint64_t command_at = Below(count);
    taken_.clear();
    under_way_.clear();
    for (uint64_t i = 0; i < count; ++i) {
      if (command && i == command_at) {
        ++in_flight_;
        command([this] { Ended(); });
      }
      SubmitOne();
    }
    Ended();
  }

  void Ended() {
    if (--in_flight_ == 0) loop_.Post([this] { Next(); });
  }

  Io* TakeIo() {
    if (free_ios_.empty()) {
      ios_.emplace_back();
      ios_.back().run = this;
      return &ios_.back();
    }
    Io* io = free_ios_.back();
    free_ios_.pop_back();
    return io;
  }

  Extent PickExtent() {
    const bool whole_blocks = OneIn(2);
    const uint64_t grain = whole_blocks ? kBlockBytes / kSectorBytes : 1;
    // Small requests in a hot place, so that they share blocks.
    const uint64_t range = OneIn(2) ? live_.sectors() : 256;
    const uint64_t base = range == live_.sectors() ? 0 : hot_;
    uint64_t first = std::min(base + Below(range), live_.sectors() - grain) / grain * grain;
    uint64_t count = (1 + Below(OneIn(4) ? kRequestSectorsMax : 12)) * grain;
    count = std::min({count, uint64_t{kRequestSectorsMax}, live_.sectors() - first});
    return {first, count};  // in sectors
  }

  void SubmitOne() {
    Extent sectors = PickExtent();
    const auto overlaps = [&](const Extent& other) { return other.Overlaps(sectors); };
    if (std::any_of(taken_.begin(), taken_.end(), overlaps)) return;
    taken_.push_back(sectors);
    ++done_;
    Io* io = TakeIo();
    const uint64_t kind = Below(100);
    IoRequest& request = io->request;
    request = {};
    request.op = kind < 42   ? IoOp::kWrite
                 : kind < 80 ? IoOp::kRead
                 : kind < 88 ? IoOp::kUnmap
                 : kind < 96 ? IoOp::kWriteZeroes
                             : IoOp::kFlush;
    request.fua = request.op != IoOp::kRead && request.op != IoOp::kFlush && OneIn(12);
    request.keep_allocated = request.op == IoOp::kWriteZeroes && OneIn(3);
    request.extent = {sectors.offset_bytes * kSectorBytes, sectors.length_bytes * kSectorBytes};
    request.owner = io;
    request.complete = [](IoRequest* completed, ErrorCode result) {
      Io* owner = static_cast<Io*>(completed->owner);
      owner->run->Answered(owner, result);
    };
    io->tag = request.op == IoOp::kWrite ? NextTag() : 0;
    if (request.op == IoOp::kRead || request.op == IoOp::kWrite) PrepareBytes(io);
    if (request.op != IoOp::kRead && request.op != IoOp::kFlush) NoteUnderWay(sectors, io->tag);
    ++in_flight_;
    device_->Submit(&request);
  }

  SectorTag NextTag() {
    if (++last_tag_ == UINT32_MAX) last_tag_ = 1;
    return last_tag_;
  }

  void PrepareBytes(Io* io) {
    const uint64_t length = io->request.extent.length_bytes;
    io->bytes.resize(std::max<size_t>(io->bytes.size(), length));
    if (io->request.op == IoOp::kWrite) {
      for (uint64_t at = 0; at < length; at += kSectorBytes) FillSector(&io->bytes[at], io->tag);
    }
    const uint64_t cut = Below(length + 1);  // Anywhere, to try pieces of odd lengths.
    io->pieces[0] = {io->bytes.data(), cut};
    io->pieces[1] = {io->bytes.data() + cut, length - cut};
    io->request.iov = cut == 0 ? std::span<const iovec>(io->pieces + 1, 1)
                               : std::span<const iovec>(io->pieces, cut == length ? 1 : 2);
  }

  // A snapshot that is being taken may or may not hold the write.
  void NoteUnderWay(const Extent& sectors, SectorTag tag) {
    for (uint64_t i = 0; i < sectors.length_bytes; ++i) {
      under_way_.push_back({sectors.offset_bytes + i, tag});
    }
  }

  void Answered(Io* io, ErrorCode result) {
    if (result != ErrorCode::kOk) {
      ADD_FAILURE() << "request " << static_cast<int>(io->request.op) << " failed with "
                    << ErrorCodeName(result) << " after " << done_;
    }
    const uint64_t first = io->request.extent.offset_bytes / kSectorBytes;
    const uint64_t count = io->request.extent.length_bytes / kSectorBytes;
    if (io->request.op == IoOp::kRead) {
      Compare(io->bytes.data(), first, count);
    } else if (io->request.op != IoOp::kFlush) {
      for (uint64_t i = 0; i < count; ++i) live_.Set(first + i, io->tag);
    }
    free_ios_.push_back(io);
    Ended();
  }

  void Compare(const std::byte* bytes, uint64_t first, uint64_t count) {
    for (uint64_t i = 0; i < count; ++i) {
      const SectorTag tag = TagOf(bytes + i * kSectorBytes);
      if (live_.Observe(first + i, tag)) continue;
      ADD_FAILURE() << "sector " << first + i << " reads as " << tag << " instead of "
                    << live_.At(first + i).tag << " after " << done_ << " operations";
      return;
    }
  }

  void ReadAll(std::function<void()> then) {
    auto bytes = std::make_shared<std::vector<std::byte>>(live_.sectors() * kSectorBytes);
    struct Whole {
      IoRequest request;
      iovec piece;
      std::function<void(ErrorCode)> done;
    };
    auto whole = std::make_shared<Whole>();
    whole->piece = {bytes->data(), bytes->size()};
    whole->request.extent = {0, bytes->size()};
    whole->request.iov = {&whole->piece, 1};
    whole->request.owner = whole.get();
    whole->request.complete = [](IoRequest* request, ErrorCode result) {
      auto done = std::move(static_cast<Whole*>(request->owner)->done);
      done(result);
    };
    whole->done = [this, whole, bytes, then = std::move(then)](ErrorCode result) {
      EXPECT_EQ(result, ErrorCode::kOk);
      if (result == ErrorCode::kOk) Compare(bytes->data(), 0, live_.sectors());
      loop_.Post(then);
    };
    device_->Submit(&whole->request);
  }

  // -- Commands

  void Command() {
    hot_ = Below(live_.sectors());
    const uint64_t kind = Below(100);
    if (kind < 25) return TakeSnapshot();
    if (kind < 50) return DeleteSnapshot();
    if (kind < 60) return RevertToAny();
    if (kind < 63) return Expand();
    if (kind < 70) return CloseAndOpen();
    if (kind < 76) return ReadAll([this] { Next(); });
    if (kind < 84) return CheckAllocation();
    if (kind < 94) return CheckDiff();
    if (kind < 97) return StartCopy();
    Describe();
  }

  // While requests are under way.
  void TakeSnapshot() {
    if (snapshots_.size() >= kSnapshotsMax) return DeleteSnapshot();
    const std::string id = "s" + std::to_string(++snapshots_taken_);
    auto before = std::make_shared<VolumeModel>(live_);
    Batch([this, id, before](std::function<void()> ended) {
      device_->TakeSnapshot(id, id, 1, [this, id, before, ended](const Status& status) {
        Require(status, "snapshot");
        // Requests may still be under way; they are all in under_way_, as the whole batch is.
        for (const auto& [sector, tag] : under_way_) before->MayBe(sector, tag);
        snapshots_.emplace(id, std::move(*before));
        ended();
      });
    });
  }

  std::string AnySnapshot() {
    if (snapshots_.empty()) return "";
    auto at = snapshots_.begin();
    std::advance(at, static_cast<int64_t>(Below(snapshots_.size())));
    return at->first;
  }

  void DeleteSnapshot() {
    const std::string id = AnySnapshot();
    if (id.empty()) return Describe();
    snapshots_.erase(id);
    Batch([this, id](std::function<void()> ended) {
      device_->DeleteSnapshot(id,
                              [this, ended](const Status& status) {
                                Require(status, "delete");
                                ended();
                              },
                              {}, {});
    });
  }

  void RevertToAny() {
    const std::string id = AnySnapshot();
    if (id.empty()) return Describe();
    device_->Revert(id, [this, id](const Status& status) {
      Require(status, "revert");
      const uint64_t size_bytes = live_.sectors() * kSectorBytes;
      live_ = snapshots_.at(id);
      live_.Grow(size_bytes);
      ReadAll([this, id] {
        // What was read is what the snapshot holds.
        const VolumeModel& snapshot = snapshots_.at(id);
        VolumeModel observed(snapshot.sectors() * kSectorBytes);
        for (uint64_t i = 0; i < snapshot.sectors(); ++i) observed.Set(i, live_.At(i).tag);
        snapshots_.at(id) = std::move(observed);
        Next();
      });
    });
  }

  void Expand() {
    const uint64_t size_bytes = live_.sectors() * kSectorBytes + (1 + Below(64)) * kBlockBytes;
    if (size_bytes > kEndBytesMax) return Describe();
    Batch([this, size_bytes](std::function<void()> ended) {
      device_->Expand(size_bytes, [this, size_bytes, ended](const Status& status) {
        Require(status, "expand");
        EXPECT_EQ(device_->info().size_bytes, size_bytes);
        live_.Grow(size_bytes);
        ended();
      });
    });
  }

  // Goes on while other operations do.
  void StartCopy() {
    const std::string id = AnySnapshot();
    if (id.empty() || copying_) return Describe();
    copying_ = true;
    SnapshotCopyTarget target;
    target.open_disk = [this]() -> Result<std::unique_ptr<Directory>> { return store_.Disk(); };
    target.name = "copy";
    target.options = {kVolumeId, kReplicaId, live_.sectors() * kSectorBytes};
    target.space = &copy_space_;
    auto state = std::make_shared<VolumeModel>(snapshots_.at(id));
    device_->CopySnapshot(id, target,
                          [this, state](const Status& status) { CopyEnded(*state, status); }, {});
    loop_.Post([this] { Next(); });
  }

  void CopyEnded(VolumeModel& state, const Status& status) {
    copying_ = false;
    if (!status.ok()) {
      if (!killed_ && status.code() != ErrorCode::kAborted) Require(status, "copy");
      (void)RemoveReplica(*store_.Disk(), "copy");
      return;
    }
    ++copies_;
    {
      auto directory = store_.Disk()->OpenDirectory("copy").value();
      auto file = directory->OpenFile(LayerFileName(1), OpenMode::kReadOnly).value();
      std::vector<std::byte> bytes(state.sectors() * kSectorBytes);
      Require(file->ReadAt(bytes, 0), "read the copy");
      for (uint64_t i = 0; i < state.sectors(); ++i) {
        const SectorTag tag = TagOf(&bytes[i * kSectorBytes]);
        EXPECT_TRUE(state.Observe(i, tag)) << "sector " << i << " of a copy has " << tag;
      }
    }
    Require(RemoveReplica(*store_.Disk(), "copy"), "remove the copy");
  }

  void CloseAndOpen() {
    const bool kill = OneIn(2);
    if (kill) store_.KillProcess();
    killed_ = kill;
    device_->Close([this, kill](const Status& status) {
      if (!kill) Require(status, "close");
      killed_ = false;
      device_.reset();
      Require(RemoveInterrupted(*store_.Disk()), "remove what was interrupted");
      loop_.Post([this] { Open(); });
    });
  }

  void CheckAllocation() {
    struct Pending {
      AllocationQuery query;
      ModelRun* run;
    };
    auto* pending = new Pending{{}, this};
    const Extent sectors = PickExtent();
    pending->query.extent = {sectors.offset_bytes * kSectorBytes,
                             sectors.length_bytes * kSectorBytes};
    pending->query.runs_max = static_cast<uint32_t>(1 + Below(8));
    pending->query.owner = pending;
    pending->query.complete = [](AllocationQuery* query, ErrorCode result) {
      std::unique_ptr<Pending> owner(static_cast<Pending*>(query->owner));
      EXPECT_EQ(result, ErrorCode::kOk);
      owner->run->CompareAllocation(*query);
      owner->run->loop_.Post([run = owner->run] { run->Next(); });
    };
    device_->Submit(&pending->query);
  }

  void CompareAllocation(const AllocationQuery& query) {
    EXPECT_FALSE(query.runs.empty());
    EXPECT_LE(query.runs.size(), query.runs_max);
    uint64_t at = query.extent.offset_bytes;
    for (size_t i = 0; i < query.runs.size(); ++i) {
      const AllocationRun& run = query.runs[i];
      EXPECT_GT(run.length_bytes, 0u);
      EXPECT_TRUE(i == 0 || run.state != query.runs[i - 1].state);
      const uint64_t end = at + run.length_bytes;
      for (; at < end; at += kSectorBytes) {
        if (run.state == AllocationState::kHole) {
          EXPECT_TRUE(live_.Observe(at / kSectorBytes, 0)) << at << " is no hole";
        }
      }
    }
    EXPECT_LE(at, query.extent.end_bytes());
  }

  void CheckDiff() {
    const std::string older = AnySnapshot();
    const std::string newer = OneIn(2) ? "" : AnySnapshot();
    diff_end_ = 0;
    NextDiffPage(older, newer, 0);
  }

  const VolumeModel& StateOf(const std::string& id) const {
    return id.empty() ? live_ : snapshots_.at(id);
  }

  void NextDiffPage(const std::string& older, const std::string& newer, uint64_t offset_bytes) {
    device_->Diff(older, newer, offset_bytes, static_cast<uint32_t>(1 + Below(20)),
                  [this, older, newer](Result<ReplicaDevice::DiffPage> page) {
                    Require(page.status(), "diff");
                    if (!page.ok()) return loop_.Post([this] { Next(); });
                    for (const DiffRun& run : page->runs) CompareDiffRun(older, newer, run);
                    const bool last = !page->next_offset_bytes.has_value();
                    const uint64_t size_bytes = StateOf(newer).sectors() * kSectorBytes;
                    const uint64_t next = last ? size_bytes : *page->next_offset_bytes;
                    ExpectSame(older, newer, next);
                    loop_.Post([this, older, newer, next, last] {
                      last ? Next() : NextDiffPage(older, newer, next);
                    });
                  });
  }

  void CompareDiffRun(const std::string& older, const std::string& newer, const DiffRun& run) {
    ExpectSame(older, newer, run.extent.offset_bytes);
    EXPECT_GT(run.extent.length_bytes, 0u);
    diff_end_ = run.extent.end_bytes();
    if (run.state == AllocationState::kData) return;
    const VolumeModel& state = StateOf(newer);
    for (uint64_t at = run.extent.offset_bytes; at < diff_end_; at += kSectorBytes) {
      const auto& sector = state.At(at / kSectorBytes);
      EXPECT_TRUE(sector.tag == 0 || sector.other == 0) << at << " is no hole in " << newer;
    }
  }

  // What the diff leaves out between its last run and `until` is the same in both states.
  void ExpectSame(const std::string& older, const std::string& newer, uint64_t until) {
    EXPECT_GE(until, diff_end_);
    const VolumeModel& from = StateOf(older);
    const VolumeModel& to = StateOf(newer);
    for (; diff_end_ < until; diff_end_ += kSectorBytes) {
      const uint64_t sector = diff_end_ / kSectorBytes;
      const VolumeModel::Sector nothing;
      const auto& a = older.empty() || sector >= from.sectors() ? nothing : from.At(sector);
      const auto& b = to.At(sector);
      EXPECT_TRUE(a.tag == b.tag || a.tag == b.other || a.other == b.tag || a.other == b.other)
          << "sector " << sector << " differs between '" << older << "' and '" << newer << "'";
    }
  }

  void Describe() {
    device_->Describe([this](const Result<ReplicaInfo>& info) {
      Require(info.status(), "describe");
      size_t living = 0;
      for (const SnapshotInfo& snapshot : info->snapshots) {
        if (snapshot.removing) continue;
        ++living;
        EXPECT_TRUE(snapshots_.contains(snapshot.id)) << snapshot.id;
      }
      EXPECT_EQ(living, snapshots_.size());
      EXPECT_EQ(info->size_bytes, live_.sectors() * kSectorBytes);
      loop_.Post([this] { Next(); });
    });
  }

  EventLoop& loop_;
  ModelStore& store_;
  std::mt19937_64 random_;
  const uint64_t operations_;
  CopySpace copy_space_;
  std::unique_ptr<ReplicaDevice> device_;
  VolumeModel live_;
  std::map<std::string, VolumeModel> snapshots_;
  uint64_t epoch_ = 0;
  uint64_t done_ = 0;
  uint64_t snapshots_taken_ = 0;
  uint64_t copies_ = 0;
  bool copying_ = false;
  bool killed_ = false;  // until what was open is closed
  uint64_t hot_ = 0;
  uint64_t diff_end_ = 0;
  SectorTag last_tag_ = 0;
  uint32_t in_flight_ = 0;
  std::vector<Extent> taken_;  // sectors of the batch
  std::vector<std::pair<uint64_t, SectorTag>> under_way_;
  std::deque<Io> ios_;
  std::vector<Io*> free_ios_;
};

// Returns how many copies came to their end.
uint64_t RunModel(EventLoop::Options options, ModelStore& store, uint64_t seed,
                  uint64_t operations) {
  SCOPED_TRACE("AUROCHS_MODEL_SEED=" + std::to_string(seed));
  auto loop = EventLoop::Create(std::move(options)).value();
  ModelRun run(*loop, store, seed, operations);
  loop->Post([&run] { run.Start(); });
  loop->Run();
  EXPECT_GE(run.done(), operations);
  return run.copies();
}

TEST(ReplicaModel, ReadsAsTheModelSaysOnASimulatedDisk) {
  const uint64_t one_seed = FromEnvironment("AUROCHS_MODEL_SEED", 0);
  const uint64_t operations = FromEnvironment("AUROCHS_MODEL_OPS", 1'000'000);
  const uint64_t seeds = one_seed != 0 ? 1 : 50;
  uint64_t copies = 0;
  for (uint64_t i = 0; i < seeds && !HasFailure(); ++i) {
    const uint64_t seed = one_seed != 0 ? one_seed : i + 1;
    SimStore store(seed);
    copies += RunModel({.name = "", .blocking_inline = true}, store, seed, operations / seeds);
  }
  EXPECT_TRUE(copies > 0 || operations < 100'000) << "nothing was ever copied";
}

class ReplicaModelOnDisk : public testing::TestWithParam<EventLoop::Backend> {};

TEST_P(ReplicaModelOnDisk, ReadsAsTheModelSaysInARealDirectory) {
  const uint64_t operations = FromEnvironment("AUROCHS_MODEL_OPS", 1'000'000) / 250;
  const uint64_t seed = FromEnvironment("AUROCHS_MODEL_SEED", 4711);
  RealStore store;
  (void)RunModel({.name = "", .backend = GetParam()}, store, seed, operations);
}

INSTANTIATE_FOR_EVERY_BACKEND(ReplicaModelOnDisk);

}  // namespace
}  // namespace aurochs::test
