#include <cmath>
#include <initializer_list>
#include <utility>

#include "addon/convert.h"
#include "base/limits.h"

namespace aurochs::addon {
namespace {

// The fields of an options object, each of which must be read; others are refused, because a
// misspelt option that is ignored is found when it is too late.
class Fields {
 public:
  Fields(const Napi::Value& value, std::string what, std::initializer_list<const char*> names,
         ArgumentError& error)
      : what_(std::move(what)), error_(error) {
    if (!value.IsObject() || value.IsArray() || value.IsFunction()) {
      error_.Note(what_, "an object");
      return;
    }
    object_ = value.As<Napi::Object>();
    RefuseOthers(names);
  }

  std::string NameOf(const char* field) const { return what_ + "." + field; }

  // Undefined if there is none, or if reading it throws.
  Napi::Value Get(const char* field) {
    if (object_.IsEmpty()) return Napi::Value();
    const Napi::Value value = object_.Get(field);
    if (!object_.Env().IsExceptionPending()) return value;
    object_.Env().GetAndClearPendingException();
    error_.Note(NameOf(field), "readable");
    return object_.Env().Undefined();
  }

  std::string String(const char* field) { return ReadString(Get(field), NameOf(field), error_); }
  bool Bool(const char* field) { return ReadBool(Get(field), NameOf(field), error_); }
  uint64_t Uint64(const char* field) { return ReadUint64(Get(field), NameOf(field), error_); }
  auto Chap(const char* field) { return ReadChap(Get(field), NameOf(field), error_); }

 private:
  void RefuseOthers(std::initializer_list<const char*> names) {
    const Napi::Array keys = object_.GetPropertyNames();
    if (object_.Env().IsExceptionPending()) {
      object_.Env().GetAndClearPendingException();
      error_.Note(what_, "readable");
      return;
    }
    for (uint32_t i = 0; i < keys.Length(); ++i) {
      const std::string key = Napi::Value(keys.Get(i)).ToString().Utf8Value();
      bool known = false;
      for (const char* name : names) known = known || key == name;
      if (!known) error_.Note(NameOf(key.c_str()), "left out: there is no such option");
    }
  }

  const std::string what_;
  ArgumentError& error_;
  Napi::Object object_;  // Empty if the value is none.
};

ReplicaCreateOptions ReplicaOptionsIn(Fields& fields) {
  ReplicaCreateOptions options;
  options.volume_id = fields.String("volumeId");
  options.replica_id = fields.String("replicaId");
  options.size_bytes = fields.Uint64("sizeBytes");
  return options;
}

bool IsMissing(const Napi::Value& value) {
  return value.IsEmpty();
}

std::vector<std::string> ReadStrings(const Napi::Value& value, const std::string& what,
                                     uint32_t count_max, ArgumentError& error) {
  std::vector<std::string> strings;
  if (IsMissing(value)) return strings;
  if (!value.IsArray() || value.As<Napi::Array>().Length() > count_max) {
    error.Note(what, "an array of at most " + std::to_string(count_max) + " strings");
    return strings;
  }
  const auto array = value.As<Napi::Array>();
  const Napi::Env env = array.Env();
  for (uint32_t i = 0; i < array.Length() && !error.any(); ++i) {
    const std::string name = what + "[" + std::to_string(i) + "]";
    const Napi::Value element = array.Get(i);
    if (env.IsExceptionPending()) {
      env.GetAndClearPendingException();
      error.Note(name, "readable");
      break;
    }
    strings.push_back(ReadString(element, name, error));
  }
  return strings;
}

}  // namespace

void ArgumentError::Note(const std::string& what, std::string_view expected) {
  if (message_.empty()) message_ = what + " must be " + std::string(expected);
}

Napi::Error ArgumentError::ToJs(Napi::Env env) const {
  Napi::Error error = Napi::TypeError::New(env, message_);
  error.Set("code", Napi::String::New(env, "INVALID_ARGUMENT"));
  return error;
}

std::string ReadString(const Napi::Value& value, const std::string& what, ArgumentError& error) {
  if (IsMissing(value)) return {};
  if (!value.IsString()) {
    error.Note(what, "a string");
    return {};
  }
  size_t length_bytes = 0;
  if (napi_get_value_string_utf8(value.Env(), value, nullptr, 0, &length_bytes) != napi_ok ||
      length_bytes > kArgumentTextBytesMax) {
    error.Note(what, "a string of at most " + std::to_string(kArgumentTextBytesMax) + " bytes");
    return {};
  }
  std::string text = value.As<Napi::String>().Utf8Value();
  if (text.find('\0') == std::string::npos) return text;
  error.Note(what, "a string without NUL");
  return {};
}

bool ReadBool(const Napi::Value& value, const std::string& what, ArgumentError& error) {
  if (IsMissing(value)) return false;
  if (value.IsBoolean()) return value.As<Napi::Boolean>().Value();
  error.Note(what, "a boolean");
  return false;
}

uint64_t ReadUint64(const Napi::Value& value, const std::string& what, ArgumentError& error) {
  if (IsMissing(value)) return 0;
  bool lossless = false;
  const uint64_t number = value.IsBigInt() ? value.As<Napi::BigInt>().Uint64Value(&lossless) : 0;
  if (lossless) return number;
  error.Note(what, "a bigint from 0 to 2^64 - 1");
  return 0;
}

uint64_t ReadWhole(const Napi::Value& value, const std::string& what, uint64_t least, uint64_t most,
                   ArgumentError& error) {
  if (IsMissing(value)) return least;
  if (value.IsNumber()) {
    const double number = value.As<Napi::Number>().DoubleValue();
    const bool in_range =
        number >= static_cast<double>(least) && number <= static_cast<double>(most);
    if (in_range && std::trunc(number) == number) return static_cast<uint64_t>(number);
  }
  error.Note(what, "a whole number from " + std::to_string(least) + " to " + std::to_string(most));
  return least;
}

std::optional<iscsi::ChapCredentials> ReadChap(const Napi::Value& value, const std::string& what,
                                               ArgumentError& error) {
  if (IsMissing(value) || value.IsNull()) return std::nullopt;
  Fields fields(value, what, {"user", "secret"}, error);
  return iscsi::ChapCredentials{fields.String("user"), fields.String("secret")};
}

HostOptions ReadHostOptions(const Napi::Value& value, ArgumentError& error) {
  Fields fields(value, "options", {"loops", "ioBackend", "lockMemory"}, error);
  HostOptions options;
  options.loops = static_cast<uint32_t>(
      ReadWhole(fields.Get("loops"), fields.NameOf("loops"), 1, kHostLoopsMax, error));
  const std::string backend = fields.String("ioBackend");
  if (backend == BackendName(EventLoop::Backend::kIoUring)) {
    options.backend = EventLoop::Backend::kIoUring;
  } else if (backend == BackendName(EventLoop::Backend::kEpoll)) {
    options.backend = EventLoop::Backend::kEpoll;
  } else if (backend != "auto") {
    error.Note(fields.NameOf("ioBackend"), "'auto', 'io_uring' or 'epoll'");
  }
  options.lock_memory = fields.Bool("lockMemory");
  return options;
}

ReplicaCreateOptions ReadReplicaOptions(const Napi::Value& value, ArgumentError& error) {
  Fields fields(value, "options", {"volumeId", "replicaId", "sizeBytes"}, error);
  return ReplicaOptionsIn(fields);
}

SnapshotCopyConfig ReadSnapshotCopy(const Napi::Value& value, ArgumentError& error) {
  Fields fields(value, "copy", {"diskPath", "name", "volumeId", "replicaId", "sizeBytes"}, error);
  return {fields.String("diskPath"), fields.String("name"), ReplicaOptionsIn(fields)};
}

iscsi::TargetAccess ReadIscsiAccess(const Napi::Value& value, const std::string& what,
                                    ArgumentError& error) {
  Fields fields(value, what, {"chap", "mutualChap", "initiators"}, error);
  iscsi::TargetAccess access;
  access.chap = fields.Chap("chap");
  access.mutual_chap = fields.Chap("mutualChap");
  access.initiators = ReadStrings(fields.Get("initiators"), fields.NameOf("initiators"),
                                  kInitiatorsPerExportMax, error);
  return access;
}

IscsiExportConfig ReadIscsiExport(const Napi::Value& value, ArgumentError& error) {
  Fields fields(value, "config",
                {"targetName", "serial", "readOnly", "removable", "provisioning", "access"}, error);
  IscsiExportConfig config;
  config.target_name = fields.String("targetName");
  config.serial = fields.String("serial");
  config.unit.read_only = fields.Bool("readOnly");
  config.unit.removable = fields.Bool("removable");
  const std::string provisioning = fields.String("provisioning");
  if (provisioning == "full") {
    config.unit.provisioning = scsi::Provisioning::kFull;
  } else if (provisioning != "thin") {
    error.Note(fields.NameOf("provisioning"), "'thin' or 'full'");
  }
  config.access = ReadIscsiAccess(fields.Get("access"), fields.NameOf("access"), error);
  return config;
}

nbd::ExportConfig ReadNbdExport(const Napi::Value& value, ArgumentError& error) {
  Fields fields(value, "config", {"name", "description", "readOnly"}, error);
  return {fields.String("name"), fields.String("description"), fields.Bool("readOnly")};
}

nbd::KernelClientOptions ReadKernelNbdOptions(const Napi::Value& value, ArgumentError& error) {
  Fields fields(value, "options",
                {"address", "exportName", "connections", "requestTimeoutS",
                 "deadConnectionTimeoutS", "identifier"},
                error);
  const auto whole = [&](const char* field, uint64_t most) {
    return static_cast<uint32_t>(
        ReadWhole(fields.Get(field), fields.NameOf(field), 1, most, error));
  };
  nbd::KernelClientOptions options;
  options.address = fields.String("address");
  options.export_name = fields.String("exportName");
  options.connections = whole("connections", kKernelNbdConnectionsMax);
  options.terms.request_timeout_s = whole("requestTimeoutS", kKernelNbdTimeoutSMax);
  options.terms.dead_connection_timeout_s = whole("deadConnectionTimeoutS", kKernelNbdTimeoutSMax);
  options.terms.identifier = fields.String("identifier");
  return options;
}

std::optional<nbd::TlsConfig> ReadNbdTls(const Napi::Value& value, ArgumentError& error) {
  if (value.IsNull()) return std::nullopt;
  Fields fields(value, "tls", {"certificateFile", "keyFile", "clientCaFile", "required"}, error);
  nbd::TlsConfig tls;
  tls.certificate_file = fields.String("certificateFile");
  tls.key_file = fields.String("keyFile");
  tls.client_ca_file = fields.String("clientCaFile");
  tls.required = fields.Bool("required");
  return tls;
}

NativeHost::TestDevice ReadTestDevice(const Napi::Value& value, ArgumentError& error) {
  const std::string kind = ReadString(value, "kind", error);
  if (kind == "memory") return NativeHost::TestDevice::kMemory;
  if (kind != "null") error.Note("kind", "'null' or 'memory'");
  return NativeHost::TestDevice::kNull;
}

}  // namespace aurochs::addon
