#ifndef TIDEMARK_OPERATORS_SOURCES_POLLING_MIRROR_H_
#define TIDEMARK_OPERATORS_SOURCES_POLLING_MIRROR_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "tidemark/operators/sources/polling_options.h"

namespace tidemark {

/// What people look at: the committed offset of a polled table.
struct MirroredOffset {
  std::string source;  ///< PollingMirror::source_name
  PollingMode mode = PollingMode::kId;
  int64_t rows = 0;             ///< since the query began
  std::optional<int64_t> last;  ///< the last id, or the last timestamp in microseconds
};

/// `{"source":"orders","rows":40,"last_id":1040}`, or with `"last_timestamp":"2025-..."`.
std::string MirrorText(const MirroredOffset& offset);
/// Replaces the file by that line, as a whole: readers see the old one or the new one, also after a
/// crash. Unavailable: it cannot be written now.
absl::Status WriteMirrorFile(const std::string& path, const MirroredOffset& offset);

/// What is wrong with a mirror table, as InvalidArgument. `make` is the statement that makes one.
enum class MirrorFault : uint8_t { kNoTable, kNoColumns, kNoRight };
absl::Status MirrorTableStatus(MirrorFault fault, const PollingMirror& mirror,
                               std::string_view make);
/// The offset in a mirror table is none, being `text`.
absl::Status MirrorValueStatus(const PollingMirror& mirror, PollingMode mode,
                               std::string_view text);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SOURCES_POLLING_MIRROR_H_
