// Values from and to JavaScript; src/native/binding-types.ts has their exact shape. What comes from
// JavaScript is not believed: each reader notes what is wrong in an ArgumentError and returns a
// harmless value, so a call reads all of its arguments and then looks once.
//
// Thread: the environment's. No function leaves a JavaScript exception pending unless it says so.
#pragma once

#include <napi.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "addon/event_channel.h"
#include "base/status.h"
#include "host/native_host.h"

namespace aurochs::addon {

// The first thing that is wrong with the arguments of a call.
class ArgumentError {
 public:
  // "`what` must be `expected`". The first one stays.
  void Note(const std::string& what, std::string_view expected);
  bool any() const { return !message_.empty(); }
  // A TypeError whose code is INVALID_ARGUMENT.
  Napi::Error ToJs(Napi::Env env) const;

 private:
  std::string message_;
};

// An Error whose code is the status' ErrorCode by name.
Napi::Error ErrorOf(Napi::Env env, const Status& status);

// `what` names the value in messages. Strings have at most kArgumentTextBytesMax bytes of UTF-8 and
// no NUL; numbers are exact.
std::string ReadString(const Napi::Value& value, const std::string& what, ArgumentError& error);
bool ReadBool(const Napi::Value& value, const std::string& what, ArgumentError& error);
// From a bigint between 0 and 2^64 - 1.
uint64_t ReadUint64(const Napi::Value& value, const std::string& what, ArgumentError& error);
// From a whole number between `least` and `most`, which is at most 2^53 - 1.
uint64_t ReadWhole(const Napi::Value& value, const std::string& what, uint64_t least, uint64_t most,
                   ArgumentError& error);
std::optional<iscsi::ChapCredentials> ReadChap(const Napi::Value& value, const std::string& what,
                                               ArgumentError& error);

HostOptions ReadHostOptions(const Napi::Value& value, ArgumentError& error);
ReplicaCreateOptions ReadReplicaOptions(const Napi::Value& value, ArgumentError& error);
SnapshotCopyConfig ReadSnapshotCopy(const Napi::Value& value, ArgumentError& error);
iscsi::TargetAccess ReadIscsiAccess(const Napi::Value& value, const std::string& what,
                                    ArgumentError& error);
IscsiExportConfig ReadIscsiExport(const Napi::Value& value, ArgumentError& error);
nbd::ExportConfig ReadNbdExport(const Napi::Value& value, ArgumentError& error);
nbd::KernelClientOptions ReadKernelNbdOptions(const Napi::Value& value, ArgumentError& error);
std::optional<nbd::TlsConfig> ReadNbdTls(const Napi::Value& value, ArgumentError& error);
NativeHost::TestDevice ReadTestDevice(const Napi::Value& value, ArgumentError& error);

// These may leave an exception pending when the environment is ending.
std::string_view BackendName(EventLoop::Backend backend);
Napi::Value ToJs(Napi::Env env, const ChannelEvent& event);
Napi::Value ToJs(Napi::Env env, const HostSession& session);
Napi::Value ToJs(Napi::Env env, const VolumeDescription& description);
Napi::Value ToJs(Napi::Env env, const ReplicaDevice::DiffPage& page);
Napi::Value ToJs(Napi::Env env, const std::vector<FsckFinding>& findings);
Napi::Value ToJs(Napi::Env env, const DiskProbe& probe);

}  // namespace aurochs::addon
