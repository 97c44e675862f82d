#ifndef TIDEMARK_OPERATORS_AGGREGATES_AGGREGATION_H_
#define TIDEMARK_OPERATORS_AGGREGATES_AGGREGATION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tidemark/operators/aggregates/aggregate.h"
#include "tidemark/operators/expressions/bound_expression.h"
#include "tidemark/operators/rows/row_batch.h"
#include "tidemark/state/window_table.h"

namespace tidemark {

/// A chunk made ready to be applied: for each counted row its group key, hash, window and aggregate
/// inputs, sorted by shard and window. Opaque; owns everything it needs, so that the chunk's
/// records can go.
class PreparedRows {
 public:
  virtual ~PreparedRows() = default;
  virtual size_t memory_bytes() const = 0;
  int64_t late_rows = 0;  ///< dropped: their window ended at or before the late watermark
  int64_t null_event_time_rows = 0;  ///< dropped: in no window
  /// Rows on which a key or argument failed, once each, ascending: left out (or null, by policy),
  /// as is a row whose window is out of range. Expressions are not evaluated on dropped rows.
  std::vector<ExpressionError> errors;
};

/// Walks over output rows a batch at a time; key order.
class ResultCursor {
 public:
  virtual ~ResultCursor() = default;
  /// The next rows (at most 8,192), or nullptr at the end; lives until the next call, its columns
  /// as long as they are shared. InvalidArgument: a result overflowed under OverflowPolicy::kFail,
  /// naming the group. Other errors: the store's; DataLoss: a group's key is damaged.
  virtual absl::StatusOr<const RowBatch*> Next() = 0;
};

/// A group-by, bound to its input columns, over a WindowTable. Output columns: window_start,
/// window_end (with a window), the keys under their names, the aggregates under theirs.
///
/// Prepare is const and thread-safe. Apply may be called by several threads at once (a shard is
/// locked while it is updated); chunks may be applied in any order unless `order_matters` (sums of
/// doubles): then in the order (partition, chunk), by one thread at a time, which makes the result
/// depend on the plan alone.
class Aggregation {
 public:
  virtual ~Aggregation() = default;

  /// InvalidArgument: unknown columns, wrong types, a window over a column that is not a timestamp,
  /// two outputs of one name. `input` is the schema after the transforms. The layout of slots and
  /// keys follows from the arguments alone.
  static absl::StatusOr<std::unique_ptr<Aggregation>> Create(const AggregationSpec& spec,
                                                             std::shared_ptr<const Schema> input,
                                                             bool null_on_expression_error);

  virtual const std::shared_ptr<const Schema>& output_schema() const = 0;
  virtual const SlotLayout& slot_layout() const = 0;
  /// Canonical text of slots and keys: part of the fingerprint.
  virtual std::string state_layout() const = 0;
  virtual bool order_matters() const = 0;
  /// True if groups close with the watermark: a window over the watermarked column, or without a
  /// window that column among the keys. Else no row is late, and no group may be closed.
  virtual bool closes_groups() const = 0;

  /// The table that Prepare, Apply and the cursors use; called once, before them. The table
  /// outlives the aggregation's use.
  virtual void Attach(WindowTable* table) = 0;

  /// The selected rows of `batch`, less late ones (window end <= late_before, or the watermarked
  /// key <= late_before; INT64_MIN: none) and those without event time.
  virtual std::unique_ptr<PreparedRows> Prepare(const RowBatch& batch,
                                                int64_t late_before) const = 0;
  /// Adds the rows to their groups. Errors: the store's.
  virtual absl::Status Apply(const PreparedRows& rows) = 0;
  /// After the last Apply of a batch: a sum of integers, or a sum or average of decimals, that does
  /// not fit its type under OverflowPolicy::kFail, as InvalidArgument naming the aggregate and the
  /// group. Free unless some sum has left its type's range.
  virtual absl::Status CheckOverflow() = 0;

  /// Results of groups that have this aggregation's layout, in their order, whatever table they are
  /// of.
  virtual std::unique_ptr<ResultCursor> Results(std::unique_ptr<GroupCursor> groups) const = 0;
  /// Results of the groups touched in this batch (update).
  virtual std::unique_ptr<ResultCursor> Touched() = 0;
  /// Results of the groups with after < window end <= upto (append: what closes; complete:
  /// (INT64_MIN, kNoWindow]).
  virtual std::unique_ptr<ResultCursor> Scan(int64_t after, int64_t upto) = 0;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_AGGREGATES_AGGREGATION_H_
