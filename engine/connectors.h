#ifndef TIDEMARK_ENGINE_CONNECTORS_H_
#define TIDEMARK_ENGINE_CONNECTORS_H_

#include <cstdio>
#include <memory>
#include <string>

#include "tidemark/engine/query_options.h"
#include "tidemark/operators/sinks/console_sink.h"
#include "tidemark/operators/sinks/json_files_sink.h"
#include "tidemark/operators/sinks/memory_sink.h"
#include "tidemark/operators/sources/generator_source.h"
#include "tidemark/operators/sources/memory_source.h"
#include "tidemark/state/checkpoint_store.h"

/// The sources, sinks and checkpoints there are, as QueryOptions take them. A new one is registered by a function here.
namespace tidemark {

Input MemoryInput(std::shared_ptr<MemoryTopic> topic, MemorySourceOptions options = {});
/// The topic's name comes from the plan.
Input GeneratorInput(GeneratorSourceOptions options);

/// `out` outlives the query.
Output ConsoleOutput(ConsoleOptions options = {}, std::FILE* out = stdout);
Output MemoryOutput(std::shared_ptr<MemoryTable> table);
Output NullOutput();
Output JsonFilesOutput(std::string folder, JsonFilesOptions options = {});

/// A folder on disk, made if it is missing.
CheckpointLocation CheckpointFolder(std::string folder);
/// For tests: lives as long as `checkpoint`.
CheckpointLocation CheckpointInMemory(std::shared_ptr<MemoryCheckpoint> checkpoint);

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_CONNECTORS_H_
