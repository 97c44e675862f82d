#ifndef TIDEMARK_OPERATORS_ROWS_OUTPUT_MODE_H_
#define TIDEMARK_OPERATORS_ROWS_OUTPUT_MODE_H_

#include <cstdint>
#include <optional>
#include <string_view>

namespace tidemark {

/// Which rows a batch writes (semantics, section 3).
enum class OutputMode : uint8_t { kAppend, kUpdate, kComplete };

std::string_view OutputModeName(OutputMode mode);  ///< `append`, `update`, `complete`
std::optional<OutputMode> ParseOutputMode(std::string_view name);  ///< any case

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_ROWS_OUTPUT_MODE_H_
