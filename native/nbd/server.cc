#include "nbd/server.h"

#include <map>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "base/log.h"
#include "io/listener.h"
#include "nbd/connection_registry.h"
#include "nbd/export.h"
#include "nbd/export_catalog.h"
#include "nbd/negotiation.h"
#include "nbd/option_codec.h"
#include "nbd/tls.h"

namespace aurochs::nbd {
namespace {

class ServerImpl final : public Server, public ExportCatalog {
 public:
  ServerImpl(EventLoop& loop, Events events, uint32_t handshake_timeout_ms)
      : loop_(loop),
        events_(std::make_shared<const Events>(std::move(events))),
        handshake_timeout_ms_(handshake_timeout_ms) {}
  ~ServerImpl() override { CHECK(listeners_.empty() && negotiations_.empty() && exports_.empty()); }

  Result<std::string> Listen(const std::string& address, std::optional<TlsConfig> tls) override;
  Status AddExport(ExportConfig config, BlockDevice& device, EventLoop& device_loop) override;
  void RemoveExport(const std::string& name, Done done) override;
  std::vector<ConnectionInfo> Connections() const override { return registry_->Listed(); }
  void Close(Done done) override;

 private:
  // What a listener does with TLS.
  struct TlsPolicy {
    TlsMode mode = TlsMode::kOff;
    std::shared_ptr<const TlsContext> context;
  };

  std::optional<ExportDescription> Find(std::string_view name) const override;
  std::vector<ExportDescription> List() const override;

  // On loop_.
  void StartListener(ListeningSocket socket, const TlsPolicy& tls);
  void OnAccept(UniqueFd socket, std::string peer_address, const TlsPolicy& tls);
  void OnNegotiated(Negotiation& negotiation, std::unique_ptr<Handover> handover);
  void Remove(std::shared_ptr<Export> removed, Done done);
  void OnRemoved(const Done& done);
  void FinishClose();

  EventLoop& loop_;
  const std::shared_ptr<const Events> events_;
  const uint32_t handshake_timeout_ms_;
  const std::shared_ptr<ConnectionRegistry> registry_ = std::make_shared<ConnectionRegistry>();

  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Export>, std::less<>> exports_;  // Guarded by mutex_.
  bool is_open_ = true;                                                  // Guarded by mutex_.

  // On loop_.
  std::vector<std::unique_ptr<Listener>> listeners_;
  std::unordered_map<Negotiation*, std::unique_ptr<Negotiation>> negotiations_;
  uint64_t removals_ = 0;  // exports that still end
  Done closed_;
};

Status Unavailable() {
  return {ErrorCode::kUnavailable, "the NBD server is closed"};
}

Result<std::string> ServerImpl::Listen(const std::string& address, std::optional<TlsConfig> tls) {
  const bool is_unix = address.starts_with("unix:");
  TlsPolicy policy;
  if (tls && !is_unix) {
    auto context = TlsContext::Load(*tls);
    if (!context.ok()) return context.status();
    policy.mode = tls->required ? TlsMode::kRequired : TlsMode::kOptional;
    policy.context = std::move(*context);
  }
  auto socket = OpenListeningSocket(address);
  if (!socket.ok()) return socket.status();

  std::lock_guard lock(mutex_);
  if (!is_open_) return Unavailable();
  std::string in_use = socket->address;
  auto shared = std::make_shared<ListeningSocket>(std::move(*socket));
  loop_.Post([this, shared, policy] { StartListener(std::move(*shared), policy); });
  return in_use;
}

Status ServerImpl::AddExport(ExportConfig config, BlockDevice& device, EventLoop& device_loop) {
  if (!IsExportName(config.name)) {
    return {ErrorCode::kInvalidArgument, "an NBD export name has 1 to 4096 bytes and no NUL"};
  }
  if (!IsExportName(config.description) && !config.description.empty()) {
    return {ErrorCode::kInvalidArgument, "an NBD description has at most 4096 bytes and no NUL"};
  }
  const DeviceInfo& info = device.info();
  if (!IsAligned(info.size_bytes, info.logical_block_bytes)) {
    return {ErrorCode::kInvalidArgument,
            "export " + config.name + ": the size is no multiple of the logical block"};
  }
  std::lock_guard lock(mutex_);
  if (!is_open_) return Unavailable();
  if (exports_.contains(config.name)) {
    return {ErrorCode::kAlreadyExists, "an NBD export is named " + config.name + " already"};
  }
  auto added = std::make_shared<Export>(std::move(config), device, device_loop, events_);
  added->Open();
  exports_[added->name()] = std::move(added);
  return Status::Ok();
}

void ServerImpl::RemoveExport(const std::string& name, Done done) {
  std::shared_ptr<Export> removed;
  {
    std::lock_guard lock(mutex_);
    const auto found = exports_.find(name);
    if (found != exports_.end()) {
      removed = std::move(found->second);
      exports_.erase(found);
    }
    // Under the lock, so that a Close which comes later finds it counted.
    if (removed != nullptr) {
      loop_.Post([this, removed, done] { Remove(removed, done); });
      return;
    }
  }
  const Status missing{ErrorCode::kNotFound, "no NBD export is named " + name};
  loop_.Post([done = std::move(done), missing] { done(missing); });
}

void ServerImpl::Close(Done done) {
  std::vector<std::shared_ptr<Export>> all;
  {
    std::lock_guard lock(mutex_);
    CHECK(is_open_);
    is_open_ = false;
    for (auto& [name, one] : exports_) all.push_back(std::move(one));
    exports_.clear();
  }
  loop_.Post([this, all = std::move(all), done = std::move(done)] {
    listeners_.clear();
    negotiations_.clear();
    closed_ = done;
    for (const auto& one : all) Remove(one, [](const Status&) {});
    if (removals_ == 0) FinishClose();
  });
}

std::optional<ExportDescription> ServerImpl::Find(std::string_view name) const {
  std::lock_guard lock(mutex_);
  const auto found = exports_.find(name);
  if (found == exports_.end()) return std::nullopt;
  return found->second->Describe();
}

std::vector<ExportDescription> ServerImpl::List() const {
  std::lock_guard lock(mutex_);
  std::vector<ExportDescription> all;
  all.reserve(exports_.size());
  for (const auto& [name, one] : exports_) all.push_back(one->Describe());
  return all;
}

void ServerImpl::StartListener(ListeningSocket socket, const TlsPolicy& tls) {
  listeners_.push_back(std::make_unique<Listener>(
      loop_, std::move(socket), [this, tls](UniqueFd accepted, std::string peer_address) {
        OnAccept(std::move(accepted), std::move(peer_address), tls);
      }));
}

void ServerImpl::OnAccept(UniqueFd socket, std::string peer_address, const TlsPolicy& tls) {
  auto ticket = registry_->Admit(std::move(peer_address));
  if (!ticket) return;  // kConnectionsMax: the client sees the connection close and may try again.
  auto negotiation = std::make_unique<Negotiation>(
      loop_, std::move(socket), std::move(ticket), *this, tls.context, tls.mode,
      handshake_timeout_ms_, [this](Negotiation& ended, std::unique_ptr<Handover> handover) {
        OnNegotiated(ended, std::move(handover));
      });
  Negotiation& started = *negotiation;
  negotiations_[&started] = std::move(negotiation);
  started.Start();
}

void ServerImpl::OnNegotiated(Negotiation& negotiation, std::unique_ptr<Handover> handover) {
  if (handover != nullptr) {
    const auto target = std::move(handover->agreement.chosen.target);
    target->Offer(std::move(handover));
  }
  negotiations_.erase(&negotiation);
}

void ServerImpl::Remove(std::shared_ptr<Export> removed, Done done) {
  ++removals_;
  removed->Close([this, &loop = loop_, done = std::move(done)] {
    loop.Post([this, done] { OnRemoved(done); });
  });
}

void ServerImpl::OnRemoved(const Done& done) {
  done(Status::Ok());
  CHECK(removals_ > 0);
  --removals_;
  if (closed_ && removals_ == 0) FinishClose();
}

void ServerImpl::FinishClose() {
  const Done closed = std::exchange(closed_, nullptr);
  closed(Status::Ok());  // May end this.
}

}  // namespace

std::unique_ptr<Server> Server::Create(EventLoop& listener_loop, Events events,
                                       uint32_t handshake_timeout_ms) {
  return std::make_unique<ServerImpl>(listener_loop, std::move(events), handshake_timeout_ms);
}

}  // namespace aurochs::nbd
