#ifndef TIDEMARK_OPERATORS_SINKS_FILES_BATCH_H_
#define TIDEMARK_OPERATORS_SINKS_FILES_BATCH_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tidemark/operators/rows/row_batch.h"
#include "tidemark/operators/sinks/durable_file.h"
#include "tidemark/operators/sinks/files_manifest.h"
#include "tidemark/operators/sinks/files_partitions.h"
#include "tidemark/operators/sinks/sink.h"

namespace tidemark {

/// A part that is being written. The writer appends to the file and counts its rows.
struct OpenPart {
  DurableFile file;
  FilePart part;
};

/// The parts of one batch: each under its hidden name until Publish names them all. What is not
/// published goes with the object.
class BatchParts {
 public:
  BatchParts(std::string folder, int64_t batch_id, std::string query_id, std::string ending);
  /// Begins a part in the folder `below` ours, which is made if it is missing. The part lives as
  /// long as this object.
  absl::StatusOr<OpenPart*> Begin(const std::string& below);
  /// The part is complete: on disk, nothing is appended any more.
  absl::Status End(OpenPart* part);
  /// Names all parts, each ended before, and syncs their folders.
  absl::StatusOr<std::vector<FilePart>> Publish();

 private:
  const std::string folder_;
  const int64_t batch_id_;
  const std::string query_id_;
  const std::string ending_;
  std::deque<OpenPart> parts_;
};

/// Writes rows into the parts of one folder: Write as often as needed, then Finish. Destroyed
/// without Finish, it leaves its open part to be thrown away.
class PartsWriter {
 public:
  virtual ~PartsWriter() = default;
  /// The selected rows; may keep a copy of them in memory, nothing else.
  virtual absl::Status Write(const RowBatch& rows) = 0;
  /// Bytes of rows kept in memory.
  virtual size_t buffered_bytes() const { return 0; }
  /// Moves the rows kept in memory to the open part.
  virtual absl::Status Flush() { return absl::OkStatus(); }
  /// Ends the open part.
  virtual absl::Status Finish() = 0;
};

/// How rows become files. One thread; outlives its writers.
class FileFormat {
 public:
  virtual ~FileFormat() = default;
  /// The files' columns, before anything else; may be called again. InvalidArgument: they do not
  /// fit.
  virtual absl::Status Open(const Schema& schema) = 0;
  virtual std::string ending() const = 0;
  /// `parts` outlives the writer.
  virtual std::unique_ptr<PartsWriter> MakeWriter(BatchParts* parts, std::string below) = 0;
};

/// What bounds the memory, the open files and the folders of a batch.
struct FilesBatchLimits {
  size_t max_open_folders = 128;  ///< more are written in further passes over the rows
  size_t max_folders = 10'000;    ///< in one batch; more are refused
  size_t max_buffered_bytes = size_t{64} << 20;
};

/// Writes the rows of a batch into the parts of their folders: in one pass over `rows` for each
/// max_open_folders folders, so that memory is bounded and no folder gets more parts than it needs.
absl::Status WriteFilesBatch(const FilesPartitions& partitions, const FilesBatchLimits& limits,
                             FileFormat* format, BatchParts* parts, RowStream* rows);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_FILES_BATCH_H_
