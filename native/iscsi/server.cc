#include "iscsi/server.h"

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "base/limits.h"
#include "io/socket.h"
#include "iscsi/chap.h"
#include "iscsi/portal.h"
#include "iscsi/target.h"
#include "iscsi/text_keys.h"

namespace aurochs::iscsi {
namespace {

Status CheckSecret(std::string_view whose, const ChapCredentials& credentials) {
  if (credentials.user.empty()) {
    return {ErrorCode::kInvalidArgument, std::string(whose) + " CHAP name is empty"};
  }
  if (credentials.secret.size() < kChapSecretBytesMin ||
      credentials.secret.size() > kChapSecretBytesMax) {
    return {ErrorCode::kInvalidArgument,
            std::string(whose) + " CHAP secret must have 12 to 256 bytes"};
  }
  return Status::Ok();
}

Status CheckChap(const std::optional<ChapCredentials>& chap,
                 const std::optional<ChapCredentials>& mutual) {
  if (chap) RETURN_IF_ERROR(CheckSecret("the initiator's", *chap));
  if (!mutual) return Status::Ok();
  RETURN_IF_ERROR(CheckSecret("the target's", *mutual));
  if (!chap) {
    return {ErrorCode::kInvalidArgument, "mutual CHAP needs CHAP of the initiator too"};
  }
  if (chap->secret == mutual->secret) {  // RFC 7143, 9.2.1
    return {ErrorCode::kInvalidArgument,
            "the two CHAP secrets are the same; choose different ones for the two directions"};
  }
  return Status::Ok();
}

bool Allows(const TargetAccess& access, std::string_view initiator) {
  const auto& allowed = access.initiators;
  return allowed.empty() || std::find(allowed.begin(), allowed.end(), initiator) != allowed.end();
}

// Names are looked up as they are; what they may hold is decided where volumes get theirs.
Status CheckName(const std::string& name) {
  const bool known_type =
      name.substr(0, 4) == "iqn." || name.substr(0, 4) == "eui." || name.substr(0, 4) == "naa.";
  if (!known_type || name.size() > kTargetNameBytesMax ||
      std::any_of(name.begin(), name.end(), [](char c) { return c <= ' ' || c == ','; })) {
    return {ErrorCode::kInvalidArgument,
            "'" + name + "' is not an iSCSI name (iqn.…, eui.…, naa.…)"};
  }
  return Status::Ok();
}

class ServerImpl final : public Server, public ServerDirectory {
 public:
  ServerImpl(EventLoop& portal_loop, Events events, const Timeouts& timeouts)
      : portal_loop_(portal_loop),
        events_(std::move(events)),
        timeouts_(timeouts),
        portal_(new Portal(portal_loop, *this, timeouts)) {}
  ~ServerImpl() override { CHECK(targets_.empty() && removing_.empty()); }

  Result<std::string> Listen(const std::string& portal) override;
  void SetDiscoveryAuth(std::optional<ChapCredentials> chap,
                        std::optional<ChapCredentials> mutual) override;
  Status AddTarget(TargetConfig config, BlockDevice& device, EventLoop& device_loop) override;
  Status SetAccess(const std::string& name, TargetAccess access) override;
  void RemoveTarget(const std::string& name, Done done) override;
  std::vector<SessionInfo> Sessions() const override;
  void Close(Done done) override;

 private:
  using SessionKey = std::pair<uint64_t, uint64_t>;  // target, session
  struct Offer {
    uint64_t id;
    std::shared_ptr<Target> target;
    TargetAccess access;
  };

  Access AccessToTarget(std::string_view target, std::string_view initiator) override;
  Access AccessToDiscovery() override;
  std::string TargetsFor(std::string_view initiator, std::string_view target,
                         std::string_view address) override;
  void HandOver(std::unique_ptr<EstablishedLogin> login) override;
  void SessionOpened(uint64_t target_id, uint64_t session_id, const SessionInfo& info) override;
  void SessionClosed(uint64_t target_id, uint64_t session_id) override;

  void BeginRemoval(uint64_t id, std::shared_ptr<Target> target, Parting parting, Done done);
  void EndRemoval(uint64_t id, const Done& done);
  void FinishCloseIfEmpty();

  EventLoop& portal_loop_;
  const Events events_;
  const Timeouts timeouts_;
  const std::unique_ptr<Portal> portal_;

  mutable std::mutex mutex_;
  // Guarded by mutex_ from here on.
  std::map<std::string, Offer, std::less<>> targets_;
  std::map<uint64_t, std::shared_ptr<Target>> removing_;
  std::map<SessionKey, SessionInfo> sessions_;
  uint64_t next_target_id_ = 1;
  std::optional<ChapCredentials> discovery_chap_;
  std::optional<ChapCredentials> discovery_mutual_;
  bool closing_ = false;
  bool portal_closed_ = false;
  Done close_done_;
};

Result<std::string> ServerImpl::Listen(const std::string& portal) {
  {
    std::lock_guard lock(mutex_);
    if (closing_) return Status(ErrorCode::kUnavailable, "the iSCSI server is closing");
  }
  Result<ListeningSocket> socket = OpenListeningSocket(portal);
  if (!socket.ok()) return socket.status();
  std::string address = socket->address;
  const auto shared = std::make_shared<ListeningSocket>(std::move(*socket));
  portal_loop_.Post([this, shared] { portal_->Listen(std::move(*shared)); });
  return address;
}

void ServerImpl::SetDiscoveryAuth(std::optional<ChapCredentials> chap,
                                  std::optional<ChapCredentials> mutual) {
  std::lock_guard lock(mutex_);
  discovery_chap_ = std::move(chap);
  discovery_mutual_ = std::move(mutual);
}

// -- Targets

Status ServerImpl::AddTarget(TargetConfig config, BlockDevice& device, EventLoop& device_loop) {
  RETURN_IF_ERROR(CheckName(config.name));
  TargetAccess access = std::move(config.access);
  RETURN_IF_ERROR(CheckChap(access.chap, access.mutual_chap).WithContext(config.name));
  std::lock_guard lock(mutex_);
  if (closing_) return {ErrorCode::kUnavailable, "the iSCSI server is closing"};
  if (targets_.contains(config.name)) {
    return {ErrorCode::kAlreadyExists, "there is a target '" + config.name + "' already"};
  }
  const uint64_t id = next_target_id_++;
  const std::string name = config.name;
  const auto target =
      std::make_shared<Target>(id, std::move(config), device, device_loop, *this, timeouts_);
  targets_[name] = {id, target, std::move(access)};
  device_loop.Post([target] { target->Start(); });
  return Status::Ok();
}

Status ServerImpl::SetAccess(const std::string& name, TargetAccess access) {
  RETURN_IF_ERROR(CheckChap(access.chap, access.mutual_chap).WithContext(name));
  std::lock_guard lock(mutex_);
  const auto found = targets_.find(name);
  if (found == targets_.end()) {
    return {ErrorCode::kNotFound, "there is no target '" + name + "'"};
  }
  found->second.access = std::move(access);
  return Status::Ok();
}

void ServerImpl::RemoveTarget(const std::string& name, Done done) {
  std::lock_guard lock(mutex_);
  const auto found = targets_.find(name);
  if (found == targets_.end()) {
    portal_loop_.Post([done = std::move(done), name] {
      done(Status(ErrorCode::kNotFound, "there is no target '" + name + "'"));
    });
    return;
  }
  const Offer offer = std::move(found->second);
  targets_.erase(found);
  BeginRemoval(offer.id, offer.target, Parting::kAskForLogout, std::move(done));
}

// REQUIRES: mutex_. Nothing is posted to the target's loop after this, so the loop may end once
// `done` was called.
void ServerImpl::BeginRemoval(uint64_t id, std::shared_ptr<Target> target, Parting parting,
                              Done done) {
  removing_[id] = target;
  Target* const raw = target.get();
  raw->loop().Post(
      [this, id, target = std::move(target), parting, done = std::move(done)]() mutable {
        Target& closing = *target;
        closing.Shutdown(parting, [this, id, done = std::move(done)] {
          portal_loop_.Post([this, id, done] { EndRemoval(id, done); });
        });
        target = nullptr;
      });
}

void ServerImpl::EndRemoval(uint64_t id, const Done& done) {
  {
    std::lock_guard lock(mutex_);
    removing_.erase(id);
  }
  if (done) done(Status::Ok());
  FinishCloseIfEmpty();
}

// The portal first: an initiator that is dropped comes back at once, and must find a closed port,
// which it tries again, and never a portal that does not know its target, which it may give up on.
void ServerImpl::Close(Done done) {
  {
    std::lock_guard lock(mutex_);
    CHECK(!closing_);
    closing_ = true;
    close_done_ = std::move(done);
  }
  portal_loop_.Post([this] {
    portal_->Close([this] {
      {
        std::lock_guard lock(mutex_);
        portal_closed_ = true;
        for (auto& [name, offer] : targets_) {
          BeginRemoval(offer.id, offer.target, Parting::kDrop, {});
        }
        targets_.clear();
      }
      FinishCloseIfEmpty();
    });
  });
}

void ServerImpl::FinishCloseIfEmpty() {
  Done done;
  {
    std::lock_guard lock(mutex_);
    if (!closing_ || !portal_closed_ || !removing_.empty()) return;
    done = std::exchange(close_done_, nullptr);
  }
  // Posted, so that the server may be destroyed inside.
  if (done) portal_loop_.Post([done = std::move(done)] { done(Status::Ok()); });
}

// -- What logins and sessions ask

LoginPolicy::Access ServerImpl::AccessToTarget(std::string_view target,
                                               std::string_view initiator) {
  std::lock_guard lock(mutex_);
  const auto found = targets_.find(target);
  if (found == targets_.end()) return {.fault = LoginFault::kNoSuchTarget};
  const TargetAccess& access = found->second.access;
  if (!Allows(access, initiator)) return {.fault = LoginFault::kInitiatorNotListed};
  return {.chap = access.chap, .mutual_chap = access.mutual_chap};
}

LoginPolicy::Access ServerImpl::AccessToDiscovery() {
  std::lock_guard lock(mutex_);
  return {.chap = discovery_chap_, .mutual_chap = discovery_mutual_};
}

std::string ServerImpl::TargetsFor(std::string_view initiator, std::string_view target,
                                   std::string_view address) {
  std::string text;
  std::lock_guard lock(mutex_);
  for (const auto& [name, offer] : targets_) {
    if ((!target.empty() && name != target) || !Allows(offer.access, initiator)) continue;
    AppendPair(text, "TargetName", name);
    AppendPair(text, "TargetAddress", std::string(address) + "," + std::to_string(kPortalGroupTag));
  }
  return text;
}

void ServerImpl::HandOver(std::unique_ptr<EstablishedLogin> login) {
  std::lock_guard lock(mutex_);
  const auto found = targets_.find(login->identity.target);
  if (found == targets_.end()) return RefuseLogin(*login, LoginFault::kTargetGone);
  const std::shared_ptr<Target> target = found->second.target;
  // A std::function must be able to copy what it holds.
  const auto shared = std::make_shared<std::unique_ptr<EstablishedLogin>>(std::move(login));
  target->loop().Post([target, shared] { target->Adopt(std::move(*shared)); });
}

void ServerImpl::SessionOpened(uint64_t target_id, uint64_t session_id, const SessionInfo& info) {
  {
    std::lock_guard lock(mutex_);
    sessions_[{target_id, session_id}] = info;
  }
  if (events_.session_opened) events_.session_opened(info);
}

void ServerImpl::SessionClosed(uint64_t target_id, uint64_t session_id) {
  SessionInfo info;
  {
    std::lock_guard lock(mutex_);
    const auto found = sessions_.find({target_id, session_id});
    CHECK(found != sessions_.end());
    info = std::move(found->second);
    sessions_.erase(found);
  }
  if (events_.session_closed) events_.session_closed(info);
}

std::vector<SessionInfo> ServerImpl::Sessions() const {
  std::vector<SessionInfo> sessions;
  std::lock_guard lock(mutex_);
  for (const auto& [key, info] : sessions_) sessions.push_back(info);
  return sessions;
}

}  // namespace

std::unique_ptr<Server> Server::Create(EventLoop& portal_loop, Events events, Timeouts timeouts) {
  return std::make_unique<ServerImpl>(portal_loop, std::move(events), timeouts);
}

}  // namespace aurochs::iscsi
