// Where the core's log lines go. The host installs one sink; without one, lines go to standard
// error. Never called per request: what happens per request is counted, not logged.
//
// Thread: any.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace aurochs {

enum class LogLevel : uint8_t { kDebug, kInfo, kWarn, kError };

using LogSink =
    std::function<void(LogLevel level, std::string_view component, std::string message)>;

// Replaces the sink; an empty one restores standard error. Returns when no call to the old one
// runs.
void SetLogSink(LogSink sink);
void Log(LogLevel level, std::string_view component, std::string message);

}  // namespace aurochs
