#include "io/uring_setup.h"

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <string>

#include "io/event_loop.h"

namespace aurochs {
namespace {

constexpr unsigned kBasicFlags = IORING_SETUP_R_DISABLED | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
// From the newest kernels' to the oldest's; a kernel answers EINVAL to a flag that it does not
// know.
constexpr unsigned kFlagChoices[] = {
    kBasicFlags | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
    kBasicFlags | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN,
    kBasicFlags,
};
constexpr unsigned kNeededFeatures =
    IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_EXT_ARG;
constexpr int kNeededOpcodes[] = {IORING_OP_READ, IORING_OP_READV, IORING_OP_POLL_ADD,
                                  IORING_OP_ASYNC_CANCEL};

std::string WhyRefused(int error_number) {
  if (error_number == ENOSYS) return "the kernel has none, or a seccomp filter hides it";
  if (error_number == ENOMEM) return "not enough memory may be locked (ulimit -l)";
  if (error_number != EPERM && error_number != EACCES) return "";
  std::ifstream file("/proc/sys/kernel/io_uring_disabled");
  std::string value;
  if (file >> value && value != "0") return "sysctl kernel.io_uring_disabled is " + value;
  return "a seccomp filter (a container's default profile) or a security module forbids it";
}

Status Refused(int error_number) {
  Status status = Status::FromErrno(error_number, "io_uring");
  const std::string why = WhyRefused(error_number);
  if (why.empty()) return status;
  return {status.code(), status.message() + ": " + why};
}

}  // namespace

Status SetUpRing(uint32_t entries, uint32_t completions, io_uring& ring) {
  int rc = -EINVAL;
  for (const unsigned flags : kFlagChoices) {
    io_uring_params params{};
    params.flags = flags;
    params.cq_entries = completions;
    rc = io_uring_queue_init_params(entries, &ring, &params);
    if (rc != -EINVAL) break;
  }
  return rc == 0 ? Status::Ok() : Refused(-rc);
}

Status ProbeIoUring() {
  io_uring ring;
  RETURN_IF_ERROR(SetUpRing(8, 16, ring));
  Status status;
  io_uring_probe* const probe = io_uring_get_probe_ring(&ring);
  if ((ring.features & kNeededFeatures) != kNeededFeatures || probe == nullptr) {
    status = {ErrorCode::kUnsupported, "io_uring: the kernel is too old (5.11 or newer is needed)"};
  } else {
    for (int opcode : kNeededOpcodes) {
      if (io_uring_opcode_supported(probe, opcode)) continue;
      status = {ErrorCode::kUnsupported,
                "io_uring: the kernel lacks operation " + std::to_string(opcode)};
    }
  }
  io_uring_free_probe(probe);
  io_uring_queue_exit(&ring);
  return status;
}

Status EventLoop::IoUringAvailable() {
  static const Status status = ProbeIoUring();  // What the kernel allows a process does not change.
  return status;
}

}  // namespace aurochs
