#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "tidemark/engine/connectors.h"
#include "tidemark/engine/flags.h"
#include "tidemark/engine/job_connectors.h"
#include "tidemark/operators/clients/database_address.h"
#include "tidemark/operators/rows/schema.h"
#include "tidemark/operators/sources/offsets_json.h"

namespace tidemark {
namespace {

// Of an embedded run's rows in a batch, so that a demo shows its windows move.
constexpr int64_t kEmbeddedBatches = 10;
constexpr char kTableShape[] =
    "mysql://USER@HOST:PORT/DB/TABLE or postgres://USER@HOST:PORT/DB/TABLE";
constexpr char kPasswordPlace[] =
    "TIDEMARK_SOURCE_PASSWORD, or source_password: ${env:NAME} in the config file";
constexpr TableUrlKind kTableKinds[] = {
    {"mysql", "MySQL", 3306, kTableShape, kPasswordPlace},
    {"postgres", "PostgreSQL", 5432, kTableShape, kPasswordPlace}};

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
    return reader->Fail(*source,
                        fmt::format("'{}' is not {}", WithoutSecrets(source->value), kTableShape));
  }
  const TableUrlKind& kind = kTableKinds[mysql ? 0 : 1];
  absl::StatusOr<TableUrl> url = ParseTableUrl(source->value, kind);
  if (url.ok() && !url->parameters.empty())
    url = RefusedTableUrl(kind, "has parameters, and a table has none");
  if (!url.ok()) return reader->Fail(*source, std::string(url.status().message()));
  if (absl::Status read = ReadPassword(config, "source-password", mysql ? "MYSQL" : "POSTGRES",
                                       environment, &url->server);
      !read.ok()) {
    return reader->FailWith(read);
  }
  polling.table = std::move(url->table);
  if (mysql) {
    MySqlSourceOptions table;
    table.server = std::move(url->server);
    table.polling = std::move(polling);
    options->input = MySqlTableInput(std::move(table));
  } else {
    PostgresSourceOptions table;
    table.server = std::move(url->server);
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

absl::Status ReadPassword(const Config& config, const std::string& key, const std::string& kind,
                          const Environment& environment, DatabaseAddress* server) {
  const std::string variable = fmt::format("TIDEMARK_{}_PASSWORD", kind);
  if (const Setting* secret = config.Find(key)) {
    server->password = secret->value;
    server->password_place = secret->origin;
    return absl::OkStatus();
  }
  if (std::optional<std::string> password = environment(variable)) {
    server->password = *std::move(password);
    server->password_place = variable;
    return absl::OkStatus();
  }
  const std::optional<std::string> path = environment(variable + "_FILE");
  if (!path.has_value() || path->empty()) {
    server->password_place = fmt::format(
        "{}, or in {}", variable,
        key == "source-password" ? "TIDEMARK_SOURCE_PASSWORD" : "TIDEMARK_SINK_PASSWORD");
    return absl::OkStatus();
  }
  std::optional<std::string> password = FirstLineOf(*path);
  if (!password.has_value()) {
    return absl::InvalidArgumentError(
        fmt::format("{}_FILE: the file {} cannot be read, or is empty", variable, *path));
  }
  server->password = *std::move(password);
  server->password_place = fmt::format("the file {} ({}_FILE)", *path, variable);
  return absl::OkStatus();
}

std::string WithoutSecrets(const std::string& url) {
  const size_t at = url.rfind('@');
  const size_t scheme = url.find("://");
  std::string shown = url;
  if (at != std::string::npos)
    shown = (scheme < at ? url.substr(0, scheme + 3) : "") + "..." + url.substr(at);
  if (const size_t parameters = shown.find('?'); parameters != std::string::npos)
    shown.replace(parameters + 1, std::string::npos, "...");
  return shown;
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
