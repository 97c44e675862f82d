#ifndef TIDEMARK_TESTS_SERVERS_FREE_PORT_H_
#define TIDEMARK_TESTS_SERVERS_FREE_PORT_H_

#include "absl/status/statusor.h"

namespace tidemark::testing {

/// A TCP port of 127.0.0.1 that nobody listened on a moment ago. It lies below the range from which
/// the system picks the ports of outgoing connections, so that a client that keeps knocking at a
/// stopped server can neither take the server's port nor connect to itself. Another process may
/// still take it first: whoever starts a server on it tries again with another port.
/// Unavailable when 200 random ports were all taken.
absl::StatusOr<int> FreePort();

}  // namespace tidemark::testing

#endif  // TIDEMARK_TESTS_SERVERS_FREE_PORT_H_
