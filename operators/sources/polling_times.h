#ifndef TIDEMARK_OPERATORS_SOURCES_POLLING_TIMES_H_
#define TIDEMARK_OPERATORS_SOURCES_POLLING_TIMES_H_

#include <cstdint>
#include <string>

namespace tidemark {

/// `2025-01-02 10:15:22.123456` as servers read it; years past 9999 have more digits. A server
/// without a year 0 writes those before 1 as `0044-03-15 12:00:00.000000 BC`.
std::string ServerTimeText(int64_t micros, bool has_year_zero);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SOURCES_POLLING_TIMES_H_
