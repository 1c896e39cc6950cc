// What every connection of ours is set to. Private to io/.
#pragma once

namespace aurochs {

// TCP: no delay, keepalive. Nothing for other families. Errors do not matter: the socket may have
// been closed by its peer already, which the first read tells.
void SetConnectionOptions(int fd);

}  // namespace aurochs
