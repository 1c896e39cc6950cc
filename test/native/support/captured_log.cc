// Keeps the core's log lines of each test and shows them only if it fails: what is expected there
// ("the disk has lost data") would bury what is not.
#include <gtest/gtest.h>

#include <cstdio>
#include <mutex>
#include <string>

#include "base/log.h"

namespace aurochs::test {
namespace {

class CapturedLog final : public testing::EmptyTestEventListener {
 private:
  void OnTestStart(const testing::TestInfo&) override {
    {
      std::lock_guard lock(mutex_);
      lines_.clear();
    }
    SetLogSink([this](LogLevel, std::string_view component, const std::string& message) {
      std::lock_guard lock(mutex_);
      lines_ += std::string(component) + ": " + message + "\n";
    });
  }

  void OnTestEnd(const testing::TestInfo& test) override {
    SetLogSink({});
    std::lock_guard lock(mutex_);
    if (test.result()->Failed()) std::fputs(lines_.c_str(), stderr);
  }

  std::mutex mutex_;
  std::string lines_;
};

// Before main: the library that holds it knows nothing of ours.
[[maybe_unused]] const bool g_listens = [] {
  testing::UnitTest::GetInstance()->listeners().Append(new CapturedLog);
  return true;
}();

}  // namespace
}  // namespace aurochs::test
