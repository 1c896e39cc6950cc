#include "host/unit_state_file.h"

#include <string>
#include <utility>

#include "base/limits.h"
#include "replica/replica_meta.h"
#include "replica/small_file.h"

namespace aurochs {

Result<std::unique_ptr<UnitStateFile>> UnitStateFile::Load(EventLoop& loop,
                                                           std::unique_ptr<Directory> directory) {
  auto bytes = LoadSmallFile(*directory, kUnitStateFile, kUnitStateBytesMax);
  if (bytes.status().code() == ErrorCode::kNotFound) bytes = std::vector<std::byte>();
  if (!bytes.ok()) return bytes.status();
  const auto state = scsi::DecodeUnitState(*bytes);
  if (!state.ok()) {
    return state.status().WithContext(directory->path() + "/" + std::string(kUnitStateFile));
  }
  return std::unique_ptr<UnitStateFile>(
      new UnitStateFile(loop, std::move(directory), std::move(bytes).value()));
}

void UnitStateFile::Save(std::vector<std::byte> bytes, std::function<void(Status)> done) {
  struct Job {
    std::vector<std::byte> bytes;
    Status status;
  };
  const auto job = std::make_shared<Job>(Job{std::move(bytes), {}});
  loop_.RunBlocking(
      [this, job] { (void)ReplaceFile(*directory_, kUnitStateFile, job->bytes, &job->status); },
      [this, job, done = std::move(done)] {
        if (job->status.ok()) saved_ = std::move(job->bytes);
        done(job->status);
      });
}

}  // namespace aurochs
