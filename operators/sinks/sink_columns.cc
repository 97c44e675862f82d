#include "tidemark/operators/sinks/sink_columns.h"

#include <fmt/format.h>

#include <optional>

namespace tidemark {

absl::StatusOr<size_t> FindColumn(const Schema& schema, const std::string& name, const char* what) {
  const std::optional<size_t> found = schema.Find(name);
  if (found) return *found;
  const std::string nearest = schema.Nearest(name);
  return absl::InvalidArgumentError(
      fmt::format("the {} {} is not among the rows' columns {}{}", what, name, schema.ToString(),
                  nearest.empty() ? "" : fmt::format(" (did you mean {}?)", nearest)));
}

}  // namespace tidemark
