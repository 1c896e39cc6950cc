#include "nbd/export.h"

#include <utility>

#include "base/check.h"

namespace aurochs::nbd {

Export::Export(ExportConfig config, BlockDevice& device, EventLoop& loop,
               std::shared_ptr<const Server::Events> events)
    : config_(std::move(config)),
      device_(device),
      loop_(loop),
      events_(std::move(events)),
      info_(device.info()),
      snapshots_(device.snapshots()) {}

Export::~Export() {
  CHECK(connections_.empty());
}

ExportDescription Export::Describe() {
  std::lock_guard lock(mutex_);
  return {.name = config_.name,
          .description = config_.description,
          .read_only = config_.read_only,
          .info = info_,
          .snapshots = snapshots_,
          .target = shared_from_this()};
}

void Export::Open() {
  loop_.Post([self = shared_from_this()] {
    const auto update = [raw = self.get()](const DeviceInfo& info) {
      std::lock_guard lock(raw->mutex_);
      raw->info_ = info;
      raw->snapshots_ = raw->device_.snapshots();
    };
    self->info_observer_ = self->device_.AddInfoObserver(update);
    update(self->device_.info());
  });
}

void Export::Offer(std::unique_ptr<Handover> handover) {
  // Posting under the lock puts every handover before the work that Close posts, so that the loop
  // is not touched after it.
  std::lock_guard lock(mutex_);
  if (!is_open_) return;
  loop_.Post([self = shared_from_this(),
              shared = std::make_shared<std::unique_ptr<Handover>>(std::move(handover))] {
    self->Adopt(std::move(*shared));
  });
}

void Export::Close(std::function<void()> done) {
  std::lock_guard lock(mutex_);
  CHECK(is_open_);
  is_open_ = false;
  loop_.Post([self = shared_from_this(), done = std::move(done)] { self->CloseOnLoop(done); });
}

void Export::Adopt(std::unique_ptr<Handover> handover) {
  const uint64_t id = next_connection_++;
  const ConnectionInfo info{.export_name = config_.name, .address = handover->ticket.address()};
  handover->ticket.List(config_.name);
  connections_[id] = std::make_unique<Connection>(
      loop_, device_, std::move(handover), [this, id, info] { OnConnectionClosed(id, info); });
  if (events_->connection_opened) events_->connection_opened(info);
}

void Export::CloseOnLoop(std::function<void()> done) {
  closed_ = std::move(done);
  self_ = shared_from_this();
  for (const auto& [id, connection] : connections_) connection->Drain();
  if (connections_.empty()) FinishClose();
}

void Export::OnConnectionClosed(uint64_t id, const ConnectionInfo& info) {
  connections_.erase(id);
  if (events_->connection_closed) events_->connection_closed(info);
  if (closed_ && connections_.empty()) FinishClose();
}

void Export::FinishClose() {
  device_.RemoveInfoObserver(info_observer_);
  // By a task of its own: the caller may be a handler of a connection that has just ended, and
  // whoever is called back may end the device.
  loop_.Post([done = std::exchange(closed_, nullptr), self = std::move(self_)] { done(); });
}

}  // namespace aurochs::nbd
