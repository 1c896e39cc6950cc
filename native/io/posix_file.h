// Files of the real file system. Private to io/; others open them through a Directory.
#pragma once

#include <memory>
#include <string>

#include "base/unique_fd.h"
#include "io/file.h"

namespace aurochs {

// `path` is for messages.
std::unique_ptr<File> MakePosixFile(UniqueFd fd, std::string path);

}  // namespace aurochs
