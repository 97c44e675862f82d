#ifndef TIDEMARK_OPERATORS_FORMATS_ZONED_TIME_H_
#define TIDEMARK_OPERATORS_FORMATS_ZONED_TIME_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tidemark/operators/rows/schema.h"

namespace tidemark {

/// The zone of a field's times that are written without one: its `zone`, by default UTC.
/// InvalidArgument: there is no such zone.
absl::StatusOr<absl::TimeZone> LoadZone(const Field& field);

/// Local wall-clock microseconds to UTC; a local time that a clock change skips or repeats counts
/// by the offset before the change. Nothing if it does not fit.
std::optional<int64_t> LocalToUtc(int64_t local_us, const absl::TimeZone& zone);

/// True for the text of a time or date whose only fault is that its year does not fit.
bool IsFarTime(std::string_view text);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_ZONED_TIME_H_
