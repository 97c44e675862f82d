#ifndef TIDEMARK_OPERATORS_SOURCES_POLLING_TABLE_H_
#define TIDEMARK_OPERATORS_SOURCES_POLLING_TABLE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "tidemark/operators/sources/polling_rows.h"
#include "tidemark/operators/sources/seen_rows.h"

namespace tidemark {

/// The server's side of a polled table: a connection, checks, and reading in order. One thread at a
/// time but for Cancel. PollingSource (polling_source.h) calls Open, again after any Unavailable,
/// then the rest. Errors as in source.h; a table or column that does not fit (any more) is
/// InvalidArgument in one sentence.
class PollingTable {
 public:
  /// What one poll may take.
  struct Budget {
    size_t rows = 0;
    size_t bytes = 0;
  };

  virtual ~PollingTable() = default;

  /// `MySQL[127.0.0.1:3306/shop/orders]`.
  virtual std::string description() const = 0;
  /// Connects unless it is connected, and then checks table, cursor columns and schema.
  virtual absl::Status Open() = 0;

  /// Mode kId. Appends to `rows` what comes after the id `after` and cannot be preceded any more by
  /// a row that is not visible yet, ascending. True: there may be more at once.
  virtual absl::StatusOr<bool> PollIds(std::optional<int64_t> after, const Budget& budget,
                                       PolledRows* rows) = 0;

  /// Mode kId, after Open. The highest id that the server has drawn for the table, or that is in
  /// it; nothing: it does not say.
  virtual absl::StatusOr<std::optional<int64_t>> HighestDrawnId() = 0;

  /// Timestamp modes. The highest timestamp in the table, or the server's time if that is earlier,
  /// in microseconds as they stand in the column; nothing if the table is empty.
  virtual absl::StatusOr<std::optional<int64_t>> LatestTime() = 0;
  /// After Open: the server's time as it would stand in the column.
  virtual absl::StatusOr<int64_t> ServerTime() = 0;
  /// After Open: the zone whose clock the column's times are of, by its field.
  virtual absl::TimeZone time_zone() const = 0;
  /// A place in the order (timestamp, key): past the row of this key, or with no key before all
  /// rows of this timestamp.
  struct TimePlace {
    std::optional<int64_t> time;   ///< nothing: the table's beginning
    std::vector<std::string> key;  ///< as the server writes it
  };
  /// Appends to `rows` those from `place` on, in order, that are not in `seen`, and moves `place`
  /// behind the last row read. True: it was not the table's end.
  virtual absl::StatusOr<bool> PollTimes(const SeenRows& seen, const Budget& budget,
                                         TimePlace* place, PolledRows* rows) = 0;

  /// Where there is to be a mirror table, before the first WriteMirror: makes it if that is asked
  /// for, and gives the offset in it; nothing: none yet. InvalidArgument: it is not there, or does
  /// not fit, with the statement that makes it.
  virtual absl::StatusOr<std::optional<int64_t>> OpenMirror() = 0;
  /// Puts `offset` (an id, or microseconds) into the mirror table.
  virtual absl::Status WriteMirror(int64_t offset) = 0;

  /// From any thread: calls in progress and later ones return Cancelled within 100 ms.
  virtual void Cancel() = 0;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SOURCES_POLLING_TABLE_H_
