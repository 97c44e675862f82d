#ifndef TIDEMARK_OPERATORS_SINKS_FILES_SINK_H_
#define TIDEMARK_OPERATORS_SINKS_FILES_SINK_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tidemark/operators/sinks/files_batch.h"
#include "tidemark/operators/sinks/sink.h"

namespace tidemark {

/// What file sinks have in common, whatever is in the files.
struct FilesSinkOptions {
  std::string kind;  ///< `JsonFiles`, for messages
  std::string folder;
  std::vector<std::string> partition_by;
  bool append_only = false;
  FilesBatchLimits limits;
};

/// Writes each batch as files of `folder` (semantics, section 8). Exactly once.
///
///     [<column>=<value>/...]part-<batch, 5 digits>-<seq, 3 digits>-<query id, 8 digits>.<ending>
///     _tidemark/<batch, 5 digits>.json   the manifest: the marker, and the parts
///     _SUCCESS                           the query ended by itself; removed when it goes on
///
/// A part counts only if a manifest names it: the manifest, written last, is the commit, and a
/// batch without rows has one too. Parts and manifests are written under hidden names, synced and
/// renamed. Killed between any two steps, it leaves hidden files, or parts that no manifest names;
/// the next Commit removes those of this query. One process at a time: Open locks `_tidemark`. A
/// reader that must not see half a batch reads the parts that the manifests name. The folder is
/// made if it is not there; files of others in it are left alone. Parts are not joined across
/// batches.
///
/// Open fails with FailedPrecondition if another process writes the folder, or the newest manifest
/// is another query's, has other partition columns, or cannot be read, and with InvalidArgument if
/// the folder cannot be written or the rows do not fit; Commit with ResourceExhausted on a full
/// disk.
std::unique_ptr<Sink> MakeFilesSink(FilesSinkOptions options, std::unique_ptr<FileFormat> format);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_FILES_SINK_H_
