#include "host/native_host.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "base/check.h"
#include "base/limits.h"
#include "base/log.h"
#include "block/memory_device.h"
#include "block/null_device.h"
#include "host/disk_jobs.h"
#include "host/memory_lock.h"

namespace aurochs {
namespace {

Status Closed() {
  return {ErrorCode::kUnavailable, "the host is closed"};
}

HostSession SessionOf(const iscsi::SessionInfo& info) {
  return {Frontend::kIscsi, info.target, info.initiator, info.address};
}

HostSession SessionOf(const nbd::ConnectionInfo& info) {
  return {Frontend::kNbd, info.export_name, "", info.address};
}

// RFC 7143, 9.2.1: no less than 96 bits.
Status CheckChap(const std::optional<iscsi::ChapCredentials>& chap) {
  if (!chap.has_value()) return Status::Ok();
  if (chap->user.empty()) return {ErrorCode::kInvalidArgument, "CHAP needs a user"};
  if (chap->secret.size() < kChapSecretBytesMin || chap->secret.size() > kChapSecretBytesMax) {
    return {ErrorCode::kInvalidArgument, "a CHAP secret has 12 to 256 bytes"};
  }
  return Status::Ok();
}

Status CheckTestVolumeBytes(uint64_t size_bytes) {
  if (size_bytes < kVolumeBytesMin || size_bytes > kVolumeBytesMax) {
    return {ErrorCode::kOutOfRange, "a volume has 1 MiB to 64 TiB"};
  }
  if (!IsAligned(size_bytes, kBlockBytes)) {
    return {ErrorCode::kInvalidArgument, "the size of a volume is a multiple of 4096 bytes"};
  }
  return Status::Ok();
}

// Prepares the process for a machine that is short of memory, and says what is missing for it.
void PrepareForMemoryPressure(bool lock_memory) {
  const Status flusher = NativeThread::IoFlusherAvailable();
  if (!flusher.ok()) {
    Log(LogLevel::kInfo, "host",
        "the threads of the data path are no I/O flushers: " + flusher.message());
  }
  if (!lock_memory) return;
  const Status locked = LockProgram();
  if (!locked.ok()) Log(LogLevel::kWarn, "host", locked.message());
}

}  // namespace

Result<std::unique_ptr<NativeHost>> NativeHost::Create(const HostOptions& options,
                                                       EventSink events) {
  if (options.loops == 0 || options.loops > kHostLoopsMax) {
    return Status(ErrorCode::kInvalidArgument,
                  "a host has 1 to " + std::to_string(kHostLoopsMax) + " loops");
  }
  auto loops = LoopSet::Start(options.loops, options.backend);
  if (!loops.ok()) return loops.status();
  std::unique_ptr<NativeHost> host(new NativeHost(std::move(loops).value(), std::move(events)));
  PrepareForMemoryPressure(options.lock_memory);
  return host;
}

NativeHost::NativeHost(std::unique_ptr<LoopSet> loops, EventSink events)
    : events_(std::move(events)),
      backend_(loops->control().backend()),
      log_(events_),
      loops_(std::move(loops)) {
  const auto tell = [this](bool opened) {
    return [this, opened](const auto& info) { events_(SessionEvent{opened, SessionOf(info)}); };
  };
  iscsi_ = iscsi::Server::Create(loops_->control(), {tell(true), tell(false)});
  nbd_ = nbd::Server::Create(loops_->control(), {tell(true), tell(false)});
}

NativeHost::~NativeHost() {
  std::mutex mutex;
  std::condition_variable closed;
  bool is_closed = false;
  Close([&](const Status&) {
    std::lock_guard lock(mutex);
    is_closed = true;
    closed.notify_one();
  });
  std::unique_lock lock(mutex);
  closed.wait(lock, [&] { return is_closed; });
  // What belongs to a loop goes while the loop is there.
  loops_->RunOnControl([this] {
    iscsi_.reset();
    nbd_.reset();
  });
}

// Runs `work` on a worker thread, which may block, and `done` on the control loop.
template <typename Outcome>
void NativeHost::RunJob(std::function<Outcome()> work, std::function<void(Outcome)> done) {
  loops_->control().Post(
      [this, work = std::move(work), done = std::move(done)] { RunJobNow<Outcome>(work, done); });
}

// The same, on the control loop.
template <typename Outcome>
void NativeHost::RunJobNow(std::function<Outcome()> work, std::function<void(Outcome)> done) {
  if (state_ != State::kOpen) return done(Closed());
  StartJob();
  auto outcome = std::make_shared<std::optional<Outcome>>();
  loops_->control().RunBlocking([work = std::move(work), outcome] { outcome->emplace(work()); },
                                [this, outcome, done = std::move(done)] {
                                  done(std::move(**outcome));
                                  JobLeft();
                                });
}

void NativeHost::StartJob() {
  ++jobs_;
}

void NativeHost::JobLeft() {
  CHECK(jobs_ > 0);
  --jobs_;
  if (state_ == State::kEndingJobs && jobs_ == 0) CloseServers();
}

void NativeHost::ListenIscsi(std::string portal, AddressDone done) {
  RunJob<Result<std::string>>([this, portal = std::move(portal)] { return iscsi_->Listen(portal); },
                              std::move(done));
}

void NativeHost::ListenNbd(std::string address, std::optional<nbd::TlsConfig> tls,
                           AddressDone done) {
  RunJob<Result<std::string>>([this, address = std::move(address),
                               tls = std::move(tls)] { return nbd_->Listen(address, tls); },
                              std::move(done));
}

void NativeHost::SetDiscoveryAuth(std::optional<iscsi::ChapCredentials> chap,
                                  std::optional<iscsi::ChapCredentials> mutual, Done done) {
  loops_->control().Post(
      [this, chap = std::move(chap), mutual = std::move(mutual), done = std::move(done)] {
        if (state_ != State::kOpen) return done(Closed());
        if (mutual.has_value() && !chap.has_value()) {
          return done({ErrorCode::kInvalidArgument, "mutual CHAP needs one-way CHAP as well"});
        }
        for (const auto* credentials : {&chap, &mutual}) {
          const Status checked = CheckChap(*credentials);
          if (!checked.ok()) return done(checked);
        }
        iscsi_->SetDiscoveryAuth(chap, mutual);
        done(Status::Ok());
      });
}

void NativeHost::CreateReplica(std::string disk_path, std::string name,
                               ReplicaCreateOptions options, Done done) {
  RunJob<Status>([this, disk_path = std::move(disk_path), name = std::move(name),
                  options = std::move(
                      options)] { return CreateReplicaOnDisk(disk_path, name, options, sweeper_); },
                 std::move(done));
}

void NativeHost::RemoveReplica(std::string disk_path, std::string name, Done done) {
  RunJob<Status>(
      [this, disk_path = std::move(disk_path), name = std::move(name)] {
        return RemoveReplicaFromDisk(disk_path, name, sweeper_);
      },
      std::move(done));
}

void NativeHost::FsckReplica(std::string disk_path, std::string name,
                             std::function<void(Result<std::vector<FsckFinding>>)> done) {
  RunJob<Result<std::vector<FsckFinding>>>(
      [disk_path = std::move(disk_path), name = std::move(name)] {
        return FsckReplicaOnDisk(disk_path, name);
      },
      std::move(done));
}

// Two probes at once would see each other's files.
void NativeHost::ProbeDisk(std::string path, ProbeDone done) {
  loops_->control().Post([this, path = std::move(path), done = std::move(done)] {
    auto& waiting = probes_[path];
    waiting.push_back(done);
    if (waiting.size() > 1) return;
    RunJobNow<Result<DiskProbe>>(
        [this, path] {
          sweeper_.Sweep(path);
          return ::aurochs::ProbeDisk(path);
        },
        [this, path](const Result<DiskProbe>& probe) {
          const auto ended = probes_.extract(path);
          for (const ProbeDone& one : ended.mapped()) one(probe);
        });
  });
}

void NativeHost::ConnectKernelNbd(nbd::KernelClientOptions options,
                                  std::function<void(Result<uint32_t>)> done) {
  RunJob<Result<uint32_t>>(
      [options = std::move(options)] { return nbd::ConnectKernelDevice(options); },
      std::move(done));
}

void NativeHost::ReconnectKernelNbd(uint32_t index, nbd::KernelClientOptions options, Done done) {
  RunJob<Status>(
      [this, index, options = std::move(options)] { return ReconnectKernelNbdNow(index, options); },
      std::move(done));
}

Status NativeHost::ReconnectKernelNbdNow(uint32_t index, const nbd::KernelClientOptions& options) {
  const auto connections = nbd_->Connections();
  const bool is_connected = std::ranges::any_of(connections, [&](const nbd::ConnectionInfo& info) {
    return info.export_name == options.export_name;
  });
  const auto taken = nbd::ReconnectKernelDevice(index, options);
  if (!taken.ok()) return taken.status();
  if (*taken > 0 || is_connected) return Status::Ok();
  return {ErrorCode::kBusy, "the kernel has not noticed yet that the connections of /dev/nbd" +
                                std::to_string(index) + " are dead; try again"};
}

void NativeHost::ResizeKernelNbd(uint32_t index, uint64_t size_bytes, std::string identifier,
                                 Done done) {
  RunJob<Status>(
      [index, size_bytes, identifier = std::move(identifier)] {
        return nbd::ResizeKernelDevice(index, size_bytes, identifier);
      },
      std::move(done));
}

void NativeHost::DisconnectKernelNbd(uint32_t index, Done done) {
  RunJob<Status>([index] { return nbd::DisconnectKernelDevice(index); }, std::move(done));
}

Status NativeHost::CheckRoomForVolume() const {
  if (volumes_.size() < kHostVolumesMax) return Status::Ok();
  return {ErrorCode::kLimitExceeded,
          std::to_string(kHostVolumesMax) + " volumes are open, and no more can be"};
}

HostVolume::Surroundings NativeHost::SurroundingsFor(LoopSet::Member& member, uint64_t id) {
  HostVolume::Surroundings surroundings;
  surroundings.door = member.door;
  surroundings.loop = &member.thread->loop();
  surroundings.iscsi = iscsi_.get();
  surroundings.nbd = nbd_.get();
  surroundings.sweeper = &sweeper_;
  surroundings.copy_slots = &copy_slots_;
  surroundings.copy_space = &copy_space_;
  surroundings.events = events_;
  surroundings.closed = [this, &member, id] {
    loops_->control().Post([this, &member, id] { VolumeClosed(id, member); });
  };
  return surroundings;
}

void NativeHost::OpenVolume(std::string disk_path, std::string name, uint64_t epoch,
                            VolumeDone done) {
  using Opened = Result<ReplicaDirectories>;
  RunJob<Opened>([disk_path = std::move(disk_path),
                  name = std::move(name)] { return OpenReplicaDirectories(disk_path, name); },
                 [this, epoch, done = std::move(done)](Opened directories) {
                   if (!directories.ok()) return done(directories.status());
                   const Status room = CheckRoomForVolume();
                   if (!room.ok()) return done(room);
                   const uint64_t id = next_volume_id_++;
                   LoopSet::Member& member = loops_->Assign();
                   volumes_.emplace(id, nullptr);
                   StartJob();
                   OpenReplicaOn(member, id, std::move(directories).value(), epoch, done);
                 });
}

// Opens on the volume's loop and comes back to the control loop.
void NativeHost::OpenReplicaOn(LoopSet::Member& member, uint64_t id, ReplicaDirectories directories,
                               uint64_t epoch, VolumeDone done) {
  auto opened = [this, &member, id,
                 done = std::move(done)](Result<std::shared_ptr<HostVolume>> volume) {
    loops_->control().Post([this, &member, id, done, volume = std::move(volume)] {
      if (!volume.ok()) loops_->Release(member);
      VolumeOpened(id, volume, done);
    });
  };
  // std::function copies what it holds.
  auto shared = std::make_shared<ReplicaDirectories>(std::move(directories));
  member.thread->loop().Post([this, &member, id, shared, epoch, opened = std::move(opened)] {
    HostVolume::Open(SurroundingsFor(member, id), std::move(*shared), epoch, opened);
  });
}

void NativeHost::OpenTestVolume(TestDevice kind, uint64_t size_bytes, VolumeDone done) {
  loops_->control().Post([this, kind, size_bytes, done = std::move(done)] {
    if (state_ != State::kOpen) return done(Closed());
    Status checked = CheckTestVolumeBytes(size_bytes);
    if (checked.ok()) checked = CheckRoomForVolume();
    if (!checked.ok()) return done(checked);
    const uint64_t id = next_volume_id_++;
    LoopSet::Member& member = loops_->Assign();
    volumes_.emplace(id, nullptr);
    StartJob();
    member.thread->loop().Post([this, &member, id, kind, size_bytes, done] {
      const DeviceInfo info{.size_bytes = size_bytes};
      std::unique_ptr<BlockDevice> device;
      if (kind == TestDevice::kNull) device = std::make_unique<NullDevice>(info);
      if (kind == TestDevice::kMemory) device = std::make_unique<MemoryDevice>(info);
      auto volume = std::make_shared<HostVolume>(SurroundingsFor(member, id), std::move(device));
      loops_->control().Post([this, id, volume, done] { VolumeOpened(id, volume, done); });
    });
  });
}

void NativeHost::VolumeOpened(uint64_t id, Result<std::shared_ptr<HostVolume>> volume,
                              const VolumeDone& done) {
  if (volume.ok()) {
    volumes_[id] = *volume;
  } else {
    volumes_.erase(id);
  }
  done(std::move(volume));
  JobLeft();
}

void NativeHost::VolumeClosed(uint64_t id, LoopSet::Member& member) {
  volumes_.erase(id);
  loops_->Release(member);
  if (state_ == State::kClosingVolumes && volumes_.empty()) FinishClosing();
}

std::vector<HostSession> NativeHost::Sessions() const {
  std::vector<HostSession> sessions;
  for (const auto& info : iscsi_->Sessions()) sessions.push_back(SessionOf(info));
  for (const auto& info : nbd_->Connections()) sessions.push_back(SessionOf(info));
  return sessions;
}

void NativeHost::Ping(Done done) {
  loops_->control().Post([this, done = std::move(done)] {
    if (state_ != State::kOpen) return done(Closed());
    StartJob();
    auto unanswered = std::make_shared<size_t>(loops_->members().size());  // of the control loop
    for (const LoopSet::Member& member : loops_->members()) {
      member.thread->loop().Post([this, unanswered, done] {
        loops_->control().Post([this, unanswered, done] {
          if (--*unanswered > 0) return;
          done(Status::Ok());
          JobLeft();
        });
      });
    }
  });
}

void NativeHost::Close(Done done) {
  loops_->control().Post([this, done = std::move(done)] {
    if (state_ == State::kClosed) return done(Status::Ok());
    close_waiting_.push_back(done);
    if (state_ != State::kOpen) return;
    state_ = State::kEndingJobs;
    if (jobs_ == 0) CloseServers();
  });
}

// The servers go before the volumes, so that no initiator finds the portal open and its volume
// gone.
void NativeHost::CloseServers() {
  state_ = State::kClosingServers;
  servers_to_close_ = 2;
  const Done closed = [this](const Status&) {
    loops_->control().Post([this] {
      if (--servers_to_close_ == 0) CloseVolumes();
    });
  };
  iscsi_->Close(closed);
  nbd_->Close(closed);
}

void NativeHost::CloseVolumes() {
  state_ = State::kClosingVolumes;
  if (volumes_.empty()) return FinishClosing();
  for (const auto& [id, volume] : volumes_) {
    volume->Close([this](const Status& status) {
      loops_->control().Post([this, status] {
        if (close_status_.ok()) close_status_ = status;
      });
    });
  }
}

void NativeHost::FinishClosing() {
  state_ = State::kClosed;
  for (const Done& done : std::exchange(close_waiting_, {})) done(close_status_);
}

}  // namespace aurochs
