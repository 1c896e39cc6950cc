// What a host does to a disk beside open volumes: create, remove, check and probe. The replicas of
// a disk are the directories below `<disk>/replicas`.
//
// Thread: any; every function blocks on the disk.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/status.h"
#include "io/directory.h"
#include "replica/fsck.h"
#include "replica/replica_device.h"

namespace aurochs {

// Whether `name` can be a replica's directory: one path component of at most 255 bytes.
Status CheckReplicaName(const std::string& name);

// kNotFound if the disk, or a replica of that name, is not there.
Result<std::unique_ptr<Directory>> OpenReplicaDirectory(const std::string& disk_path,
                                                        const std::string& name);

// Makes `<disk>/replicas` too, durably, when it is not there yet.
Status CreateReplicaOnDisk(const std::string& disk_path, const std::string& name,
                           const ReplicaCreateOptions& options);
Status RemoveReplicaFromDisk(const std::string& disk_path, const std::string& name);
Result<std::vector<FsckFinding>> FsckReplicaOnDisk(const std::string& disk_path,
                                                   const std::string& name);

}  // namespace aurochs
