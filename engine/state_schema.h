#ifndef TIDEMARK_ENGINE_STATE_SCHEMA_H_
#define TIDEMARK_ENGINE_STATE_SCHEMA_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "tidemark/operators/aggregates/aggregation.h"

namespace tidemark {

/// What the groups in a checkpoint are: window, key columns and accumulators by name and type, so
/// that they can be read without the pipeline. Canonical text, a line a fact. The spec is one that
/// Aggregation::Create takes over `input`.
std::string StateSchemaText(const AggregationSpec& spec, const Schema& input);

/// An aggregation that reads those groups: its state_layout is that of the pipeline's own, and its
/// output has besides each average `<name>.sum` and `<name>.count`, which it is made of. DataLoss:
/// the text is none of StateSchemaText's.
absl::StatusOr<std::unique_ptr<Aggregation>> AggregationOf(std::string_view state_schema);

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_STATE_SCHEMA_H_
