#ifndef TIDEMARK_ENGINE_PLANNER_H_
#define TIDEMARK_ENGINE_PLANNER_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tidemark/engine/plan.h"
#include "tidemark/operators/aggregates/aggregation.h"
#include "tidemark/operators/rows/bad_record.h"
#include "tidemark/operators/transforms/transform.h"

namespace tidemark {

/// Policies that planning needs: they decide what a failing expression does.
struct PlannerOptions {
  BadRecordPolicy bad_records = BadRecordPolicy::kDeadLetter;
  OverflowPolicy on_overflow = OverflowPolicy::kFail;
  bool sink_deletes = true;  ///< the sink can delete by key: DeleteWhen adds its column to the rows
};

/// A plan with every column found and every type known: what batches are run with. Const after
/// planning, but for the groups behind `aggregation`.
struct BoundPlan {
  std::string topic;
  FormatSpec format;
  std::vector<std::unique_ptr<Transform>>
      transforms;  ///< decoded rows to the aggregate's (or the sink's) input
  std::optional<WatermarkNode> watermark;
  std::unique_ptr<Aggregation> aggregation;  ///< null: the rows go straight to the sink
  bool closes_groups = false;                ///< groups leave as the watermark passes their window
  std::vector<std::unique_ptr<Transform>>
      result_transforms;  ///< the aggregate's results to the sink's rows
  std::shared_ptr<const Schema> output;
  std::vector<std::string> key_columns;
  std::string
      delete_column;  ///< a hidden bool column of `output`: rows to delete by key; empty: none
  OutputMode mode = OutputMode::kAppend;
  Trigger trigger;
  std::string sink;
  /// Canonical text, a line a node: what must stay the same for a checkpoint to be used again
  /// (design, section 4).
  std::string fingerprint;
  std::string state_schema;  ///< StateSchemaText; empty without an aggregate
};

/// Checks the whole plan and binds it. InvalidArgument lists every mistake that was found, a line
/// each.
absl::StatusOr<BoundPlan> BindPlan(const Plan& plan, const PlannerOptions& options);

/// In words, where two fingerprints first differ.
std::string FingerprintDifference(const std::string& checkpoint, const std::string& now);

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_PLANNER_H_
