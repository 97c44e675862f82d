#ifndef TIDEMARK_OPERATORS_SOURCES_POLLING_TIMES_H_
#define TIDEMARK_OPERATORS_SOURCES_POLLING_TIMES_H_

#include <cstdint>
#include <string>

#include "absl/time/time.h"

namespace tidemark {

/// `2025-01-02 10:15:22.123456` as servers read it; years past 9999 have more digits. A server
/// without a year 0 writes those before 1 as `0044-03-15 12:00:00.000000 BC`.
std::string ServerTimeText(int64_t micros, bool has_year_zero);

/// What a clock of `zone` shows at a moment of UTC, both in microseconds.
int64_t LocalTime(int64_t utc, const absl::TimeZone& zone);

/// The earliest that a clock of `zone` shows from `look_back` before it shows `latest` on: what a
/// row may have that is committed, or stamped, after that. Where an hour comes twice, and `latest`
/// is in it or less than an hour before, that is the hour's beginning at the latest.
int64_t LookBackFrom(int64_t latest, absl::Duration look_back, const absl::TimeZone& zone);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SOURCES_POLLING_TIMES_H_
