// Tells the service manager how this process is: sd_notify(3) without libsystemd. It is here
// because Node cannot send a datagram to a UNIX socket.
//
// Thread: any, as long as no other changes the environment.
#pragma once

#include <string_view>

#include "base/status.h"

namespace aurochs {

// Sends `state`, such as "READY=1" or "WATCHDOG=1", to the datagram socket that $NOTIFY_SOCKET
// names: a path, or "@" and an abstract name. False if the variable is not set or empty: nobody
// wants to know.
Result<bool> NotifySystemd(std::string_view state);

}  // namespace aurochs
