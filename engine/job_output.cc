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

// How a row becomes a value, or with `kind` "key-" a key: the format that the flag
// --sink-<kind>format chose of `formats`, the last of which is Avro, which is raw, or with an id
// framed as Confluent's clients do.
size_t ReadSinkFormat(const Config& config, const std::string& kind,
                      const std::vector<std::string>& formats, ConfigReader* reader,
                      FormatSpec* avro_format) {
  const std::string format_flag = "sink-" + kind + "format";
  const std::string schema_flag = "sink-" + kind + "avro-schema";
  const std::string id_flag = "sink-" + kind + "avro-id";
  size_t choice = 0;
  reader->OneOf(format_flag, formats, &choice);
  const Setting* const schema = config.Find(schema_flag);
  const Setting* const id = config.Find(id_flag);
  if (choice + 1 < formats.size()) {
    const Setting* const unused = schema != nullptr ? schema : id;
    if (unused != nullptr) {
      reader->Fail(*unused, fmt::format("is for Avro; add --{} avro", format_flag));
    }
    return choice;
  }
  if (schema == nullptr) {
    reader->Fail(
        *config.Find(format_flag),
        fmt::format("Avro needs the schema of what is written; add --{} FILE", schema_flag));
    return choice;
  }
  absl::StatusOr<std::string> text = ReadAvroSchemaFile(schema->value);
  if (!text.ok()) {
    reader->Fail(*schema, std::string(text.status().message()));
    return choice;
  }
  AvroOptions avro{.writer_schema = *std::move(text)};
  if (id != nullptr) {
    int64_t number = 0;
    reader->Integer(id_flag, 0, UINT32_MAX, &number);
    avro.framing = AvroFraming::kConfluent;
    avro.written_schema_id = static_cast<uint32_t>(number);
  }
  *avro_format = Avro({}, std::move(avro));
  return choice;
}

void ReadSinkFormats(const Config& config, ConfigReader* reader, KafkaSinkOptions* kafka) {
  ReadSinkFormat(config, "", {"json", "avro"}, reader, &kafka->format);
  FormatSpec key = Json({});
  if (ReadSinkFormat(config, "key-", {"text", "json", "avro"}, reader, &key) > 0)
    kafka->key_format = std::move(key);
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
  ReadSinkFormats(config, reader, &*kafka);
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
    reader->RefuseOnCommandLine({"sink-brokers", "sink-format", "sink-avro-schema", "sink-avro-id",
                                 "sink-key-format", "sink-key-avro-schema", "sink-key-avro-id"},
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
