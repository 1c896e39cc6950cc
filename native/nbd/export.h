// One device offered under a name, and its connections.
//
// Thread:    named per method; connections live on the device's loop.
// Ownership: shared by the server's catalog, by handshakes that have found it and by posted work;
//            ends after Close, on any thread. Does not own the device or the loop, which it uses
//            no more once Close has called back.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>

#include "block/block_device.h"
#include "io/event_loop.h"
#include "nbd/connection.h"
#include "nbd/export_catalog.h"
#include "nbd/negotiation.h"
#include "nbd/server.h"

namespace aurochs::nbd {

class Export : public std::enable_shared_from_this<Export> {
 public:
  Export(ExportConfig config, BlockDevice& device, EventLoop& loop,
         std::shared_ptr<const Server::Events> events);
  ~Export();

  // Any thread.
  const std::string& name() const { return config_.name; }
  ExportDescription Describe();

  // Once, before anything else; on the thread of Server::AddExport.
  void Open();
  // Any thread. Passes the connection to the device's loop, or drops it if the export is closed.
  void Offer(std::unique_ptr<Handover> handover);
  // Any thread; once. Ends the connections as Connection::Drain does, then calls back on the
  // device's loop.
  void Close(std::function<void()> done);

 private:
  void Adopt(std::unique_ptr<Handover> handover);
  void CloseOnLoop(std::function<void()> done);
  void OnConnectionClosed(uint64_t id, const ConnectionInfo& info);
  void FinishClose();

  const ExportConfig config_;
  BlockDevice& device_;
  EventLoop& loop_;
  const std::shared_ptr<const Server::Events> events_;

  std::mutex mutex_;
  DeviceInfo info_;  // Guarded by mutex_. A copy for other threads, as is the next.
  std::shared_ptr<const SnapshotNames> snapshots_;
  bool is_open_ = true;  // Guarded by mutex_. While true, loop_ may be posted to.

  // On the device's loop.
  uint64_t info_observer_ = 0;
  uint64_t next_connection_ = 1;
  std::unordered_map<uint64_t, std::unique_ptr<Connection>> connections_;
  std::function<void()> closed_;
  std::shared_ptr<Export> self_;  // while closing: the connections use this
};

}  // namespace aurochs::nbd
