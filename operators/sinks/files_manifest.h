#ifndef TIDEMARK_OPERATORS_SINKS_FILES_MANIFEST_H_
#define TIDEMARK_OPERATORS_SINKS_FILES_MANIFEST_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tidemark/operators/sinks/sink.h"

namespace tidemark {

// The names of the files that a file sink writes, and the record of what each batch wrote
// (semantics, section 8). Pure functions: nothing here touches a file.

/// A file of a batch: `part-00012-000-0123abcd.json`, or `date=2025-01-02/part-...` below.
struct FilePart {
  std::string name;  ///< below the sink's folder; holds no character that JSON escapes
  int64_t rows = 0;
  int64_t bytes = 0;
};

/// What a batch wrote; the file that holds it is the batch's commit.
struct FilesManifest {
  SinkMarker marker;
  std::string partition_by;  ///< a JSON array of column names; empty: no partitions
  std::vector<FilePart> parts;
};

/// `00012.json`
std::string ManifestName(int64_t batch_id);
/// The batch whose manifest has this name.
std::optional<int64_t> ManifestBatch(std::string_view name);

/// `part-00012-000-0123abcd.json`; `ending` is json or parquet.
std::string PartName(int64_t batch_id, int64_t seq, std::string_view query_id,
                     std::string_view ending);
/// The batch of one of this query's parts, whatever its ending, if `name` is one.
std::optional<int64_t> PartBatch(std::string_view name, std::string_view query_id);

std::string ManifestText(const FilesManifest& manifest);
/// Reads what ManifestText wrote, for the sink of this name. A manifest of another sink reads as
/// one whose sink is empty; nothing if it is not a whole manifest.
std::optional<FilesManifest> ParseManifest(std::string_view text, const std::string& sink);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_FILES_MANIFEST_H_
