#ifndef TIDEMARK_OPERATORS_SINKS_JSON_FILES_SINK_H_
#define TIDEMARK_OPERATORS_SINKS_JSON_FILES_SINK_H_

#include <cstdint>
#include <memory>
#include <string>

#include "tidemark/operators/sinks/sink.h"

namespace tidemark {

struct JsonFilesOptions {
  int64_t max_part_bytes = int64_t{128} << 20;  ///< a part past this is followed by the next one
};

/// One JSON object a line in the files of `folder` (semantics, section 8). Exactly once.
///
///     part-<batch, 5 digits>-<seq, 3 digits>-<first 8 hex digits of the query id>.json
///     _tidemark/<batch, 5 digits>.json   the manifest: the marker, and name, rows and bytes of
///     each part _SUCCESS                           the query ended by itself; removed when it goes
///     on
///
/// A part counts only if a manifest names it: the manifest, written last, is the commit, and a
/// batch without rows has one too. Parts and manifests are written under hidden names, synced and
/// renamed. A reader that must not see half a batch reads the parts that the manifests name. The
/// folder is made if it is not there; files of others in it are left alone.
///
/// Open fails with FailedPrecondition if the newest manifest is another query's or cannot be read,
/// and with InvalidArgument if the folder cannot be written; Commit with ResourceExhausted on a
/// full disk.
std::unique_ptr<Sink> MakeJsonFilesSink(std::string folder, JsonFilesOptions options = {});

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_JSON_FILES_SINK_H_
