#include "base/log.h"

#include <cstdio>
#include <mutex>
#include <utility>

namespace aurochs {
namespace {

std::mutex g_mutex;
LogSink g_sink;  // Guarded by g_mutex.

const char* LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug: return "debug";
    case LogLevel::kInfo: return "info";
    case LogLevel::kWarn: return "warn";
    case LogLevel::kError: return "error";
  }
  return "?";
}

}  // namespace

void SetLogSink(LogSink sink) {
  std::lock_guard lock(g_mutex);
  g_sink = std::move(sink);
}

void Log(LogLevel level, std::string_view component, std::string message) {
  std::lock_guard lock(g_mutex);
  if (g_sink) {
    g_sink(level, component, std::move(message));
    return;
  }
  std::fprintf(stderr, "%s %.*s: %s\n", LevelName(level), static_cast<int>(component.size()),
               component.data(), message.c_str());
}

}  // namespace aurochs
