#ifndef TIDEMARK_OPERATORS_AGGREGATES_WINDOW_H_
#define TIDEMARK_OPERATORS_AGGREGATES_WINDOW_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "tidemark/operators/aggregates/aggregate.h"
#include "tidemark/operators/expressions/bound_expression.h"
#include "tidemark/operators/rows/column.h"
#include "tidemark/operators/rows/row_batch.h"

namespace tidemark {

/// The windows that event times belong to, by their ends: tumbling windows, or each time as a
/// window of its own (a group key that is the event time: it ends at itself). In microseconds. A
/// plain value.
class EventWindows {
 public:
  /// [start, start + size) side by side, aligned to 1970-01-01T00:00:00Z plus an offset; right
  /// before 1970 too. InvalidArgument: a size or offset that is not a whole number of microseconds,
  /// or a size that is not positive.
  static absl::StatusOr<EventWindows> Tumbling(const WindowSpec& spec);
  static EventWindows EachTime() { return EventWindows(1, 0, false); }

  bool is_tumbling() const { return tumbling_; }
  int64_t size() const { return size_; }
  /// The end of the window that holds `time`; nothing if its start or end is no int64 or cannot be
  /// told from WindowTable::kNoWindow or "before everything".
  std::optional<int64_t> EndFor(int64_t time) const;
  /// The first time in the window that ends at `end`.
  int64_t FirstTime(int64_t end) const { return tumbling_ ? end - size_ : end; }

 private:
  EventWindows(int64_t size, int64_t offset, bool tumbling)
      : size_(size), offset_(offset), tumbling_(tumbling) {}

  int64_t size_;
  int64_t offset_;  // in [0, size)
  bool tumbling_;
};

/// Rows with the windows that they are in.
struct WindowedRows {
  std::vector<uint32_t> rows;     ///< ascending
  std::vector<uint32_t> windows;  ///< index into window_ends, for each row; empty: all in window 0
  std::vector<int64_t> window_ends;  ///< each once, ascending
  int64_t late_rows = 0;             ///< left out: window end <= late_before
  int64_t null_rows = 0;             ///< left out: no event time
};

/// Finds the windows of the selected rows by the timestamps in `times`. A row whose window is out
/// of range is left out and added to `errors`.
WindowedRows AssignWindows(const EventWindows& windows, const Column& times,
                           const Selection& selection, int64_t late_before,
                           std::vector<ExpressionError>* errors);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_AGGREGATES_WINDOW_H_
