#ifndef TIDEMARK_OPERATORS_TRANSFORMS_TRANSFORM_H_
#define TIDEMARK_OPERATORS_TRANSFORMS_TRANSFORM_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tidemark/operators/expressions/bound_expression.h"
#include "tidemark/operators/rows/bad_record.h"
#include "tidemark/operators/rows/row_batch.h"

namespace tidemark {

/// Event times that reached the watermark operator in one chunk (rows with a null event time are
/// not among them).
struct EventTimeStats {
  int64_t count = 0;
  int64_t min = INT64_MAX;
  int64_t max = INT64_MIN;
  double sum = 0;  ///< for the average that progress shows
  /// The greatest event time that may move the watermark (INT64_MIN: none): at most max_future_skew
  /// ahead of the record's own timestamp.
  int64_t watermark_max = INT64_MIN;
  int64_t future_rows = 0;  ///< rows that were too far ahead to count
  void Add(const EventTimeStats& other);
};

/// What passing a chunk through the transforms leaves behind besides the rows.
struct ChunkStats {
  EventTimeStats event_time;
  /// Rows on which an expression failed, as bad records of the chunk (reason kExpression, `index`
  /// as RawRecords counts): they left the selection, unless the policy is `null`. Ascending only
  /// within one transform.
  std::vector<BadRecord> failed;
};

/// A step on a batch of rows, bound to its input schema. Const and thread-safe: all that changes is
/// in the arguments.
class Transform {
 public:
  virtual ~Transform() = default;
  virtual const std::shared_ptr<const Schema>& output_schema() const = 0;
  virtual void Apply(RowBatch* batch, ChunkStats* stats) const = 0;
};

/// What happens to a row on which an expression fails: it leaves (and is listed), or the value
/// becomes null (and is listed).
enum class OnExpressionError : uint8_t { kRejectRow, kNull };

/// Keeps the rows for which the condition is true. InvalidArgument: unknown column, or the
/// condition is not a bool.
absl::StatusOr<std::unique_ptr<Transform>> MakeFilter(const Expr& condition,
                                                      std::shared_ptr<const Schema> input,
                                                      OnExpressionError on_error);
/// Replaces the columns by the given expressions, named by their Name(). InvalidArgument: two of
/// one name.
absl::StatusOr<std::unique_ptr<Transform>> MakeSelect(const std::vector<Expr>& columns,
                                                      std::shared_ptr<const Schema> input,
                                                      OnExpressionError on_error);
/// Adds a column at the end, or replaces the one of this name in its place.
absl::StatusOr<std::unique_ptr<Transform>> MakeWithColumn(const std::string& name,
                                                          const Expr& value,
                                                          std::shared_ptr<const Schema> input,
                                                          OnExpressionError on_error);
/// Observes the event times of the selected rows; changes nothing. `max_future_skew` zero: no
/// limit. InvalidArgument: the column is not a timestamp.
absl::StatusOr<std::unique_ptr<Transform>> MakeWatermarkObserver(
    const std::string& column, std::shared_ptr<const Schema> input, absl::Duration max_future_skew);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_TRANSFORMS_TRANSFORM_H_
