#include "iscsi/portal.h"

#include <utility>

#include "base/check.h"

namespace aurochs::iscsi {

Portal::Portal(EventLoop& loop, ServerDirectory& directory, const Timeouts& timeouts)
    : loop_(loop), directory_(directory), timeouts_(timeouts) {}

Portal::~Portal() {
  CHECK(listeners_.empty() && logins_.empty() && discovery_sessions_.empty());
}

void Portal::Listen(ListeningSocket socket) {
  if (closing_) return;
  listeners_.push_back(std::make_unique<Listener>(
      loop_, std::move(socket), [this](UniqueFd fd, std::string remote_address) {
        OnAccept(std::move(fd), std::move(remote_address));
      }));
}

void Portal::OnAccept(UniqueFd fd, std::string remote_address) {
  ConnectionSlot slot = ConnectionSlot::Take(connections_);
  if (!slot) return;  // Closes it: the one bound that an initiator can only run into.
  const uint64_t id = next_id_++;
  logins_[id].reset(new LoginConnection(loop_, std::move(fd), std::move(slot),
                                        std::move(remote_address), directory_, *this, id,
                                        timeouts_.login_ms));
}

void Portal::OnLoggedIn(uint64_t id, std::unique_ptr<EstablishedLogin> login) {
  OnLoginEnded(id);
  if (closing_) return;
  if (!login->parameters.discovery) {
    directory_.HandOver(std::move(login));
    return;
  }
  if (++last_tsih_ == 0) ++last_tsih_;
  login->last_answer.bhs.SetU16(field::kTsih, last_tsih_);
  const uint64_t session_id = next_id_++;
  discovery_sessions_[session_id].reset(
      new Session(loop_, *this, Session::Units{}, session_id, std::move(*login), timeouts_));
}

void Portal::OnLoginEnded(uint64_t id) {
  RunLater([this, id] { logins_.erase(id); });
}

// What has ended is still on the stack, so it is destroyed a little later.
void Portal::RunLater(std::function<void()> task) {
  ++tasks_posted_;
  loop_.Post([this, task = std::move(task)] {
    task();
    --tasks_posted_;
    CloseIfEmpty();
  });
}

std::optional<std::string> Portal::SendTargets(const Session& session, std::string_view value) {
  if (value.empty()) return std::nullopt;  // 13.3: in a discovery session there is no own target
  return directory_.TargetsFor(session.identity().initiator, value == "All" ? "" : value,
                               session.local_address());
}

void Portal::ManageTasks(Session& session, const TaskManagementRequest& request) {
  session.FinishTaskManagement(request, TaskManagementResponse::kRejected);  // no tasks here
}

void Portal::OnSessionEnded(Session& session) {
  RunLater([this, id = session.id()] { discovery_sessions_.erase(id); });
}

void Portal::Close(std::function<void()> done) {
  CHECK(!closing_);
  closing_ = true;
  close_done_ = std::move(done);
  listeners_.clear();
  logins_.clear();
  for (auto& [id, session] : discovery_sessions_) session->Drop("the portal closes");
  CloseIfEmpty();
}

void Portal::CloseIfEmpty() {
  const bool empty = logins_.empty() && discovery_sessions_.empty() && tasks_posted_ == 0;
  if (closing_ && empty && close_done_) std::exchange(close_done_, nullptr)();
}

}  // namespace aurochs::iscsi
