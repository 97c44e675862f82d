#include "tidemark/operators/sinks/mysql_options.h"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "tidemark/operators/rows/schema.h"

namespace tidemark {
namespace {

constexpr TableUrlKind kUrl = {
    .scheme = "mysql",
    .server = "MySQL",
    .default_port = 3306,
    .shape =
        "mysql://USER@HOST:PORT/DB/TABLE?create_table=true&write=replace|upsert&"
        "on_null_key=fail|skip",
    .password_place =
        "TIDEMARK_MYSQL_PASSWORD, or TIDEMARK_MYSQL_PASSWORD_FILE to a file that "
        "holds it"};

absl::Status Refused(const std::string& problem) { return RefusedTableUrl(kUrl, problem); }

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

}  // namespace

absl::StatusOr<MySqlSinkOptions> ParseMySqlUrl(std::string_view url) {
  absl::StatusOr<TableUrl> parsed = ParseTableUrl(url, kUrl);
  if (!parsed.ok()) return parsed.status();
  MySqlSinkOptions options;
  options.server = std::move(parsed->server);
  options.table = std::move(parsed->table);
  for (const auto& [name, value] : parsed->parameters) {
    if (absl::Status set = SetParameter(name, value, &options); !set.ok()) return set;
  }
  return options;
}

}  // namespace tidemark
