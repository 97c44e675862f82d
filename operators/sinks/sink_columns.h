#ifndef TIDEMARK_OPERATORS_SINKS_SINK_COLUMNS_H_
#define TIDEMARK_OPERATORS_SINKS_SINK_COLUMNS_H_

#include <cstddef>
#include <string>

#include "absl/status/statusor.h"
#include "tidemark/operators/rows/schema.h"

namespace tidemark {

/// Where a column that a sink was told of stands in the rows. InvalidArgument names `what` it is to
/// the sink (`key column`) and the nearest column there is.
absl::StatusOr<size_t> FindColumn(const Schema& schema, const std::string& name, const char* what);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_SINK_COLUMNS_H_
