#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "tidemark/engine/connectors.h"
#include "tidemark/engine/job_connectors.h"
#include "tidemark/operators/formats/avro_options.h"
#include "tidemark/operators/rows/schema.h"
#include "tidemark/operators/sinks/files_address.h"
#include "tidemark/operators/sinks/files_partitions.h"

namespace tidemark {
namespace {

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
  const Setting* brokers = own != nullptr ? own : config.Find("brokers");
  if (brokers == nullptr || (own == nullptr && brokers->value == "embedded")) {
    return reader->Fail(target,
                        "a topic for results needs a real broker, the embedded one forgets it; "
                        "name one with --sink-brokers HOST:PORT");
  }
  if (own != nullptr && own->value == "embedded")
    return reader->Fail(*own, "the embedded broker forgets results; name a real one as HOST:PORT");
  kafka->brokers = brokers->value;
  kafka->properties = ClientProperties(config);
  ReadSinkFormat(config, reader, &kafka->format);
  options->output = KafkaOutput(*std::move(kafka));
}

}  // namespace

void ReadOutput(const Config& config, const Environment& environment, ConfigReader* reader,
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
  if (sink != "console") {
    reader->RefuseOnCommandLine({"num-rows", "truncate"},
                                "is for --sink console; leave it out with another sink");
  }
  if (!sink.starts_with("kafka:")) {
    reader->RefuseOnCommandLine({"sink-brokers", "sink-format", "sink-avro-schema", "sink-avro-id"},
                                "is for --sink kafka:TOPIC; leave it out with another sink");
  }
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
    if (absl::Status read =
            ReadPassword(config, "sink-password", "MYSQL", environment, &mysql->server);
        !read.ok()) {
      return reader->FailWith(read);
    }
    options->output = MySqlOutput(*std::move(mysql));
  } else {
    const std::string nearest =
        NearestName(sink.substr(0, sink.find(':')),
                    {"console", "memory", "null", "json", "parquet", "kafka", "mysql"});
    reader->Fail(*config.Find("sink"),
                 fmt::format("'{}' is none of {}{}", WithoutSecrets(sink), fmt::join(words, ", "),
                             nearest.empty() ? "" : fmt::format("; did you mean {}?", nearest)));
  }
}

absl::Status CheckPartitions(const Config& config, const Schema& rows) {
  const Setting* sink = config.Find("sink");
  if (sink == nullptr || !(sink->value.starts_with("json:") || sink->value.starts_with("parquet:")))
    return absl::OkStatus();
  absl::StatusOr<FilesAddress> files =
      ParseFilesAddress(sink->value.substr(sink->value.find(':') + 1));
  if (!files.ok()) return files.status();
  const absl::Status found = FilesPartitions::Make(rows, files->partition_by).status();
  if (found.ok()) return found;
  return absl::InvalidArgumentError(
      fmt::format("{}: {}", sink->origin, std::string(found.message())));
}

}  // namespace tidemark
