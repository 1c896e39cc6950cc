#include "replica/small_file.h"

namespace aurochs {
namespace {

Status WriteNewFile(Directory& directory, std::string_view name, std::span<const std::byte> bytes) {
  // What an interrupted replacement left is ours to overwrite.
  if (Status removed = directory.Remove(name);
      !removed.ok() && removed.code() != ErrorCode::kNotFound) {
    return removed;
  }
  auto file = directory.OpenFile(name, OpenMode::kCreate);
  if (!file.ok()) return file.status();
  RETURN_IF_ERROR((*file)->WriteAt(bytes, 0));
  return (*file)->SyncData();
}

}  // namespace

std::string ReplacementName(std::string_view name) {
  return std::string(name) + ".new";
}

StoreOutcome ReplaceFile(Directory& directory, std::string_view name,
                         std::span<const std::byte> bytes, Status* status) {
  const std::string replacement = ReplacementName(name);
  *status = WriteNewFile(directory, replacement, bytes);
  if (status->ok()) *status = directory.Rename(replacement, name);
  if (!status->ok()) {
    (void)directory.Remove(replacement);  // Else the next open removes it.
    return StoreOutcome::kUnchanged;
  }
  *status = directory.Sync();
  return status->ok() ? StoreOutcome::kStored : StoreOutcome::kUnknown;
}

Result<std::vector<std::byte>> LoadSmallFile(Directory& directory, std::string_view name,
                                             uint64_t bytes_max) {
  const std::string path = directory.path() + "/" + std::string(name);
  auto file = directory.OpenFile(name, OpenMode::kReadOnly);
  if (!file.ok()) return file.status();
  auto size = (*file)->SizeBytes();
  if (!size.ok()) return size.status().WithContext(path);
  if (*size > bytes_max) {
    return Status(ErrorCode::kCorruption,
                  path + ": larger than " + std::to_string(bytes_max) + " bytes");
  }
  std::vector<std::byte> bytes(*size);
  Status read = (*file)->ReadAt(bytes, 0);
  if (!read.ok()) return read.WithContext(path);
  return bytes;
}

}  // namespace aurochs
