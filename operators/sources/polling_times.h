#ifndef TIDEMARK_OPERATORS_SOURCES_POLLING_TIMES_H_
#define TIDEMARK_OPERATORS_SOURCES_POLLING_TIMES_H_

#include <cstdint>
#include <string>

namespace tidemark {

/// `2025-01-02 10:15:22.123456` as servers read it (years 0001 to 9999; times outside become the
/// nearest of those).
std::string ServerTimeText(int64_t micros);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SOURCES_POLLING_TIMES_H_
