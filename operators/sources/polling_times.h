#ifndef TIDEMARK_OPERATORS_SOURCES_POLLING_TIMES_H_
#define TIDEMARK_OPERATORS_SOURCES_POLLING_TIMES_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/time/time.h"

namespace tidemark {

/// The UTC microseconds of a clock reading in `zone`, given as if it were UTC; of two that it may
/// mean the earlier, of none the later side of the gap. Nothing if it does not fit.
std::optional<int64_t> LocalToUtc(int64_t local_us, const absl::TimeZone& zone);

/// `2025-01-02 10:15:22.123456` as servers read it (years 0001 to 9999; times outside become the
/// nearest of those).
std::string ServerTimeText(int64_t micros);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SOURCES_POLLING_TIMES_H_
