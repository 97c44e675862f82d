#include "tidemark/engine/job_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>

#include "tidemark/engine/connectors.h"
#include "tidemark/operators/rows/schema.h"
#include "tidemark/operators/sinks/files_address.h"

namespace tidemark {
namespace {

constexpr size_t kLeastMemory = size_t{32} << 20;
constexpr int64_t kMostThreads = 1024;
// Of an embedded run's rows in a batch, so that a demo shows its windows move.
constexpr int64_t kEmbeddedBatches = 10;

bool IsEmbedded(const Config& config) {
  const Setting* brokers = config.Find("brokers");
  return brokers == nullptr || brokers->value == "embedded";
}

// The node that `flag` changes, if it was given; the reader keeps what is wrong with the pipeline.
template <typename Node>
Node* Target(const Config& config, const std::string& flag, Plan* plan, ConfigReader* reader) {
  const Setting* setting = config.Find(flag);
  if (setting == nullptr) return nullptr;
  absl::StatusOr<Node*> node = plan->Only<Node>(setting->origin);
  if (node.ok()) return *node;
  reader->FailWith(node.status());
  return nullptr;
}

void ReadTrigger(const Config& config, Plan* plan, ConfigReader* reader) {
  SinkNode* sink = Target<SinkNode>(config, "trigger", plan, reader);
  if (sink == nullptr) return;
  const Setting& setting = *config.Find("trigger");
  if (setting.value == "asap") {
    sink->trigger = Trigger::Asap();
  } else if (setting.value == "available-now") {
    sink->trigger = Trigger::AvailableNow();
  } else if (setting.value == "once") {
    sink->trigger = Trigger::Once();
  } else if (absl::StatusOr<absl::Duration> every = ParseDuration(setting.value);
             every.ok() && *every > absl::ZeroDuration()) {
    sink->trigger = Trigger::Every(*every);
  } else {
    const std::string nearest = NearestName(setting.value, {"asap", "available-now", "once"});
    reader->Fail(
        setting,
        fmt::format(
            "'{}' is not a trigger; write a time such as '10 seconds', or asap, available-now or "
            "once{}",
            setting.value, nearest.empty() ? "" : fmt::format(" (did you mean {}?)", nearest)));
  }
}

void ReadFormat(const Config& config, Plan* plan, ConfigReader* reader) {
  if (const Setting* schema = config.Find("avro-schema")) {
    reader->Fail(*schema, "Avro is not there yet; this version reads JSON only, leave it out");
  }
  if (Target<DecodeNode>(config, "format", plan, reader) == nullptr) return;
  size_t format = 0;
  reader->OneOf("format", {"json", "avro"}, &format);
  if (format == 1)
    reader->Fail(*config.Find("format"), "Avro is not there yet; this version reads JSON only");
}

// ---- Options

std::string CheckpointFolderOf(const Config& config, const JobDefinition& definition) {
  const Setting* folder = config.Find("checkpoint");
  if (folder != nullptr) return folder->value;
  // A memory sink's checkpoint is in memory too; what is left in files must not mix with a real
  // one's.
  const Setting* sink = config.Find("sink");
  const std::string_view kind = sink != nullptr && sink->value == "memory" ? "-memory"
                                : IsEmbedded(config)                       ? "-embedded"
                                                                           : "";
  return fmt::format("./checkpoints/{}{}", definition.name, kind);
}

std::map<std::string, std::string> ClientProperties(const Config& config) {
  std::map<std::string, std::string> properties;
  for (const auto& [key, setting] : config.kafka) properties[key] = setting.value;
  return properties;
}

void ReadInput(const Config& config, const JobDefinition& definition, ConfigReader* reader,
               QueryOptions* options) {
  std::string starting_offsets = IsEmbedded(config) ? "earliest" : "latest";
  reader->Text("starting-offsets", &starting_offsets);
  if (absl::StatusOr<StartingPosition> position = ParseStartingOffsets(starting_offsets);
      !position.ok()) {
    reader->Fail(*config.Find("starting-offsets"), std::string(position.status().message()));
  }
  int64_t rows = 200'000;
  reader->Integer("embedded-rows", 1, int64_t{1} << 40, &rows);
  uint64_t seed = 1;
  reader->Unsigned("seed", &seed);
  if (IsEmbedded(config)) {
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
  reader->Integer("max-offsets-per-trigger", 1, INT64_MAX, &options->max_offsets_per_trigger);
  reader->Bool("fail-on-data-loss", &options->fail_on_data_loss);
}

void ReadPolicies(const Config& config, const std::string& checkpoint, ConfigReader* reader,
                  QueryOptions* options) {
  size_t overflow = 0;
  reader->OneOf("on-overflow", {"fail", "null"}, &overflow);
  options->on_overflow = overflow == 0 ? OverflowPolicy::kFail : OverflowPolicy::kNull;

  std::string policy = "dead-letter";
  reader->Text("bad-records", &policy);
  const std::string word = policy.substr(0, policy.find(':'));
  const std::string where = word == policy ? "" : policy.substr(word.size() + 1);
  const std::vector<std::string> words = {"fail", "drop", "null", "dead-letter"};
  const auto found = std::find(words.begin(), words.end(), word);
  if (found == words.end() || (word != policy && (word != "dead-letter" || where.empty()))) {
    return reader->Fail(
        *config.Find("bad-records"),
        fmt::format(
            "'{}' is not fail, drop, null, dead-letter, dead-letter:DIR or dead-letter:topic=T{}",
            policy,
            found == words.end() && !NearestName(word, words).empty() ? DidYouMean(word, words)
                                                                      : ""));
  }
  options->bad_records = static_cast<BadRecordPolicy>(found - words.begin());
  if (where.starts_with("topic=")) {
    const Setting& setting = *config.Find("bad-records");
    if (IsEmbedded(config)) {
      return reader->Fail(
          setting,
          "a topic for dead letters needs a real broker (--brokers HOST:PORT); the embedded one "
          "forgets it; use dead-letter:DIR");
    }
    if (where == "topic=")
      return reader->Fail(setting, "the topic has no name; write dead-letter:topic=T");
    options->dead_letters = TopicDeadLetters(
        {config.Find("brokers")->value, where.substr(6), ClientProperties(config)});
    return;
  }
  options->dead_letters = FileDeadLetters(where.empty() ? checkpoint + "/dead_letters" : where);
}

absl::StatusOr<std::string> MySqlPassword(const Environment& environment) {
  if (std::optional<std::string> password = environment("TIDEMARK_MYSQL_PASSWORD"))
    return *password;
  const std::optional<std::string> path = environment("TIDEMARK_MYSQL_PASSWORD_FILE");
  if (!path.has_value() || path->empty()) return "";
  std::ifstream file(*path, std::ios::binary);
  std::string password;
  if (!file || !std::getline(file, password)) {
    return absl::InvalidArgumentError(fmt::format(
        "TIDEMARK_MYSQL_PASSWORD_FILE: the file {} cannot be read, or is empty", *path));
  }
  if (password.ends_with('\r')) password.pop_back();
  return password;
}

// How a row becomes a value: Avro is raw, or with an id framed as Confluent's clients do.
void ReadSinkFormat(const Config& config, ConfigReader* reader, FormatSpec* format) {
  size_t choice = 0;
  reader->OneOf("sink-format", {"json", "avro"}, &choice);
  const Setting* const schema = config.Find("sink-avro-schema");
  const Setting* const id = config.Find("sink-avro-id");
  if (choice == 0) {
    const Setting* const unused = schema != nullptr ? schema : id;
    if (unused != nullptr) reader->Fail(*unused, "is for Avro; add --sink-format avro");
    return;
  }
  if (schema == nullptr) {
    return reader->Fail(*config.Find("sink-format"),
                        "Avro needs the schema of what is written; add --sink-avro-schema FILE");
  }
  absl::StatusOr<std::string> text = ReadAvroSchemaFile(schema->value);
  if (!text.ok()) return reader->Fail(*schema, std::string(text.status().message()));
  AvroOptions avro{.writer_schema = *std::move(text)};
  if (id != nullptr) {
    int64_t number = 0;
    reader->Integer("sink-avro-id", 0, UINT32_MAX, &number);
    avro.framing = AvroFraming::kConfluent;
    avro.written_schema_id = static_cast<uint32_t>(number);
  }
  *format = Avro({}, std::move(avro));
}

// The topic is the sink's own; brokers and client options are the source's unless the flags say
// otherwise.
void ReadKafkaSink(const Config& config, const Setting& target, ConfigReader* reader,
                   QueryOptions* options) {
  absl::StatusOr<KafkaSinkOptions> kafka = ParseKafkaTarget(target.value);
  if (!kafka.ok()) return reader->Fail(target, std::string(kafka.status().message()));
  const Setting* own = config.Find("sink-brokers");
  if (own == nullptr && IsEmbedded(config)) {
    return reader->Fail(target,
                        "a topic for results needs a real broker, the embedded one forgets it; "
                        "name one with --sink-brokers HOST:PORT");
  }
  if (own != nullptr && own->value == "embedded")
    return reader->Fail(*own, "the embedded broker forgets results; name a real one as HOST:PORT");
  kafka->brokers = own != nullptr ? own->value : config.Find("brokers")->value;
  kafka->properties = ClientProperties(config);
  ReadSinkFormat(config, reader, &kafka->format);
  options->output = KafkaOutput(*std::move(kafka));
}

void ReadSink(const Config& config, const Environment& environment, ConfigReader* reader,
              QueryOptions* options) {
  ConsoleOptions console;
  reader->Integer("num-rows", 0, INT32_MAX, &console.num_rows);
  if (const Setting* truncate = config.Find("truncate");
      truncate != nullptr && truncate->value == "false") {
    console.truncate = 0;
  } else if (truncate != nullptr && truncate->value != "true") {
    reader->Integer("truncate", 0, INT32_MAX, &console.truncate);
  }
  std::string sink = "console";
  reader->Text("sink", &sink);
  const std::vector<std::string> words = {"console",     "memory",      "null",       "json:DIR",
                                          "parquet:DIR", "kafka:TOPIC", "mysql://..."};
  if (sink == "console") {
    options->output = ConsoleOutput(console);
  } else if (sink == "memory") {
    options->output = MemoryOutput(std::make_shared<MemoryTable>());
    // What it holds ends with the process; so does what belongs to it, unless told otherwise.
    if (config.Find("checkpoint") == nullptr) {
      options->checkpoint = CheckpointInMemory(std::make_shared<MemoryCheckpoint>());
    }
  } else if (sink == "null") {
    options->output = NullOutput();
  } else if (sink.starts_with("json:") || sink.starts_with("parquet:")) {
    absl::StatusOr<FilesAddress> files = ParseFilesAddress(sink.substr(sink.find(':') + 1));
    if (!files.ok()) {
      return reader->Fail(*config.Find("sink"),
                          fmt::format("'{}': {}", sink, std::string(files.status().message())));
    }
    options->output =
        sink.starts_with("json:")
            ? JsonFilesOutput(files->folder, {.partition_by = std::move(files->partition_by)})
            : ParquetOutput(files->folder, {.partition_by = std::move(files->partition_by)});
  } else if (sink.starts_with("kafka:")) {
    ReadKafkaSink(config, *config.Find("sink"), reader, options);
  } else if (sink.starts_with("mysql://")) {
    absl::StatusOr<MySqlSinkOptions> mysql = ParseMySqlUrl(sink);
    if (!mysql.ok())
      return reader->Fail(*config.Find("sink"), std::string(mysql.status().message()));
    absl::StatusOr<std::string> password = MySqlPassword(environment);
    if (!password.ok()) return reader->FailWith(password.status());
    mysql->server.password = *std::move(password);
    options->output = MySqlOutput(*std::move(mysql));
  } else {
    const std::string nearest =
        NearestName(sink.substr(0, sink.find(':')),
                    {"console", "memory", "null", "json", "parquet", "kafka", "mysql"});
    reader->Fail(*config.Find("sink"),
                 fmt::format("'{}' is none of {}{}", sink, fmt::join(words, ", "),
                             nearest.empty() ? "" : fmt::format("; did you mean {}?", nearest)));
  }
}

}  // namespace

std::map<std::string, std::string> JobParameters(const Config& config,
                                                 const JobDefinition& definition) {
  std::map<std::string, std::string> parameters;
  for (const JobParameter& parameter : definition.params)
    parameters[parameter.name] = parameter.fallback;
  for (const auto& [name, setting] : config.params) parameters[name] = setting.value;
  return parameters;
}

absl::Status ApplyToPlan(const Config& config, Plan* plan) {
  ConfigReader reader(config);
  if (SourceNode* source = Target<SourceNode>(config, "topic", plan, &reader))
    reader.Text("topic", &source->topic);
  ReadFormat(config, plan, &reader);
  if (AggregateNode* aggregate = Target<AggregateNode>(config, "window", plan, &reader)) {
    if (!aggregate->window.has_value()) {
      reader.Fail(*config.Find("window"), "the pipeline groups without a window; leave it out");
    } else {
      reader.Duration("window", /*zero_allowed=*/false, &aggregate->window->size);
    }
  }
  if (WatermarkNode* node = Target<WatermarkNode>(config, "watermark", plan, &reader)) {
    reader.Duration("watermark", /*zero_allowed=*/true, &node->delay);
  }
  if (WatermarkNode* node = Target<WatermarkNode>(config, "idle-timeout", plan, &reader)) {
    node->per_partition = true;
    reader.Duration("idle-timeout", /*zero_allowed=*/false, &node->idle_timeout);
  }
  if (WatermarkNode* node = Target<WatermarkNode>(config, "max-future-skew", plan, &reader)) {
    reader.Duration("max-future-skew", /*zero_allowed=*/true, &node->max_future_skew);
  }
  if (SinkNode* sink = Target<SinkNode>(config, "output-mode", plan, &reader)) {
    size_t mode = 0;
    reader.OneOf("output-mode", {"append", "update", "complete"}, &mode);
    sink->mode = static_cast<OutputMode>(mode);
  }
  ReadTrigger(config, plan, &reader);
  return reader.status();
}

absl::StatusOr<QueryOptions> MakeQueryOptions(const Config& config, const JobDefinition& definition,
                                              const Environment& environment) {
  ConfigReader reader(config);
  QueryOptions options;
  options.name = definition.name;
  const std::string checkpoint = CheckpointFolderOf(config, definition);
  if (checkpoint.empty()) reader.Fail(*config.Find("checkpoint"), "is empty; name a folder");
  options.checkpoint = CheckpointFolder(checkpoint);
  ReadInput(config, definition, &reader, &options);
  ReadPolicies(config, checkpoint, &reader, &options);
  ReadSink(config, environment, &reader, &options);
  int64_t threads = 0;
  reader.Integer("threads", 1, kMostThreads, &threads);
  options.threads = static_cast<int>(threads);
  reader.Bytes("memory-limit", kLeastMemory, &options.memory_limit);
  int64_t snapshot_every = options.snapshot_every;
  reader.Integer("snapshot-every", 0, INT32_MAX, &snapshot_every);
  options.snapshot_every = static_cast<int>(snapshot_every);
  reader.Duration("give-up-after", /*zero_allowed=*/false, &options.give_up_after);
  if (!reader.status().ok()) return reader.status();
  return options;
}

}  // namespace tidemark
