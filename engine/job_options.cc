#include "tidemark/engine/job_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>
#include <utility>

#include "tidemark/engine/connectors.h"
#include "tidemark/engine/job_connectors.h"
#include "tidemark/operators/formats/avro_options.h"
#include "tidemark/operators/rows/schema.h"

namespace tidemark {
namespace {

constexpr size_t kLeastMemory = size_t{32} << 20;
constexpr int64_t kMostThreads = 1024;

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

// The columns are the pipeline's; how they are written is said here.
void ReadFormat(const Config& config, Plan* plan, ConfigReader* reader) {
  size_t format = 0;
  reader->OneOf("format", {"json", "avro"}, &format);
  std::string schema_file;
  reader->Text("avro-schema", &schema_file);
  AvroOptions avro;
  if (!schema_file.empty()) {
    absl::StatusOr<std::string> schema = ReadAvroSchemaFile(schema_file);
    if (!schema.ok()) {
      return reader->Fail(*config.Find("avro-schema"), std::string(schema.status().message()));
    }
    avro.writer_schema = *std::move(schema);
  }
  reader->Text("avro-schemas", &avro.schema_folder);
  reader->Text("avro-registry", &avro.registry_url);
  if (avro.registry_url.find('@') != std::string::npos) {
    return reader->Fail(*config.Find("avro-registry"),
                        "the URL holds a login, which process lists would show; take it out, and "
                        "set --avro-registry-user and TIDEMARK_AVRO_REGISTRY_PASSWORD");
  }
  for (const char* flag : {"avro-schema", "avro-schemas", "avro-registry"}) {
    if (format == 0 && config.Find(flag) != nullptr)
      return reader->Fail(*config.Find(flag), "is for --format avro only; give both");
  }
  DecodeNode* decode = Target<DecodeNode>(config, "format", plan, reader);
  if (decode == nullptr) return;
  const bool framed = !avro.schema_folder.empty() || !avro.registry_url.empty();
  if (format == 1 && framed == !schema_file.empty()) {
    return reader->Fail(
        *config.Find("format"),
        "avro needs its schemas, from one place: --avro-schema FILE for bare records, or for "
        "records "
        "with a schema id --avro-schemas DIR (with ID.avsc) or --avro-registry URL");
  }
  if (framed) {
    avro.framing = AvroFraming::kConfluent;
    if (const Setting* user = config.Find("avro-registry-user")) avro.registry_user = user->value;
    if (const Setting* secret = config.Find("avro-registry-password"))
      avro.registry_password = secret->value;
  }
  FormatSpec read =
      format == 1 ? Avro(decode->format.schema, std::move(avro)) : Json(decode->format.schema);
  read.max_record_bytes = decode->format.max_record_bytes;
  read.max_depth = decode->format.max_depth;
  decode->format = std::move(read);
}

// ---- Options

std::string CheckpointFolderOf(const Config& config, const JobDefinition& definition) {
  const Setting* folder = config.Find("checkpoint");
  if (folder != nullptr) return folder->value;
  // A memory sink's checkpoint is in memory too; what is left in files must not mix with a real
  // one's.
  const Setting* sink = config.Find("sink");
  const std::string_view kind = sink != nullptr && sink->value == "memory" ? "-memory"
                                : IsEmbedded(config, definition)           ? "-embedded"
                                                                           : "";
  return fmt::format("./checkpoints/{}{}", definition.name, kind);
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
    const Setting* brokers = config.Find("brokers");
    if (brokers == nullptr || brokers->value == "embedded") {
      return reader->Fail(
          setting,
          "a topic for dead letters needs a real broker (--brokers HOST:PORT); the embedded one "
          "forgets it; use dead-letter:DIR");
    }
    if (where == "topic=")
      return reader->Fail(setting, "the topic has no name; write dead-letter:topic=T");
    options->dead_letters =
        TopicDeadLetters({brokers->value, where.substr(6), ClientProperties(config)});
    return;
  }
  options->dead_letters = FileDeadLetters(where.empty() ? checkpoint + "/dead_letters" : where);
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
  ReadInput(config, definition, environment, &reader, &options);
  if (!definition.table.has_value() && !IsEmbedded(config, definition)) {
    reader.RefuseOnCommandLine(
        {"embedded-rows", "seed"},
        "is for the embedded broker; leave it out with a real one (--brokers)");
  }
  ReadPolicies(config, checkpoint, &reader, &options);
  ReadOutput(config, environment, &reader, &options);
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
