#include "nbd/connection_registry.h"

#include "base/limits.h"

namespace aurochs::nbd {

ConnectionRegistry::Ticket& ConnectionRegistry::Ticket::operator=(Ticket&& other) noexcept {
  std::swap(registry_, other.registry_);
  std::swap(id_, other.id_);
  std::swap(address_, other.address_);
  return *this;
}

ConnectionRegistry::Ticket::~Ticket() {
  if (registry_ != nullptr) registry_->Leave(id_);
}

void ConnectionRegistry::Ticket::List(const std::string& export_name) {
  std::lock_guard lock(registry_->mutex_);
  registry_->listed_[id_] = {.export_name = export_name, .address = address_};
}

ConnectionRegistry::Ticket ConnectionRegistry::Admit(std::string address) {
  std::lock_guard lock(mutex_);
  if (connections_ >= kConnectionsMax) return {};
  ++connections_;
  Ticket ticket;
  ticket.registry_ = shared_from_this();
  ticket.id_ = next_id_++;
  ticket.address_ = std::move(address);
  return ticket;
}

std::vector<ConnectionInfo> ConnectionRegistry::Listed() const {
  std::lock_guard lock(mutex_);
  std::vector<ConnectionInfo> all;
  all.reserve(listed_.size());
  for (const auto& [id, info] : listed_) all.push_back(info);
  return all;
}

void ConnectionRegistry::Leave(uint64_t id) {
  std::lock_guard lock(mutex_);
  CHECK(connections_ > 0);
  --connections_;
  listed_.erase(id);
}

}  // namespace aurochs::nbd
