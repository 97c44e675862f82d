#ifndef TIDEMARK_OPERATORS_SOURCES_OFFSETS_JSON_H_
#define TIDEMARK_OPERATORS_SOURCES_OFFSETS_JSON_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tidemark/operators/sources/source.h"

namespace tidemark {

/// Offsets as Spark writes them: `{"topic":{"0":23,"1":42}}`, without blanks, topics by their bytes
/// and partitions by their number: the same offsets always give the same text. Also the form of
/// progress' startOffset, endOffset, latestOffset and lag.
std::string OffsetsToJson(const Offsets& offsets);

/// Reads that form, blanks allowed. InvalidArgument says what is wrong and at which character: not
/// this form, a topic or partition named twice, a number that is not an int64 below -2, ...
absl::StatusOr<Offsets> OffsetsFromJson(std::string_view text);

/// In a starting offset: the end of the log, or its beginning, when the query is new.
inline constexpr int64_t kLatestOffset = -1;
inline constexpr int64_t kEarliestOffset = -2;

/// The option `starting-offsets`: `earliest`, `latest`, or JSON as above with -1 for latest and -2
/// for earliest.
struct StartingPosition {
  int64_t everywhere =
      kLatestOffset;  ///< kLatestOffset or kEarliestOffset; counts when `offsets` is empty
  Offsets offsets;    ///< one per partition; kLatestOffset and kEarliestOffset allowed
};

/// InvalidArgument for any other text.
absl::StatusOr<StartingPosition> ParseStartingOffsets(std::string_view text);

/// The starting offset of each available partition. InvalidArgument if per-partition offsets leave
/// out a partition or name one that is not there (as in Spark), or lie past the end of a partition.
/// One below its beginning is returned as it is: the engine judges what has aged out.
absl::StatusOr<Offsets> ResolveStartingOffsets(const StartingPosition& position,
                                               const std::vector<AvailableRange>& available);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SOURCES_OFFSETS_JSON_H_
