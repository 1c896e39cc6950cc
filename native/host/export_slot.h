// The offer of one volume through one frontend: there is at most one, and its end takes a while,
// because requests in flight are answered first.
//
// Thread: belongs to the volume's loop.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/status.h"

namespace aurochs {

class ExportSlot {
 public:
  using Done = std::function<void(Status)>;

  // Offers the volume as `name` by what `add` does. kAlreadyExists if it is offered already, kBusy
  // while an earlier offer ends.
  Status Offer(std::string name, const std::function<Status()>& add) {
    if (state_ == State::kOffered) {
      return {ErrorCode::kAlreadyExists, "the volume is exported already, as " + name_};
    }
    if (state_ == State::kEnding) {
      return {ErrorCode::kBusy, "the volume's export " + name_ + " is still ending"};
    }
    RETURN_IF_ERROR(add());
    name_ = std::move(name);
    state_ = State::kOffered;
    return Status::Ok();
  }

  // Ends the offer by what `remove` does, which calls Ended on this loop. Ok at once if there is
  // none; whoever asks while it ends hears the same end.
  void End(const std::function<void(const std::string& name)>& remove, Done done) {
    if (state_ == State::kNone) return done(Status::Ok());
    waiting_.push_back(std::move(done));
    if (state_ == State::kEnding) return;
    state_ = State::kEnding;
    remove(name_);
  }

  void Ended(const Status& status) {
    CHECK(state_ == State::kEnding);
    state_ = State::kNone;
    for (const Done& done : std::exchange(waiting_, {})) done(status);
  }

  // The name it has; nothing while there is no offer, or while it ends.
  std::optional<std::string> offered_as() const {
    return state_ == State::kOffered ? std::optional(name_) : std::nullopt;
  }

 private:
  enum class State : uint8_t { kNone, kOffered, kEnding };  // And round again.

  State state_ = State::kNone;
  std::string name_;
  std::vector<Done> waiting_;
};

}  // namespace aurochs
