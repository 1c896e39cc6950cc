#include "replica/disk_probe.h"

#include <sys/vfs.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <vector>

#include "base/units.h"
#include "replica/replica_create.h"

namespace aurochs {
namespace {

constexpr std::string_view kProbeFile = ".aurochs-probe";
constexpr std::string_view kRenamedFile = ".aurochs-probe-renamed";
constexpr uint64_t kProbeFileBytes = 64 * kKiB;

struct Magic {
  uint32_t value;  // statfs(2), f_type
  const char* name;
};
constexpr std::array kFileSystems{
    Magic{0xef53, "ext4"},      Magic{0x58465342, "xfs"},     Magic{0x9123683e, "btrfs"},
    Magic{0x01021994, "tmpfs"}, Magic{0x794c7630, "overlay"}, Magic{0x6969, "nfs"},
    Magic{0xf2f52010, "f2fs"},  Magic{0x2fc12fc1, "zfs"},     Magic{0xca451a4e, "bcachefs"},
    Magic{0x65735546, "fuse"},  Magic{0x5346544e, "ntfs"},    Magic{0x4d44, "vfat"},
    Magic{0x2011bab0, "exfat"}, Magic{0xff534d42, "cifs"},    Magic{0x01021997, "9p"},
};

std::string FileSystemName(uint32_t type) {
  for (const Magic& magic : kFileSystems) {
    if (magic.value == type) return magic.name;
  }
  char hex[16];
  std::snprintf(hex, sizeof hex, "0x%x", type);
  return hex;
}

Status Unsupported(std::string what) {
  return {ErrorCode::kUnsupported, std::move(what)};
}

// Removes the probe's files however it ends.
class ProbeFilesGuard {
 public:
  explicit ProbeFilesGuard(Directory& directory) : directory_(directory) { RemoveAll(); }
  ~ProbeFilesGuard() { RemoveAll(); }

 private:
  void RemoveAll() {
    (void)directory_.Remove(kProbeFile);
    (void)directory_.Remove(kRenamedFile);
  }
  Directory& directory_;
};

// Checks that the file holds exactly the given blocks.
Status ExpectBlocks(File& file, const std::vector<uint64_t>& blocks, const char* when) {
  uint64_t at = 0;
  for (uint64_t block : blocks) {
    auto range = file.NextData(at, kProbeFileBytes);
    if (!range.ok()) return range.status();
    const uint64_t start = block * kBlockBytes;
    if (!range->has_value() || (*range)->offset_bytes != start ||
        (*range)->length_bytes != kBlockBytes) {
      return Unsupported(std::string("it does not tell data from holes of 4 KiB ") + when);
    }
    at = start + kBlockBytes;
  }
  auto rest = file.NextData(at, kProbeFileBytes);
  if (!rest.ok()) return rest.status();
  if (!rest->has_value()) return Status::Ok();
  return Unsupported(std::string("it does not tell holes of 4 KiB from data ") + when);
}

Status ProbeHoles(File& file) {
  const std::vector<std::byte> block(kBlockBytes, std::byte{0x5a});
  RETURN_IF_ERROR(file.Truncate(kProbeFileBytes));
  RETURN_IF_ERROR(file.WriteAt(block, 1 * kBlockBytes));
  RETURN_IF_ERROR(file.WriteAt(block, 3 * kBlockBytes));
  RETURN_IF_ERROR(ExpectBlocks(file, {1, 3}, "right after a write"));
  RETURN_IF_ERROR(file.SyncData().WithContext("fdatasync"));
  RETURN_IF_ERROR(ExpectBlocks(file, {1, 3}, "after a sync"));
  const Status punched = file.PunchHole(1 * kBlockBytes, kBlockBytes);
  if (punched.code() == ErrorCode::kUnsupported || punched.code() == ErrorCode::kInvalidArgument) {
    return Unsupported("it cannot punch holes into files");
  }
  RETURN_IF_ERROR(punched);
  RETURN_IF_ERROR(ExpectBlocks(file, {3}, "after a hole was punched"));
  RETURN_IF_ERROR(file.SyncData().WithContext("fdatasync"));
  return ExpectBlocks(file, {3}, "after a punched hole was synced");
}

Status ProbeRename(Directory& directory) {
  RETURN_IF_ERROR(directory.Rename(kProbeFile, kRenamedFile));
  RETURN_IF_ERROR(directory.Sync().WithContext("fsync of a directory"));
  // Metadata is replaced by renaming over a name that is taken.
  auto second = directory.OpenFile(kProbeFile, OpenMode::kCreate);
  if (!second.ok()) return second.status();
  second->reset();
  RETURN_IF_ERROR(directory.Rename(kProbeFile, kRenamedFile));
  auto replaced = directory.OpenFile(kRenamedFile, OpenMode::kReadOnly);
  if (!replaced.ok()) return replaced.status();
  auto size = (*replaced)->SizeBytes();
  if (!size.ok()) return size.status();
  return *size == 0 ? Status::Ok() : Unsupported("a rename does not replace the file it names");
}

}  // namespace

Status ProbeFiles(Directory& directory, bool* can_share_extents) {
  ProbeFilesGuard guard(directory);
  {
    auto file = directory.OpenFile(kProbeFile, OpenMode::kCreate);
    if (!file.ok()) return file.status();
    RETURN_IF_ERROR(ProbeHoles(**file));
    auto clone = directory.OpenFile(kRenamedFile, OpenMode::kCreate);
    if (!clone.ok()) return clone.status();
    *can_share_extents = (*clone)->Truncate(kProbeFileBytes).ok() &&
                         (*clone)->CloneRangeFrom(**file, 3 * kBlockBytes, kBlockBytes).ok() &&
                         ExpectBlocks(**clone, {3}, "").ok();
  }
  RETURN_IF_ERROR(directory.Remove(kRenamedFile));
  return ProbeRename(directory);
}

Result<DiskProbe> ProbeDisk(const std::string& path) {
  auto directory = OpenPosixDirectory(path);
  if (!directory.ok()) return directory.status();
  struct statfs facts {};
  if (::statfs(path.c_str(), &facts) != 0) return Status::FromErrno(errno, "statfs of " + path);

  DiskProbe probe;
  probe.file_system = FileSystemName(static_cast<uint32_t>(facts.f_type));
  const auto unit_bytes =
      static_cast<uint64_t>(facts.f_frsize > 0 ? facts.f_frsize : facts.f_bsize);
  probe.total_bytes = facts.f_blocks * unit_bytes;
  probe.free_bytes = facts.f_bavail * unit_bytes;
  const std::string where = path + " (" + probe.file_system + ")";
  if (static_cast<uint64_t>(facts.f_bsize) < kBlockBytes) {
    return Unsupported(where + ": its blocks of " + std::to_string(facts.f_bsize) +
                       " bytes let a power cut tear a block of 4096; make the file system with "
                       "blocks of 4096");
  }
  Status tried = ProbeFiles(**directory, &probe.can_share_extents);
  if (!tried.ok()) return tried.WithContext(where);
  auto largest = LargestFileBytes(**directory);
  if (!largest.ok()) return largest.status().WithContext(where);
  probe.file_bytes_max = *largest;
  return probe;
}

}  // namespace aurochs
