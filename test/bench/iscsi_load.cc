// An iSCSI client that tells latencies, which iscsi-perf and qemu-img do not. Random offsets, one
// session, one thread, the same library as iscsi-perf. Prints one line of JSON.
//
// iscsi-load read|write|verify BYTES DEPTH SECONDS URL
//
// A verify (BYTCHK 0) makes the server read and sends no data either way.
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void Fail(const char* what, iscsi_context* iscsi = nullptr) {
  std::fprintf(
      stderr, "iscsi-load: %s: %s\n", what,
      iscsi != nullptr ? iscsi_get_error(iscsi) : "read the usage at the top of its source");
  std::exit(1);
}

struct Load {
  iscsi_context* iscsi = nullptr;
  int lun = 0;
  std::string command;
  uint32_t bytes = 0;
  uint32_t block_bytes = 0;
  uint64_t places = 0;  // to choose from
  std::vector<unsigned char> data;
  std::mt19937_64 random{1};
  Clock::time_point end;
  uint32_t in_flight = 0;
  std::vector<double> latencies_us;
};

struct Slot {
  Load* load;
  Clock::time_point begun;
};

void Submit(Slot* slot);

void OnDone(iscsi_context* iscsi, int status, void* answered, void* private_data) {
  auto* const slot = static_cast<Slot*>(private_data);
  Load& load = *slot->load;
  if (status != SCSI_STATUS_GOOD) Fail("a command failed", iscsi);
  scsi_free_scsi_task(static_cast<scsi_task*>(answered));
  const Clock::time_point now = Clock::now();
  load.latencies_us.push_back(std::chrono::duration<double, std::micro>(now - slot->begun).count());
  --load.in_flight;
  if (now < load.end) Submit(slot);
}

void Submit(Slot* slot) {
  Load& load = *slot->load;
  const uint64_t lba = load.random() % load.places * (load.bytes / load.block_bytes);
  const int block = static_cast<int>(load.block_bytes);
  slot->begun = Clock::now();
  scsi_task* task = nullptr;
  if (load.command == "read") {
    task = iscsi_read16_task(load.iscsi, load.lun, lba, load.bytes, block, 0, 0, 0, 0, 0, OnDone,
                             slot);
  } else if (load.command == "write") {
    task = iscsi_write16_task(load.iscsi, load.lun, lba, load.data.data(), load.bytes, block, 0, 0,
                              0, 0, 0, OnDone, slot);
  } else {
    task = scsi_cdb_verify16(lba, load.bytes, 0, 0, 0, block);
    if (task != nullptr &&
        iscsi_scsi_command_async(load.iscsi, load.lun, task, OnDone, nullptr, slot) != 0) {
      task = nullptr;
    }
  }
  if (task == nullptr) Fail("send a command", load.iscsi);
  ++load.in_flight;
}

double Percentile(const std::vector<double>& sorted, double share) {
  return sorted[static_cast<size_t>(share * static_cast<double>(sorted.size() - 1))];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) Fail("five arguments are needed");
  iscsi_context* const iscsi = iscsi_create_context("iqn.2026-11.io.aurochs:iscsi-load");
  iscsi_url* const url = iscsi_parse_full_url(iscsi, argv[5]);
  if (url == nullptr) Fail("parse the URL", iscsi);
  iscsi_set_targetname(iscsi, url->target);
  iscsi_set_session_type(iscsi, ISCSI_SESSION_NORMAL);
  iscsi_set_noautoreconnect(iscsi, 1);
  if (iscsi_full_connect_sync(iscsi, url->portal, url->lun) != 0) Fail("connect", iscsi);
  scsi_task* const asked = iscsi_readcapacity16_sync(iscsi, url->lun);
  if (asked == nullptr || asked->status != SCSI_STATUS_GOOD) Fail("read the capacity", iscsi);
  const auto* capacity = static_cast<scsi_readcapacity16*>(scsi_datain_unmarshall(asked));
  if (capacity == nullptr) Fail("understand the capacity", iscsi);

  Load load;
  load.iscsi = iscsi;
  load.lun = url->lun;
  load.command = argv[1];
  load.bytes = static_cast<uint32_t>(std::atoi(argv[2]));
  load.block_bytes = capacity->block_length;
  load.places = (capacity->returned_lba + 1) * load.block_bytes / load.bytes;
  load.data.resize(load.bytes, 'w');
  const int seconds = std::atoi(argv[4]);
  const Clock::time_point begun = Clock::now();
  load.end = begun + std::chrono::seconds(seconds);
  std::vector<Slot> slots(static_cast<size_t>(std::atoi(argv[3])), Slot{&load, {}});
  for (Slot& slot : slots) Submit(&slot);
  while (load.in_flight > 0) {
    pollfd waited{iscsi_get_fd(iscsi), static_cast<short>(iscsi_which_events(iscsi)), 0};
    if (poll(&waited, 1, 1000) < 0) continue;
    if (iscsi_service(iscsi, waited.revents) < 0) Fail("serve the connection", iscsi);
  }
  const double took_seconds = std::chrono::duration<double>(Clock::now() - begun).count();
  iscsi_logout_sync(iscsi);

  std::sort(load.latencies_us.begin(), load.latencies_us.end());
  std::printf("{\"requests\": %zu, \"seconds\": %.3f, \"p50Us\": %.1f, \"p99Us\": %.1f}\n",
              load.latencies_us.size(), took_seconds, Percentile(load.latencies_us, 0.5),
              Percentile(load.latencies_us, 0.99));
  return 0;
}
