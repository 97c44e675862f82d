#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <utility>

#include "tidemark/engine/connectors.h"
#include "tidemark/engine/flags.h"
#include "tidemark/engine/job_connectors.h"
#include "tidemark/operators/rows/schema.h"
#include "tidemark/operators/sinks/mysql_options.h"
#include "tidemark/operators/sources/offsets_json.h"

namespace tidemark {
namespace {

// Of an embedded run's rows in a batch, so that a demo shows its windows move.
constexpr int64_t kEmbeddedBatches = 10;
constexpr char kTableShape[] =
    "mysql://USER@HOST:PORT/DB/TABLE or postgres://USER@HOST:PORT/DB/TABLE";

void ReadTopic(const Config& config, const JobDefinition& definition, ConfigReader* reader,
               QueryOptions* options) {
  std::string starting_offsets = IsEmbedded(config, definition) ? "earliest" : "latest";
  reader->Text("starting-offsets", &starting_offsets);
  if (absl::StatusOr<StartingPosition> position = ParseStartingOffsets(starting_offsets);
      !position.ok()) {
    reader->Fail(*config.Find("starting-offsets"), std::string(position.status().message()));
  }
  int64_t rows = 200'000;
  reader->Integer("embedded-rows", 1, int64_t{1} << 40, &rows);
  uint64_t seed = 1;
  reader->Unsigned("seed", &seed);
  if (IsEmbedded(config, definition)) {
    if (definition.generator == nullptr) {
      const Setting* brokers = config.Find("brokers");
      return reader->Fail(
          brokers == nullptr ? Setting{"", "--brokers"} : *brokers,
          fmt::format(
              "the job {} has no generator for the embedded broker; name a real one with --brokers "
              "HOST:PORT",
              definition.name));
    }
    options->max_offsets_per_trigger = std::max<int64_t>(1, rows / kEmbeddedBatches);
    EmbeddedKafkaOptions embedded;
    embedded.generator = definition.generator;
    embedded.seed = seed;
    embedded.rows = rows;
    embedded.starting_offsets = starting_offsets;
    embedded.properties = ClientProperties(config);
    options->input = EmbeddedInput(std::move(embedded));
  } else {
    KafkaSourceOptions kafka;
    reader->Text("brokers", &kafka.brokers);
    kafka.starting_offsets = starting_offsets;
    kafka.properties = ClientProperties(config);
    options->input = KafkaInput(std::move(kafka));
  }
}

// A table's address, whatever its server: both kinds are written alike.
absl::StatusOr<MySqlSinkOptions> ParseTableUrl(const std::string& url, int default_port) {
  std::string rest = url.substr(url.find("://") + 3);
  const size_t slash = std::min(rest.find('/'), rest.size());
  const size_t at = rest.rfind('@', slash);
  if (at != std::string::npos && rest.substr(0, at).find(':') != std::string::npos) {
    return absl::InvalidArgumentError(
        "the URL holds a password, which process lists and logs would show; take it out, and set "
        "TIDEMARK_SOURCE_PASSWORD, or source_password: ${env:NAME} in the config file");
  }
  if (rest.find('?') != std::string::npos) {
    return absl::InvalidArgumentError(
        fmt::format("a table has no parameters; write {}", kTableShape));
  }
  const std::string host = rest.substr(at == std::string::npos ? 0 : at + 1, slash - at - 1);
  // The colons of an IPv6 host stand inside its brackets.
  const size_t bracket = host.find(']');
  if (host.find(':', bracket == std::string::npos ? 0 : bracket) == std::string::npos) {
    rest.insert(slash, fmt::format(":{}", default_port));
  }
  absl::StatusOr<MySqlSinkOptions> parsed = ParseMySqlUrl("mysql://" + rest);
  if (parsed.ok()) return parsed;
  const std::string problem(parsed.status().message());
  return absl::InvalidArgumentError(
      fmt::format("{}; write {}", problem.substr(0, problem.find(';')), kTableShape));
}

void ReadTable(const Config& config, const JobDefinition& definition,
               const Environment& environment, ConfigReader* reader, QueryOptions* options) {
  const Setting* source = config.Find("source");
  if (source == nullptr) {
    return reader->Fail({"", "--source"}, fmt::format("the job {} reads a table; name it as {}",
                                                      definition.name, kTableShape));
  }
  PollingOptions polling = *definition.table;
  reader->Duration("poll-interval", /*zero_allowed=*/false, &polling.poll_interval);
  reader->Duration("look-back", /*zero_allowed=*/false, &polling.look_back);
  reader->Text("offset-table", &polling.mirror.table);
  reader->Text("offset-file", &polling.mirror.file);
  const bool mysql = source->value.starts_with("mysql://");
  if (!mysql && !source->value.starts_with("postgres://")) {
    return reader->Fail(*source, fmt::format("'{}' is not {}", source->value, kTableShape));
  }
  absl::StatusOr<MySqlSinkOptions> address = ParseTableUrl(source->value, mysql ? 3306 : 5432);
  if (!address.ok()) return reader->Fail(*source, std::string(address.status().message()));
  absl::StatusOr<std::string> password =
      PasswordOf(config, "source-password", mysql ? "MYSQL" : "POSTGRES", environment);
  if (!password.ok()) return reader->FailWith(password.status());
  polling.table = address->table;
  if (mysql) {
    MySqlSourceOptions table;
    table.server = std::move(address->server);
    table.server.password = *std::move(password);
    table.polling = std::move(polling);
    options->input = MySqlTableInput(std::move(table));
  } else {
    PostgresSourceOptions table;
    table.server = {address->server.host, address->server.port, address->server.user,
                    *std::move(password), address->server.database};
    table.polling = std::move(polling);
    options->input = PostgresTableInput(std::move(table));
  }
}

// Flags of the other kind of input would be ignored in silence.
void RefuseFlags(const Config& config, const std::vector<std::string>& flags,
                 const std::string& reason, ConfigReader* reader) {
  for (const std::string& flag : flags) {
    if (const Setting* setting = config.Find(flag)) reader->Fail(*setting, reason);
  }
}

}  // namespace

bool IsEmbedded(const Config& config, const JobDefinition& definition) {
  if (definition.table.has_value()) return false;
  const Setting* brokers = config.Find("brokers");
  return brokers == nullptr || brokers->value == "embedded";
}

std::map<std::string, std::string> ClientProperties(const Config& config) {
  std::map<std::string, std::string> properties;
  for (const auto& [key, setting] : config.kafka) properties[key] = setting.value;
  return properties;
}

absl::StatusOr<std::string> PasswordOf(const Config& config, const std::string& key,
                                       const std::string& server, const Environment& environment) {
  if (const Setting* secret = config.Find(key)) return secret->value;
  const std::string variable = fmt::format("TIDEMARK_{}_PASSWORD", server);
  if (std::optional<std::string> password = environment(variable)) return *password;
  const std::optional<std::string> path = environment(variable + "_FILE");
  if (!path.has_value() || path->empty()) return "";
  std::ifstream file(*path, std::ios::binary);
  std::string password;
  if (!file || !std::getline(file, password)) {
    return absl::InvalidArgumentError(
        fmt::format("{}_FILE: the file {} cannot be read, or is empty", variable, *path));
  }
  if (password.ends_with('\r')) password.pop_back();
  return password;
}

void ReadInput(const Config& config, const JobDefinition& definition,
               const Environment& environment, ConfigReader* reader, QueryOptions* options) {
  if (definition.table.has_value()) {
    const std::string reads_table =
        fmt::format("the job {} reads a table, not a topic; leave it out", definition.name);
    RefuseFlags(config, {"embedded-rows", "seed", "starting-offsets", "format", "topic"},
                reads_table, reader);
    ReadTable(config, definition, environment, reader, options);
  } else {
    const std::string reads_topic =
        fmt::format("the job {} reads a topic, not a table; leave it out", definition.name);
    RefuseFlags(
        config,
        {"source", "source-password", "poll-interval", "look-back", "offset-table", "offset-file"},
        reads_topic, reader);
    ReadTopic(config, definition, reader, options);
  }
  reader->Integer("max-offsets-per-trigger", 1, INT64_MAX, &options->max_offsets_per_trigger);
  reader->Bool("fail-on-data-loss", &options->fail_on_data_loss);
}

}  // namespace tidemark
