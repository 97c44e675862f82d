#include "tidemark/operators/clients/database_address.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace tidemark {
namespace {

std::optional<unsigned char> HexByte(std::string_view digits) {
  unsigned char byte = 0;
  const auto end = digits.data() + digits.size();
  const auto [at, error] = std::from_chars(digits.data(), end, byte, 16);
  if (digits.size() != 2 || error != std::errc() || at != end) return std::nullopt;
  return byte;
}

// Cuts `text` at the first `separator`: what stood before it is returned, `text` keeps what follows
// (empty: there was none).
std::string_view CutAt(char separator, std::string_view* text) {
  const size_t at = text->find(separator);
  const std::string_view head = text->substr(0, at);
  *text = at == std::string_view::npos ? std::string_view() : text->substr(at + 1);
  return head;
}

// Reads one URL; the first problem stays.
class Parser {
 public:
  explicit Parser(const TableUrlKind& kind) : kind_(kind) { url_.server.port = kind.default_port; }

  absl::StatusOr<TableUrl> Parse(std::string_view url) {
    const std::string scheme = fmt::format("{}://", kind_.scheme);
    if (!url.starts_with(scheme)) {
      Refuse(fmt::format("does not begin with {}", scheme));
      return status_;
    }
    std::string_view query = url.substr(scheme.size());
    std::string_view path = CutAt('?', &query);
    Authority(CutAt('/', &path));
    if (status_.ok()) Path(path);
    while (status_.ok() && !query.empty()) Parameter(CutAt('&', &query));
    if (!status_.ok()) return status_;
    return std::move(url_);
  }

 private:
  void Refuse(std::string_view problem) { status_.Update(RefusedTableUrl(kind_, problem)); }
  void RefusePassword() {
    status_.Update(absl::InvalidArgumentError(
        fmt::format("the {} URL holds a password, which process lists and logs would show; take it "
                    "out, and set {}",
                    kind_.server, kind_.password_place)));
  }

  std::string Decode(std::string_view text) {
    std::string decoded;
    for (size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '%') {
        decoded += text[i];
        continue;
      }
      const std::optional<unsigned char> byte = HexByte(text.substr(i + 1, 2));
      if (!byte) {
        Refuse(fmt::format("has a % without two hexadecimal digits in '{}' (a % itself is %25)",
                           text));
        return "";
      }
      if (*byte == 0) Refuse(fmt::format("has a zero byte in '{}'", text));
      decoded += static_cast<char>(*byte);
      i += 2;
    }
    return decoded;
  }

  void Authority(std::string_view authority) {
    const size_t at = authority.rfind('@');
    const std::string_view user = authority.substr(0, at == std::string_view::npos ? 0 : at);
    if (user.find(':') != std::string_view::npos) return RefusePassword();
    url_.server.user = Decode(user);
    if (url_.server.user.empty()) return Refuse("names no user");
    HostAndPort(authority.substr(at + 1));
  }

  void HostAndPort(std::string_view text) {
    std::string_view port;
    if (text.starts_with('[')) {
      const size_t close = text.find(']');
      if (close == std::string_view::npos) return Refuse("has a '[' without ']' around its host");
      url_.server.host = std::string(text.substr(1, close - 1));
      port = text.substr(close + 1);
      if (!port.empty() && port.front() != ':')
        return Refuse(fmt::format("has '{}' after its host", port));
    } else {
      const size_t colon = std::min(text.find(':'), text.size());
      if (text.find(':', colon + 1) != std::string_view::npos) {
        return Refuse(
            fmt::format("has several colons in '{}' (an IPv6 host stands in brackets)", text));
      }
      url_.server.host = Decode(text.substr(0, colon));
      port = text.substr(colon);
    }
    if (url_.server.host.empty()) return Refuse("names no host");
    if (!port.empty()) Port(port.substr(1));
  }

  void Port(std::string_view port) {
    const auto end = port.data() + port.size();
    const auto [at, error] = std::from_chars(port.data(), end, url_.server.port);
    if (error != std::errc() || at != end || url_.server.port < 1 || url_.server.port > 65535) {
      Refuse(fmt::format("has the port '{}', which is not a number from 1 to 65535", port));
    }
  }

  void Path(std::string_view path) {
    std::string_view table = path;
    url_.server.database = Decode(CutAt('/', &table));
    if (table.find('/') != std::string_view::npos) {
      return Refuse(fmt::format(
          "has more than a database and a table in '{}' (a slash in a name is %2F)", path));
    }
    url_.table = Decode(table);
    if (url_.table.empty()) return Refuse("names no table");
    if (url_.server.database.empty()) return Refuse("names no database");
  }

  void Parameter(std::string_view text) {
    if (text.empty()) return;
    std::string name = Decode(CutAt('=', &text));
    if (name == "password") return RefusePassword();
    for (const auto& [before, value] : url_.parameters) {
      if (before == name) return Refuse(fmt::format("has the parameter '{}' twice", name));
    }
    url_.parameters.emplace_back(std::move(name), Decode(text));
  }

  const TableUrlKind& kind_;
  TableUrl url_;
  absl::Status status_;
};

}  // namespace

std::string DatabaseAddress::HostPort() const {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                             : fmt::format("[{}]:{}", host, port);
}

std::string DatabaseAddress::LoginAdvice() const {
  const std::string advice =
      password.empty() ? "no password was given" : "check the user and the password";
  if (password_place.empty()) return advice;
  return fmt::format("{}{}{}", advice, password.empty() ? "; put it in " : " in ", password_place);
}

absl::StatusOr<TableUrl> ParseTableUrl(std::string_view url, const TableUrlKind& kind) {
  return Parser(kind).Parse(url);
}

absl::Status RefusedTableUrl(const TableUrlKind& kind, std::string_view problem) {
  return absl::InvalidArgumentError(
      fmt::format("the {} URL {}; write {}", kind.server, problem, kind.shape));
}

}  // namespace tidemark
