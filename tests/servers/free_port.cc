#include "tests/servers/free_port.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <random>

namespace tidemark::testing {
namespace {

constexpr int kLowestPort = 12000;
constexpr int kMaxAttempts = 200;

int LowestOutgoingPort() {
  int lowest = 32768;
  std::ifstream("/proc/sys/net/ipv4/ip_local_port_range") >> lowest;
  // A system that uses nearly all ports for outgoing connections leaves no room below them.
  return lowest > kLowestPort + 1000 ? lowest : 32768;
}

bool CanBind(int port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const bool bound = ::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0;
  ::close(fd);
  return bound;
}

}  // namespace

absl::StatusOr<int> FreePort() {
  std::random_device random;
  std::uniform_int_distribution<int> ports(kLowestPort, LowestOutgoingPort() - 1);
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    const int port = ports(random);
    if (CanBind(port)) return port;
  }
  return absl::UnavailableError("no free TCP port on 127.0.0.1");
}

}  // namespace tidemark::testing
