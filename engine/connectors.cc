#include "tidemark/engine/connectors.h"

#include <fmt/format.h>

#include <utility>

#include "tidemark/operators/sinks/kafka_sink.h"
#include "tidemark/operators/sinks/mysql_sink.h"
#include "tidemark/operators/sinks/null_sink.h"

namespace tidemark {
namespace {

/// For connectors whose making cannot fail.
template <typename T>
absl::StatusOr<std::unique_ptr<T>> Made(std::unique_ptr<T> made) {
  return made;
}

PollingStart StartOf(const SourceRequest& request) {
  PollingStart start;
  start.topic = request.topic;
  if (request.schema != nullptr) start.schema = *request.schema;
  start.committed = request.committed;
  start.state = request.state;
  start.saved_records = request.saved_records;
  return start;
}

}  // namespace

Input MemoryInput(std::shared_ptr<MemoryTopic> topic, MemorySourceOptions options) {
  return {"memory",
          [topic = std::move(topic), options = std::move(options)](
              const SourceRequest&) -> absl::StatusOr<std::unique_ptr<Source>> {
            return MemorySource::Make(topic, options);
          }};
}

Input GeneratorInput(GeneratorSourceOptions options) {
  return {fmt::format("generator seed={}", options.seed),
          [options](const SourceRequest& request) -> absl::StatusOr<std::unique_ptr<Source>> {
            GeneratorSourceOptions named = options;
            named.topic = request.topic;
            return std::make_unique<GeneratorSource>(named);
          }};
}

Input KafkaInput(KafkaSourceOptions options) {
  return {"kafka",
          [options = std::move(options)](
              const SourceRequest& request) -> absl::StatusOr<std::unique_ptr<Source>> {
            KafkaSourceOptions source = options;
            source.topics = {request.topic};
            source.group_id = "tidemark-" + request.query_id;
            source.queue_bytes = request.queue_bytes;
            source.missing_topics_are_empty = request.may_lack_topic;
            return KafkaSource::Make(std::move(source));
          }};
}

Input EmbeddedInput(EmbeddedKafkaOptions options) {
  return {fmt::format("embedded seed={}", options.seed),
          [options = std::move(options)](
              const SourceRequest& request) -> absl::StatusOr<std::unique_ptr<Source>> {
            EmbeddedKafkaOptions source = options;
            source.topic = request.topic;
            source.committed = request.committed;
            source.planned = request.planned;
            source.queue_bytes = request.queue_bytes;
            return std::make_unique<EmbeddedKafkaSource>(std::move(source));
          }};
}

Input MySqlTableInput(MySqlSourceOptions options) {
  const std::string fingerprint = "mysql " + PollingFingerprint(options.polling);
  return {fingerprint, [options = std::move(options)](const SourceRequest& request) {
            return MakeMySqlSource(options, StartOf(request));
          }};
}

Input PostgresTableInput(PostgresSourceOptions options) {
  const std::string fingerprint = "postgres " + PollingFingerprint(options.polling);
  return {fingerprint, [options = std::move(options)](const SourceRequest& request) {
            return MakePostgresSource(options, StartOf(request));
          }};
}

Output ConsoleOutput(ConsoleOptions options, std::FILE* out) {
  return {false, [=](const SinkRequest&) { return Made(MakeConsoleSink(options, out)); }};
}

Output MemoryOutput(std::shared_ptr<MemoryTable> table) {
  return {false,
          [table = std::move(table)](const SinkRequest&) { return Made(MakeMemorySink(table)); }};
}

Output NullOutput() {
  return {false, [](const SinkRequest&) { return Made(MakeNullSink()); }};
}

Output JsonFilesOutput(std::string folder, JsonFilesOptions options) {
  return {false, [folder = std::move(folder), options](const SinkRequest&) {
            return Made(MakeJsonFilesSink(folder, options));
          }};
}

Output ParquetOutput(std::string folder, ParquetOptions options) {
  return {false, [folder = std::move(folder), options = std::move(options)](const SinkRequest&) {
            return Made(MakeParquetSink(folder, options));
          }};
}

Output MySqlOutput(MySqlSinkOptions options) {
  return {true,
          [options = std::move(options)](
              const SinkRequest& request) -> absl::StatusOr<std::unique_ptr<Sink>> {
            MySqlSinkOptions sink = options;
            sink.delete_when_column = request.delete_column;
            return std::make_unique<MySqlSink>(std::move(sink));
          }};
}

Output KafkaOutput(KafkaSinkOptions options) {
  return {true,
          [options = std::move(options)](
              const SinkRequest& request) -> absl::StatusOr<std::unique_ptr<Sink>> {
            KafkaSinkOptions sink = options;
            sink.delete_when_column = request.delete_column;
            return std::make_unique<KafkaSink>(std::move(sink));
          }};
}

DeadLetters FileDeadLetters(std::string folder) {
  return [folder = std::move(folder)] { return MakeFileDeadLetters(folder); };
}

DeadLetters TopicDeadLetters(KafkaDeadLettersOptions options) {
  return [options = std::move(options)]() -> absl::StatusOr<std::unique_ptr<DeadLetterWriter>> {
    if (absl::Status topic = CheckDeadLetterTopic(options); !topic.ok()) return topic;
    return MakeKafkaDeadLetters(options);
  };
}

CheckpointLocation CheckpointFolder(std::string folder) {
  return {folder, [folder](size_t memory_bytes, bool* created) {
            return OpenCheckpointStore(folder, CheckpointStoreOptions{memory_bytes}, created);
          }};
}

CheckpointLocation CheckpointInMemory(std::shared_ptr<MemoryCheckpoint> checkpoint) {
  return {"in memory", [checkpoint = std::move(checkpoint)](size_t, bool* created) {
            return checkpoint->Open(created);
          }};
}

}  // namespace tidemark
