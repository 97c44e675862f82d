#ifndef TIDEMARK_ENGINE_BATCH_REPORTS_H_
#define TIDEMARK_ENGINE_BATCH_REPORTS_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/time/time.h"
#include "tidemark/engine/checkpoint.h"
#include "tidemark/engine/planner.h"
#include "tidemark/engine/progress.h"
#include "tidemark/engine/query_options.h"
#include "tidemark/engine/row_path.h"

namespace tidemark {

/// A batch that is durable, as its report is made from it.
struct FinishedBatch {
  const BatchPlan& plan;
  const BatchStats& stats;
  const QueryProgress& after;
  const std::vector<AvailableRange>& latest;  ///< what there was when it was planned
  int64_t lost_offsets;
  absl::Duration started;
};

/// What those who watch a query are told: a report a batch, the run's totals, and warnings of rows
/// that were put aside. Used by one thread.
class BatchReports {
 public:
  /// `plan` and `options` outlive it.
  BatchReports(const BoundPlan* plan, const QueryOptions* options)
      : plan_(*plan), options_(*options) {}

  /// Completes `report`, which has names, durations, state and sink already, and hands it on.
  void Add(Progress report, const FinishedBatch& batch);
  /// Rows that were put aside, or that lie about their time, are never silent; nor do they fill the
  /// log: called again while there is nothing to do, it tells what it has kept back.
  void WarnOfRows();

  const RunTotals& totals() const { return totals_; }
  const std::optional<Progress>& last() const { return last_; }

 private:
  const BoundPlan& plan_;
  const QueryOptions& options_;
  RunTotals totals_;
  std::optional<Progress> last_;
  std::optional<absl::Duration> last_started_at_;
  absl::Duration last_end_ = -absl::InfiniteDuration();
  RunTotals warned_;  // bad records and future rows that the log has told of
  std::optional<absl::Duration> warned_at_;
};

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_BATCH_REPORTS_H_
