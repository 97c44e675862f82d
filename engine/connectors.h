#ifndef TIDEMARK_ENGINE_CONNECTORS_H_
#define TIDEMARK_ENGINE_CONNECTORS_H_

#include <cstdio>
#include <functional>
#include <memory>
#include <string>

#include "tidemark/engine/query_options.h"
#include "tidemark/operators/sinks/console_sink.h"
#include "tidemark/operators/sinks/json_files_sink.h"
#include "tidemark/operators/sinks/kafka_dead_letters.h"
#include "tidemark/operators/sinks/kafka_options.h"
#include "tidemark/operators/sinks/memory_sink.h"
#include "tidemark/operators/sinks/mysql_options.h"
#include "tidemark/operators/sinks/parquet_sink.h"
#include "tidemark/operators/sources/generator_source.h"
#include "tidemark/operators/sources/kafka_embedded.h"
#include "tidemark/operators/sources/kafka_source.h"
#include "tidemark/operators/sources/memory_source.h"
#include "tidemark/operators/sources/mysql_source.h"
#include "tidemark/operators/sources/postgres_source.h"
#include "tidemark/state/checkpoint_store.h"

/// The sources, sinks and checkpoints there are, as QueryOptions take them. A new one is registered
/// by a function here.
namespace tidemark {

Input MemoryInput(std::shared_ptr<MemoryTopic> topic, MemorySourceOptions options = {});
/// The topic's name comes from the plan.
Input GeneratorInput(GeneratorSourceOptions options);

/// Topics, group (unless the properties name one) and memory come from the query.
Input KafkaInput(KafkaSourceOptions options);
/// The broker inside the process; topic, committed offsets and memory come from the query.
Input EmbeddedInput(EmbeddedKafkaOptions options);

/// A table that is polled; its name, unless the options have one, is the stream's.
Input MySqlTableInput(MySqlSourceOptions options);
Input PostgresTableInput(PostgresSourceOptions options);

/// `out` outlives the query.
Output ConsoleOutput(ConsoleOptions options = {}, std::FILE* out = stdout);
Output MemoryOutput(std::shared_ptr<MemoryTable> table);
Output NullOutput();
Output JsonFilesOutput(std::string folder, JsonFilesOptions options = {});
/// Append mode only.
Output ParquetOutput(std::string folder, ParquetOptions options = {});

/// `DeleteWhen` becomes the sink's column of deletes.
Output MySqlOutput(MySqlSinkOptions options);
/// The same; the rows it is true of become tombstones.
Output KafkaOutput(KafkaSinkOptions options);

using DeadLetters = std::function<absl::StatusOr<std::unique_ptr<DeadLetterWriter>>()>;
DeadLetters FileDeadLetters(std::string folder);
DeadLetters TopicDeadLetters(KafkaDeadLettersOptions options);

/// A folder on disk, made if it is missing.
CheckpointLocation CheckpointFolder(std::string folder);
/// For tests: lives as long as `checkpoint`.
CheckpointLocation CheckpointInMemory(std::shared_ptr<MemoryCheckpoint> checkpoint);

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_CONNECTORS_H_
