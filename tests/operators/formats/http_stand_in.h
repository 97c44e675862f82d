#ifndef TIDEMARK_TESTS_OPERATORS_FORMATS_HTTP_STAND_IN_H_
#define TIDEMARK_TESTS_OPERATORS_FORMATS_HTTP_STAND_IN_H_

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace tidemark {

/// A small HTTP server on a free loopback port, in the place of a schema registry. Each connection
/// gets one answer, that of the handler for the request's head.
class HttpStandIn {
 public:
  struct Answer {
    int status = 200;  ///< 0: the connection is closed without an answer; -1: and none ever comes
    std::string body;
    std::string headers;
  };
  using Handler = std::function<Answer(const std::string& head)>;

  explicit HttpStandIn(Handler handler) : handler_(std::move(handler)) { Open(0); }
  ~HttpStandIn() { Close(); }

  std::string url() const { return fmt::format("http://127.0.0.1:{}", port_); }
  /// The heads of all requests so far.
  std::vector<std::string> requests() {
    std::lock_guard<std::mutex> lock(mutex_);
    return requests_;
  }
  /// Nobody listens any more, until Reopen.
  void Close() {
    if (!thread_.joinable()) return;
    stopping_ = true;
    thread_.join();
    close(listener_);
    for (int held : held_) close(held);
    held_.clear();
  }
  void Reopen() { Open(port_); }

 private:
  void Open(uint16_t port) {
    stopping_ = false;
    listener_ = socket(AF_INET, SOCK_STREAM, 0);
    const int yes = 1;
    setsockopt(listener_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    socklen_t size = sizeof(address);
    if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        listen(listener_, 16) != 0) {
      std::abort();
    }
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Serve(); });
  }

  void Serve() {
    while (!stopping_) {
      pollfd ready{.fd = listener_, .events = POLLIN, .revents = 0};
      if (poll(&ready, 1, 20) <= 0) continue;
      const int connection = accept(listener_, nullptr, nullptr);
      if (connection < 0) continue;
      std::string head;
      char byte;
      while (!head.ends_with("\r\n\r\n") && read(connection, &byte, 1) == 1) head.push_back(byte);
      {
        std::lock_guard<std::mutex> lock(mutex_);
        requests_.push_back(head);
      }
      const Answer answer = handler_(head);
      if (answer.status == -1) {
        held_.push_back(connection);
        continue;
      }
      if (answer.status != 0) {
        const std::string text =
            fmt::format("HTTP/1.1 {} x\r\nContent-Length: {}\r\nConnection: close\r\n{}\r\n{}",
                        answer.status, answer.body.size(), answer.headers, answer.body);
        size_t sent = 0;
        while (sent < text.size()) {
          const ssize_t n = send(connection, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
          if (n <= 0) break;
          sent += static_cast<size_t>(n);
        }
      }
      close(connection);
    }
  }

  const Handler handler_;
  int listener_ = -1;
  uint16_t port_ = 0;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
  std::mutex mutex_;
  std::vector<std::string> requests_;
  std::vector<int> held_;
};

}  // namespace tidemark

#endif  // TIDEMARK_TESTS_OPERATORS_FORMATS_HTTP_STAND_IN_H_
