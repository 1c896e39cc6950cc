#include "host/host_volume.h"

#include <utility>

#include "base/check.h"
#include "base/limits.h"

namespace aurochs {
namespace {

Status Closed() {
  return {ErrorCode::kUnavailable, "the volume is closed"};
}

// NAA 3, locally assigned: 60 bits of our own choosing (SPC-4, 7.8.6.6.4), here a hash of the
// serial, so that every export of the volume, before and after a restart, has the same. FNV-1a with
// a final mix, because serials differ in few characters.
uint64_t NaaOf(const std::string& serial) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : serial) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  hash = (hash ^ (hash >> 31)) * 0x7fb5d329728ea185;
  hash ^= hash >> 27;
  return (hash & 0x0fffffffffffffff) | (uint64_t{3} << 60);
}

iscsi::TargetConfig TargetConfigOf(IscsiExportConfig config, scsi::UnitStateStore* state) {
  iscsi::TargetConfig target;
  target.name = std::move(config.target_name);
  target.identity.naa = NaaOf(config.serial);
  target.identity.serial = std::move(config.serial);
  target.unit = config.unit;
  target.unit_state = state;
  target.access = std::move(config.access);
  return target;
}

}  // namespace

// A volume on its way: what was opened so far.
struct HostVolume::Opening {
  Surroundings surroundings;
  std::unique_ptr<Directory> beside;
  std::unique_ptr<ReplicaDevice> replica;
  ReplicaInfo info;
  std::function<void(Result<std::shared_ptr<HostVolume>>)> done;
};

void HostVolume::Open(Surroundings surroundings, ReplicaDirectories directories, uint64_t epoch,
                      std::function<void(Result<std::shared_ptr<HostVolume>>)> done) {
  EventLoop& loop = *surroundings.loop;
  const auto opening = std::make_shared<Opening>();
  opening->surroundings = std::move(surroundings);
  opening->beside = std::move(directories.beside);
  opening->done = std::move(done);
  auto opened = [opening](Result<std::unique_ptr<ReplicaDevice>> replica) {
    if (!replica.ok()) return opening->done(replica.status());
    opening->replica = std::move(replica).value();
    opening->replica->Describe([opening](Result<ReplicaInfo> info) {
      if (!info.ok()) return FailOpening(opening, info.status());
      opening->info = std::move(info).value();
      LoadUnitState(opening);
    });
  };
  ReplicaDevice::Open(loop, std::move(directories.replica), epoch, std::move(opened));
}

// The replica is open, and with it the directory is ours.
void HostVolume::LoadUnitState(std::shared_ptr<Opening> opening) {
  using Loaded = Result<std::unique_ptr<UnitStateFile>>;
  EventLoop& loop = *opening->surroundings.loop;
  const auto loaded = std::make_shared<std::optional<Loaded>>();
  loop.RunBlocking(
      [&loop, opening, loaded] {
        loaded->emplace(UnitStateFile::Load(loop, std::move(opening->beside)));
      },
      [opening, loaded] {
        Loaded& state = **loaded;
        if (!state.ok()) return FailOpening(opening, state.status());
        std::shared_ptr<HostVolume> volume(
            new HostVolume(opening->surroundings, std::move(opening->replica),
                           std::move(state).value(), opening->info.volume_id));
        volume->WatchReplica(opening->info);
        opening->done(std::move(volume));
      });
}

void HostVolume::FailOpening(const std::shared_ptr<Opening>& opening, Status why) {
  opening->replica->Close([opening, why = std::move(why)](const Status&) { opening->done(why); });
}

HostVolume::HostVolume(Surroundings surroundings, std::unique_ptr<ReplicaDevice> replica,
                       std::unique_ptr<UnitStateFile> unit_state, std::string volume_id)
    : surroundings_(std::move(surroundings)),
      volume_id_(std::move(volume_id)),
      unit_state_(std::move(unit_state)) {
  replica_ = replica.get();
  device_ = std::move(replica);
}

HostVolume::HostVolume(Surroundings surroundings, std::unique_ptr<BlockDevice> device)
    : surroundings_(std::move(surroundings)), device_(std::move(device)) {}

HostVolume::~HostVolume() {
  CHECK(state_ == State::kClosed);
}

// Runs `call` on the loop unless the volume is closed by then, and counts it in until it is done.
template <typename Outcome>
void HostVolume::RunCall(std::function<void(Outcome)> done, Call<Outcome> call) {
  const bool posted =
      surroundings_.door->Post([self = shared_from_this(), done, call = std::move(call)] {
        if (self->state_ != State::kOpen) return done(Closed());
        ++self->calls_inside_;
        call([self, done](Outcome outcome) {
          done(std::move(outcome));
          self->CallLeft();
        });
      });
  if (!posted) done(Closed());
}

template <typename Outcome>
void HostVolume::RunReplicaCall(std::function<void(Outcome)> done, Call<Outcome> call) {
  RunCall<Outcome>(std::move(done), [this, call = std::move(call)](auto finish) {
    if (replica_ != nullptr) return call(std::move(finish));
    finish(Status(ErrorCode::kUnsupported, "a test volume has no replica"));
  });
}

void HostVolume::CallLeft() {
  CHECK(calls_inside_ > 0);
  --calls_inside_;
  if (state_ == State::kClosing && calls_inside_ == 0) CloseDevice();
}

void HostVolume::Describe(std::function<void(Result<VolumeDescription>)> done) {
  RunCall<Result<VolumeDescription>>(std::move(done), [this](auto finish) {
    if (replica_ == nullptr) {
      VolumeDescription description;
      description.replica.size_bytes = device_->info().size_bytes;
      return finish(std::move(description));
    }
    replica_->Describe([this, finish](Result<ReplicaInfo> info) {
      if (!info.ok()) return finish(info.status());
      finish(VolumeDescription{std::move(info).value(), replica_->failed()});
    });
  });
}

void HostVolume::TakeSnapshot(std::string id, std::string name, uint64_t created_unix_ms,
                              Done done) {
  RunReplicaCall<Status>(std::move(done), [this, id = std::move(id), name = std::move(name),
                                           created_unix_ms](Done finish) {
    replica_->TakeSnapshot(id, name, created_unix_ms, std::move(finish));
  });
}

void HostVolume::Revert(std::string id, Done done) {
  RunReplicaCall<Status>(std::move(done), [this, id = std::move(id)](Done finish) {
    replica_->Revert(id, std::move(finish));
  });
}

void HostVolume::DeleteSnapshot(std::string id, Done done) {
  RunReplicaCall<Status>(std::move(done), [this, id = std::move(id)](Done finish) {
    replica_->DeleteSnapshot(id, std::move(finish), TellMerged(id), TellProgress(id));
  });
}

// These may be called after the volume's last call, so they keep what they need themselves.
HostVolume::Done HostVolume::TellMerged(const std::string& snapshot_id) const {
  return [events = surroundings_.events, volume_id = volume_id_, snapshot_id](Status status) {
    // Interrupted by Close: it goes on when the replica is opened again.
    if (status.code() == ErrorCode::kUnavailable) return;
    events(MergeDoneEvent{volume_id, snapshot_id, std::move(status)});
  };
}

std::function<void(double)> HostVolume::TellProgress(const std::string& snapshot_id) const {
  return [events = surroundings_.events, volume_id = volume_id_, snapshot_id](double share) {
    events(MergeProgressEvent{volume_id, snapshot_id, share});
  };
}

void HostVolume::WatchReplica(const ReplicaInfo& info) {
  replica_->OnFailure([events = surroundings_.events, volume_id = volume_id_] {
    events(ReplicaFailedEvent{
        volume_id, "the disk lost data of volume " + volume_id + "; it takes no more writes (D4)"});
  });
  // The replica goes on with merges that were under way. Asking again is how to hear of their end,
  // if it has not come already.
  for (const SnapshotInfo& snapshot : info.snapshots) {
    if (!snapshot.removing) continue;
    DeleteSnapshot(snapshot.id, [merged = TellMerged(snapshot.id)](const Status& status) {
      if (status.code() == ErrorCode::kNotFound) merged(Status::Ok());
    });
  }
}

void HostVolume::Expand(uint64_t size_bytes, Done done) {
  RunReplicaCall<Status>(std::move(done), [this, size_bytes](Done finish) {
    replica_->Expand(size_bytes, std::move(finish));
  });
}

void HostVolume::Diff(std::string older, std::string newer, uint64_t offset_bytes,
                      uint32_t runs_max,
                      std::function<void(Result<ReplicaDevice::DiffPage>)> done) {
  RunReplicaCall<Result<ReplicaDevice::DiffPage>>(
      std::move(done), [this, older = std::move(older), newer = std::move(newer), offset_bytes,
                        runs_max](auto finish) {
        replica_->Diff(older, newer, offset_bytes, runs_max, std::move(finish));
      });
}

void HostVolume::CopySnapshot(std::string id, SnapshotCopyConfig copy, Done done) {
  RunReplicaCall<Status>(std::move(done),
                         [this, id = std::move(id), copy = std::move(copy)](Done finish) {
                           StartCopy(id, copy, std::move(finish));
                         });
}

void HostVolume::StartCopy(const std::string& id, const SnapshotCopyConfig& copy, Done finish) {
  const Status named = CheckReplicaName(copy.name);
  if (!named.ok()) return finish(named);
  CopySlots* slots = surroundings_.copy_slots;
  if (!slots->TryTake()) {
    return finish({ErrorCode::kBusy, std::to_string(kHostSnapshotCopiesMax) +
                                         " copies of snapshots are under way on this host; wait "
                                         "for one to end"});
  }
  SnapshotCopyTarget target;
  target.open_disk = [disk_path = copy.disk_path, sweeper = surroundings_.sweeper] {
    return OpenReplicasToCreateIn(disk_path, *sweeper);
  };
  target.name = copy.name;
  target.options = copy.options;
  target.space = surroundings_.copy_space;
  auto ended = [slots, finish = std::move(finish)](Status status) {
    slots->Give();
    finish(std::move(status));
  };
  auto progress = [events = surroundings_.events,
                   volume_id = copy.options.volume_id](double share) {
    events(CopyProgressEvent{volume_id, share});
  };
  replica_->CopySnapshot(id, std::move(target), std::move(ended), std::move(progress));
}

// Not as a call of an open volume: a closing one waits for its copies all the same.
void HostVolume::CancelCopy(std::string name, Done done) {
  const bool posted =
      surroundings_.door->Post([self = shared_from_this(), name = std::move(name), done] {
        if (self->replica_ == nullptr) return done(Status::Ok());
        self->replica_->CancelCopy(name, [done] { done(Status::Ok()); });
      });
  if (!posted) done(Status::Ok());
}

void HostVolume::HoldWrites(uint32_t deadline_ms, std::function<void(Result<uint64_t>)> done) {
  RunReplicaCall<Result<uint64_t>>(std::move(done), [this, deadline_ms](auto finish) {
    replica_->HoldWrites(deadline_ms, std::move(finish));
  });
}

void HostVolume::ReleaseWrites(uint64_t hold, std::function<void(Result<bool>)> done) {
  const bool posted = surroundings_.door->Post([self = shared_from_this(), hold, done] {
    done(self->replica_ != nullptr && self->replica_->ReleaseWrites(hold));
  });
  if (!posted) done(false);
}

void HostVolume::ExportIscsi(IscsiExportConfig config, Done done) {
  RunCall<Status>(std::move(done), [this, config = std::move(config)](Done finish) {
    finish(iscsi_export_.Offer(config.target_name, [this, &config] {
      return surroundings_.iscsi->AddTarget(TargetConfigOf(config, unit_state_.get()), *device_,
                                            *surroundings_.loop);
    }));
  });
}

void HostVolume::SetIscsiAccess(iscsi::TargetAccess access, Done done) {
  RunCall<Status>(std::move(done), [this, access = std::move(access)](Done finish) {
    const std::optional<std::string> name = iscsi_export_.offered_as();
    if (!name) return finish({ErrorCode::kFailedPrecondition, "the volume has no iSCSI export"});
    finish(surroundings_.iscsi->SetAccess(*name, access));
  });
}

void HostVolume::ExportNbd(nbd::ExportConfig config, Done done) {
  RunCall<Status>(std::move(done), [this, config = std::move(config)](Done finish) {
    finish(nbd_export_.Offer(config.name, [this, &config] {
      return surroundings_.nbd->AddExport(config, *device_, *surroundings_.loop);
    }));
  });
}

void HostVolume::UnexportIscsi(Done done) {
  RunCall<Status>(std::move(done), [this](Done finish) {
    EndExport(iscsi_export_, &HostVolume::RemoveIscsi, std::move(finish));
  });
}

void HostVolume::UnexportNbd(Done done) {
  RunCall<Status>(std::move(done), [this](Done finish) {
    EndExport(nbd_export_, &HostVolume::RemoveNbd, std::move(finish));
  });
}

void HostVolume::EndExport(ExportSlot& slot, void (HostVolume::*remove)(const std::string& name),
                           Done done) {
  slot.End([this, remove](const std::string& name) { (this->*remove)(name); }, std::move(done));
}

// The servers call back on their own loop; the slot belongs to this volume's.
void HostVolume::RemoveIscsi(const std::string& name) {
  surroundings_.iscsi->RemoveTarget(name, [self = shared_from_this()](Status status) {
    EventLoop* loop = self->surroundings_.loop;
    loop->Post([self, status = std::move(status)] { self->iscsi_export_.Ended(status); });
  });
}

void HostVolume::RemoveNbd(const std::string& name) {
  surroundings_.nbd->RemoveExport(name, [self = shared_from_this()](Status status) {
    EventLoop* loop = self->surroundings_.loop;
    loop->Post([self, status = std::move(status)] { self->nbd_export_.Ended(status); });
  });
}

void HostVolume::Close(Done done) {
  const bool posted = surroundings_.door->Post([self = shared_from_this(), done] {
    if (self->state_ == State::kClosed) return done(Status::Ok());
    self->close_waiting_.push_back(done);
    if (self->state_ == State::kOpen) self->StartClosing();
  });
  if (!posted) done(Status::Ok());
}

void HostVolume::StartClosing() {
  state_ = State::kClosing;
  if (replica_ != nullptr) replica_->BeginClose();
  // What an export answers as it ends does not matter here: the frontend has let go of the device
  // either way. One call more keeps the device open until both have been asked.
  calls_inside_ += 3;
  const Done ended = [self = shared_from_this()](const Status&) { self->CallLeft(); };
  EndExport(iscsi_export_, &HostVolume::RemoveIscsi, ended);
  EndExport(nbd_export_, &HostVolume::RemoveNbd, ended);
  CallLeft();
}

void HostVolume::CloseDevice() {
  if (replica_ == nullptr) return FinishClosing(Status::Ok());
  replica_->Close([self = shared_from_this()](Status status) {
    // Not from inside a method of the device that is about to go.
    EventLoop* loop = self->surroundings_.loop;
    loop->Post([self, status = std::move(status)] { self->FinishClosing(status); });
  });
}

void HostVolume::FinishClosing(const Status& status) {
  CHECK(state_ == State::kClosing);
  replica_ = nullptr;
  device_.reset();
  // With its descriptor of the directory: whoever holds a closed volume may hold it for long.
  unit_state_.reset();
  state_ = State::kClosed;
  for (const Done& done : std::exchange(close_waiting_, {})) done(status);
  surroundings_.closed();
}

}  // namespace aurochs
