#ifndef TIDEMARK_OPERATORS_SINKS_SINK_H_
#define TIDEMARK_OPERATORS_SINKS_SINK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tidemark/operators/rows/output_mode.h"
#include "tidemark/operators/rows/row_batch.h"

namespace tidemark {

/// What a sink keeps atomically with a batch's rows, so that the same batch is never written twice
/// (design, section 4).
struct SinkMarker {
  std::string query_id;  ///< a UUID
  std::string sink;      ///< the sink's name in the pipeline
  int64_t epoch = 0;
  int64_t batch_id = -1;
  uint64_t plan_hash = 0;  ///< of the logged plan of that batch
  int64_t row_count = 0;
  uint64_t rows_hash = 0;  ///< of the rows in the order they were given
  friend bool operator==(const SinkMarker&, const SinkMarker&) = default;
};

/// The rows of one batch, in the order that the plan fixes (aggregates: by window end, then group
/// key). Read by a sink as often as it needs; counts and hashes what it gives.
class RowStream {
 public:
  virtual ~RowStream() = default;
  /// The next rows (a batch with at least one selected row), or nullptr at the end. The batch lives
  /// until the next call.
  absl::StatusOr<const RowBatch*> Next();
  /// Back to the first row, count and hash too.
  absl::Status Rewind();
  /// Valid after Next has returned nullptr.
  int64_t row_count() const { return row_count_; }
  /// The same however the rows are cut into batches and selected; the encoding that is hashed
  /// stands in sink.cc.
  uint64_t rows_hash() const { return rows_hash_; }

 protected:
  virtual absl::StatusOr<const RowBatch*> DoNext() = 0;
  virtual absl::Status DoRewind() = 0;

 private:
  int64_t row_count_ = 0;
  uint64_t rows_hash_ = 0;
};

/// The batch a sink is given.
struct SinkBatch {
  int64_t batch_id = 0;
  int64_t epoch = 0;
  uint64_t plan_hash = 0;
};

/// What a sink needs to know of the query, once.
struct SinkContext {
  std::string query_id;
  std::string sink;  ///< its name in the pipeline
  Schema schema;     ///< the rows' columns
  std::vector<std::string> key_columns;
  OutputMode mode = OutputMode::kAppend;
};

/// The marker of a batch whose rows have all been read.
SinkMarker MarkerOf(const SinkContext& context, const SinkBatch& batch, const RowStream& rows);

/// What a sink that holds `held` does with `batch`: true = it has it already, nothing is written;
/// false = it writes it, and whatever it holds of an earlier epoch from that batch on no longer
/// counts. FailedPrecondition: the sink is ahead of the batch, or has it from another plan;
/// `description` is the sink's.
absl::StatusOr<bool> HoldsBatch(const std::optional<SinkMarker>& held, const SinkBatch& batch,
                                const std::string& description);

/// Where results go. One thread calls: Open, then ReadMarker (and WriteMarker), then Commit for
/// each batch, Finish at the end. Errors: Unavailable and ResourceExhausted = try the same call
/// again later (the sink reconnects by itself); InvalidArgument = the table, the options or a row
/// does not fit; FailedPrecondition = not this query's sink; Internal = our bug. A failed Commit
/// leaves either nothing or the whole batch behind, and may be called again with the same rows.
class Sink {
 public:
  virtual ~Sink() = default;

  /// What progress shows, e.g. `MySQL[shop.totals]`.
  virtual std::string description() const = 0;
  /// True if a batch given twice leaves the sink as if given once (then it keeps a marker).
  virtual bool exactly_once() const = 0;

  /// Connects, checks that the rows fit, makes what it was told to make. May be called again after
  /// Unavailable.
  virtual absl::Status Open(const SinkContext& context) = 0;
  /// The marker of this query and sink, if there is one. Sinks that are not exactly_once have none.
  virtual absl::StatusOr<std::optional<SinkMarker>> ReadMarker() { return std::nullopt; }
  /// Sets the marker without rows: at a start, for a sink that has none yet.
  virtual absl::Status WriteMarker(const SinkMarker& marker) {
    (void)marker;
    return absl::OkStatus();
  }
  /// For markers that their server forgets after a time (Kafka, a week): writes the one that is
  /// held again. To be called about once a day while no batch runs.
  virtual absl::Status KeepMarker() { return absl::OkStatus(); }
  /// Writes the batch with its marker, atomically. If the sink already holds this batch of this
  /// epoch and plan, it writes nothing and answers OK with what it holds.
  virtual absl::StatusOr<SinkMarker> Commit(const SinkBatch& batch, RowStream& rows) = 0;
  /// The query ended by itself (available-now, once): files write `_SUCCESS`.
  virtual absl::Status Finish() { return absl::OkStatus(); }
  /// From any thread: a call that waits for a server returns Cancelled soon (100 ms).
  virtual void Cancel() {}
  /// Rows left out by the sink's own policy since the last call (null keys skipped).
  virtual int64_t TakeSkippedRows() { return 0; }
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_SINK_H_
