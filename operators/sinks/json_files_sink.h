#ifndef TIDEMARK_OPERATORS_SINKS_JSON_FILES_SINK_H_
#define TIDEMARK_OPERATORS_SINKS_JSON_FILES_SINK_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tidemark/operators/sinks/sink.h"

namespace tidemark {

struct JsonFilesOptions {
  int64_t max_part_bytes = int64_t{128} << 20;  ///< a part past this is followed by the next one
  std::vector<std::string> partition_by = {};   ///< columns whose values name the parts' folders
};

/// One JSON object a line in the files of `folder`, nulls left out. Exactly once; names, commit,
/// what a kill leaves and errors as files_sink.h says. In update and complete mode the folder is
/// the log of what each batch wrote.
std::unique_ptr<Sink> MakeJsonFilesSink(std::string folder, JsonFilesOptions options = {});

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_JSON_FILES_SINK_H_
