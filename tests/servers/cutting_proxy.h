#ifndef TIDEMARK_TESTS_SERVERS_CUTTING_PROXY_H_
#define TIDEMARK_TESTS_SERVERS_CUTTING_PROXY_H_

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace tidemark::testing {

/// A TCP proxy in front of a server on 127.0.0.1, for one connection at a time, which fails on
/// demand.
class CuttingProxy {
 public:
  explicit CuttingProxy(int server_port) : server_port_(server_port) {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address = Loopback(0);
    ::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address));
    ::listen(listener_, 8);
    socklen_t size = sizeof(address);
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~CuttingProxy() {
    stop_ = true;
    thread_.join();
    for (const int end : held_) ::close(end);
    ::close(listener_);
  }
  CuttingProxy(const CuttingProxy&) = delete;
  CuttingProxy& operator=(const CuttingProxy&) = delete;

  int port() const { return port_; }
  /// The next request that contains `text` is passed on (or not), and then the client's connection
  /// is cut; the server's answer is lost.
  void CutAfter(std::string text, bool pass_on) {
    const std::lock_guard<std::mutex> lock(mutex_);
    cut_text_ = std::move(text);
    pass_on_ = pass_on;
    hold_ = false;
  }
  /// The next request that contains `text` is passed on, and that connection then goes silent for
  /// good: the server's end stays open whatever the client does. Other connections come as ever.
  void HoldAfter(std::string text) {
    const std::lock_guard<std::mutex> lock(mutex_);
    cut_text_ = std::move(text);
    pass_on_ = true;
    hold_ = true;
  }
  /// Once `times` requests with the text `after` have been passed on, the next one that contains
  /// `text` waits until Resume: the client stands still before it.
  void PauseBefore(std::string text, std::string after = {}, int64_t times = 0) {
    const std::lock_guard<std::mutex> lock(mutex_);
    pause_ = {std::move(text), std::move(after), times};
  }
  void Resume() { paused_ = false; }
  bool paused() const { return paused_; }
  /// The next answer that contains `text` reaches the client with `other`, as long, in its place.
  void Forge(std::string text, std::string other) {
    const std::lock_guard<std::mutex> lock(mutex_);
    forged_ = {std::move(text), std::move(other)};
  }
  /// While silent, nothing passes in either direction and connections stay open.
  void SetSilent(bool silent) { silent_ = silent; }
  /// Connections that were cut or held.
  int cuts() const { return cuts_; }
  /// Answers that were forged.
  int forgeries() const { return forgeries_; }

 private:
  struct Pause {
    std::string text;   // empty: none is wanted
    std::string after;  // counted first
    int64_t times = 0;
  };

  static sockaddr_in Loopback(int port) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
  }

  void Run() {
    while (!stop_) {
      pollfd waiting = {.fd = listener_, .events = POLLIN, .revents = 0};
      if (::poll(&waiting, 1, 20) <= 0) continue;
      const int client = ::accept(listener_, nullptr, nullptr);
      const int server = ::socket(AF_INET, SOCK_STREAM, 0);
      const sockaddr_in address = Loopback(server_port_);
      if (::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) {
        Serve(client, server);
      }
      if (std::exchange(holding_, false)) {
        held_.insert(held_.end(), {client, server});
        continue;
      }
      ::close(client);
      ::close(server);
    }
  }

  void Serve(int client, int server) {
    while (!stop_) {
      pollfd ends[2] = {{.fd = client, .events = POLLIN, .revents = 0},
                        {.fd = server, .events = POLLIN, .revents = 0}};
      if (::poll(ends, 2, 20) <= 0) continue;
      if (silent_) {
        // Let a client that gave up go, so that it can come again.
        char byte;
        if (ends[0].revents != 0 && ::recv(client, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0) return;
        ::usleep(5'000);
        continue;
      }
      if (ends[1].revents != 0 && !PassAnswer(server, client)) return;
      if (ends[0].revents != 0 && !PassRequest(client, server)) return;
    }
  }

  static bool Send(int to, std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(to, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  bool PassAnswer(int server, int client) {
    char buffer[65536];
    const ssize_t got = ::recv(server, buffer, sizeof(buffer), 0);
    if (got <= 0) return false;
    std::string bytes(buffer, static_cast<size_t>(got));
    const std::lock_guard<std::mutex> lock(mutex_);
    const size_t at = forged_.first.empty() ? std::string::npos : bytes.find(forged_.first);
    if (at != std::string::npos) {
      bytes.replace(at, forged_.first.size(), forged_.second);
      forged_ = {};
      ++forgeries_;
    }
    return Send(client, bytes);
  }
  bool ComesToPause(std::string_view bytes) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (pause_.text.empty()) return false;
    if (pause_.times > 0) {
      pause_.times -= bytes.find(pause_.after) == std::string_view::npos ? 0 : 1;
      return false;
    }
    if (bytes.find(pause_.text) == std::string_view::npos) return false;
    pause_ = {};
    paused_ = true;
    return true;
  }
  bool PassRequest(int client, int server) {
    char buffer[65536];
    const ssize_t got = ::recv(client, buffer, sizeof(buffer), 0);
    if (got <= 0) return false;
    const std::string_view bytes(buffer, static_cast<size_t>(got));
    if (ComesToPause(bytes)) {
      while (paused_ && !stop_) ::usleep(1'000);
    }
    const std::lock_guard<std::mutex> lock(mutex_);
    if (cut_text_.empty() || bytes.find(cut_text_) == std::string_view::npos)
      return Send(server, bytes);
    cut_text_.clear();
    ++cuts_;
    if (pass_on_) {
      Send(server, bytes);
      char answer;
      ::recv(server, &answer, 1, MSG_PEEK);  // the server has done it
    }
    holding_ = hold_;
    return false;
  }

  const int server_port_;
  int listener_ = -1;
  int port_ = 0;
  std::atomic<bool> stop_ = false;
  std::atomic<bool> silent_ = false;
  std::atomic<bool> paused_ = false;
  std::atomic<int> cuts_ = 0;
  std::mutex mutex_;
  std::string cut_text_;                        // guarded by mutex_
  bool pass_on_ = false;                        // guarded by mutex_
  bool hold_ = false;                           // guarded by mutex_
  Pause pause_;                                 // guarded by mutex_
  std::pair<std::string, std::string> forged_;  // guarded by mutex_: what becomes what
  std::atomic<int> forgeries_ = 0;
  bool holding_ = false;   // of the proxy's thread, as held_
  std::vector<int> held_;  // sockets
  std::thread thread_;
};

}  // namespace tidemark::testing

#endif  // TIDEMARK_TESTS_SERVERS_CUTTING_PROXY_H_
