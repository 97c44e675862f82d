#include "tidemark/operators/sinks/mysql_options.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include "tidemark/operators/rows/schema.h"

namespace tidemark {
namespace {

constexpr std::string_view kScheme = "mysql://";
constexpr char kShape[] =
    "write "
    "mysql://USER@HOST:PORT/DB/TABLE?create_table=true&write=replace|upsert&on_null_key=fail|skip";

absl::Status Refused(const std::string& problem) {
  return absl::InvalidArgumentError(fmt::format("the MySQL URL {}; {}", problem, kShape));
}

absl::Status PasswordRefused() {
  return absl::InvalidArgumentError(
      "the MySQL URL holds a password, which process lists and logs would show; take it out, and "
      "set "
      "TIDEMARK_MYSQL_PASSWORD, or TIDEMARK_MYSQL_PASSWORD_FILE to a file that holds it");
}

std::optional<unsigned char> HexByte(std::string_view digits) {
  unsigned char byte = 0;
  const auto end = digits.data() + digits.size();
  const auto [at, error] = std::from_chars(digits.data(), end, byte, 16);
  if (digits.size() != 2 || error != std::errc() || at != end) return std::nullopt;
  return byte;
}

absl::StatusOr<std::string> PercentDecode(std::string_view text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    const std::optional<unsigned char> byte = HexByte(text.substr(i + 1, 2));
    if (!byte) {
      return Refused(
          fmt::format("has a % without two hexadecimal digits in '{}' (a % itself is %25)", text));
    }
    if (*byte == 0) return Refused(fmt::format("has a zero byte in '{}'", text));
    decoded += static_cast<char>(*byte);
    i += 2;
  }
  return decoded;
}

// Cuts `text` at the first `separator`: what stood before it is returned, `text` keeps what follows
// (empty: there was none).
std::string_view CutAt(char separator, std::string_view* text) {
  const size_t at = text->find(separator);
  const std::string_view head = text->substr(0, at);
  *text = at == std::string_view::npos ? std::string_view() : text->substr(at + 1);
  return head;
}

absl::Status ParseHostPort(std::string_view text, MySqlAddress* server) {
  std::string_view port;
  if (!text.empty() && text.front() == '[') {
    const size_t close = text.find(']');
    if (close == std::string_view::npos) return Refused("has a '[' without ']' around its host");
    server->host = std::string(text.substr(1, close - 1));
    port = text.substr(close + 1);
    if (!port.empty() && port.front() != ':')
      return Refused(fmt::format("has '{}' after its host", port));
  } else {
    const size_t colon = text.find(':');
    if (colon != text.rfind(':')) {
      return Refused(
          fmt::format("has several colons in '{}' (an IPv6 host stands in brackets)", text));
    }
    const absl::StatusOr<std::string> host = PercentDecode(text.substr(0, colon));
    if (!host.ok()) return host.status();
    server->host = *host;
    port = colon == std::string_view::npos ? std::string_view() : text.substr(colon);
  }
  if (server->host.empty()) return Refused("names no host");
  if (port.empty()) return absl::OkStatus();
  port.remove_prefix(1);
  const auto end = port.data() + port.size();
  const auto [at, error] = std::from_chars(port.data(), end, server->port);
  if (error != std::errc() || at != end || server->port < 1 || server->port > 65535) {
    return Refused(fmt::format("has the port '{}', which is not a number from 1 to 65535", port));
  }
  return absl::OkStatus();
}

absl::Status ParseAuthority(std::string_view authority, MySqlAddress* server) {
  const size_t at = authority.rfind('@');
  if (at == std::string_view::npos) return Refused("names no user");
  const std::string_view user = authority.substr(0, at);
  if (user.find(':') != std::string_view::npos) return PasswordRefused();
  const absl::StatusOr<std::string> decoded = PercentDecode(user);
  if (!decoded.ok()) return decoded.status();
  if (decoded->empty()) return Refused("names no user");
  server->user = *decoded;
  return ParseHostPort(authority.substr(at + 1), server);
}

absl::Status ParsePath(std::string_view path, MySqlSinkOptions* options) {
  const size_t slash = path.find('/');
  if (slash == std::string_view::npos) return Refused("names no table");
  const absl::StatusOr<std::string> database = PercentDecode(path.substr(0, slash));
  if (!database.ok()) return database.status();
  const std::string_view rest = path.substr(slash + 1);
  if (rest.find('/') != std::string_view::npos) {
    return Refused(fmt::format(
        "has more than a database and a table in '{}' (a slash in a name is %2F)", path));
  }
  const absl::StatusOr<std::string> table = PercentDecode(rest);
  if (!table.ok()) return table.status();
  if (database->empty()) return Refused("names no database");
  if (table->empty()) return Refused("names no table");
  options->server.database = *database;
  options->table = *table;
  return absl::OkStatus();
}

// The index in `allowed` of a parameter's value.
absl::StatusOr<size_t> Choice(const std::string& name, const std::string& value,
                              const std::vector<std::string>& allowed) {
  for (size_t i = 0; i < allowed.size(); ++i) {
    if (value == allowed[i]) return i;
  }
  return Refused(
      fmt::format("has {}={}, which must be {}", name, value, fmt::join(allowed, " or ")));
}

absl::Status SetParameter(const std::string& name, const std::string& value,
                          MySqlSinkOptions* options) {
  if (name == "password") return PasswordRefused();
  absl::StatusOr<size_t> choice = size_t{0};
  if (name == "create_table") {
    choice = Choice(name, value, {"false", "true"});
    if (choice.ok()) options->create_table = *choice == 1;
  } else if (name == "write") {
    choice = Choice(name, value, {"replace", "upsert"});
    if (choice.ok()) options->write = static_cast<MySqlSinkOptions::Write>(*choice);
  } else if (name == "on_null_key") {
    choice = Choice(name, value, {"fail", "skip"});
    if (choice.ok()) options->on_null_key = static_cast<MySqlSinkOptions::OnNullKey>(*choice);
  } else {
    const std::string nearest = NearestName(name, {"create_table", "write", "on_null_key"});
    return Refused(
        fmt::format("has an unknown parameter '{}'{}", name,
                    nearest.empty() ? "" : fmt::format(" (did you mean '{}'?)", nearest)));
  }
  return choice.status();
}

absl::Status ParseParameters(std::string_view query, MySqlSinkOptions* options) {
  std::vector<std::string> seen;
  while (!query.empty()) {
    std::string_view value = CutAt('&', &query);
    if (value.empty()) continue;
    const absl::StatusOr<std::string> name = PercentDecode(CutAt('=', &value));
    if (!name.ok()) return name.status();
    const absl::StatusOr<std::string> decoded = PercentDecode(value);
    if (!decoded.ok()) return decoded.status();
    for (const std::string& before : seen) {
      if (before == *name) return Refused(fmt::format("has the parameter '{}' twice", *name));
    }
    seen.push_back(*name);
    const absl::Status set = SetParameter(*name, *decoded, options);
    if (!set.ok()) return set;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<MySqlSinkOptions> ParseMySqlUrl(std::string_view url) {
  if (url.substr(0, kScheme.size()) != kScheme) return Refused("does not begin with mysql://");
  std::string_view query = url.substr(kScheme.size());
  std::string_view path = CutAt('?', &query);
  const std::string_view authority = CutAt('/', &path);
  MySqlSinkOptions options;
  absl::Status status = ParseAuthority(authority, &options.server);
  if (status.ok()) status = ParsePath(path, &options);
  if (status.ok()) status = ParseParameters(query, &options);
  if (!status.ok()) return status;
  return options;
}

}  // namespace tidemark
