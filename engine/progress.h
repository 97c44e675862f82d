#ifndef TIDEMARK_ENGINE_PROGRESS_H_
#define TIDEMARK_ENGINE_PROGRESS_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "tidemark/engine/batch_plan.h"
#include "tidemark/operators/rows/bad_record.h"
#include "tidemark/operators/sources/source.h"

namespace tidemark {

/// What one batch did, in Spark's words (StreamingQueryProgress). Counts are of this batch.
struct Progress {
  std::string id;      ///< the query's, the same over restarts
  std::string run_id;  ///< this process's
  std::string name;
  absl::Time timestamp;  ///< when the batch was triggered
  int64_t batch_id = 0;
  int64_t num_input_rows = 0;  ///< records read, bad ones included
  double input_rows_per_second = 0;
  double processed_rows_per_second = 0;

  /// Spark's phases of a batch.
  struct Durations {
    absl::Duration latest_offset;
    absl::Duration query_planning;
    absl::Duration wal_commit;
    absl::Duration get_batch;
    absl::Duration add_batch;
    absl::Duration commit_offsets;
    absl::Duration trigger_execution;
  } durations;

  struct EventTime {
    std::optional<int64_t> min_us, avg_us, max_us;  ///< nothing if the batch had no event times
    int64_t watermark_us = kNoWatermark;
    int64_t future_rows = 0;  ///< too far in the future to move the watermark
  };
  std::optional<EventTime> event_time;  ///< with a watermark only

  struct State {
    int64_t rows_total = 0;
    int64_t rows_updated = 0;
    int64_t rows_removed = 0;
    int64_t rows_dropped_by_watermark = 0;
    int64_t rows_without_event_time = 0;
    int64_t memory_bytes = 0;
    absl::Duration commit_time;
  };
  std::optional<State> state;  ///< with an aggregate only

  struct SourceProgress {
    std::string description;
    Offsets start, end, latest;
    BadRecordCounts bad;
    int64_t lost_offsets = 0;
  } source;

  struct SinkProgress {
    std::string description;
    int64_t rows = 0;
    int64_t skipped_rows = 0;
  } sink;

  int64_t acknowledge_failures = 0;

  /// One line of JSON, Spark-shaped (semantics, section 10), without a newline.
  std::string ToJson() const;
};

/// Sums over the batches of one run: the summary line.
struct RunTotals {
  int64_t rows = 0;
  int64_t batches = 0;
  int64_t late_rows = 0;
  int64_t bad_records = 0;  ///< tombstones are none
  int64_t future_rows = 0;
  absl::Duration busy;  ///< time in batches that had rows
  /// `spent`: the batch's own share of the time (batches may overlap).
  void Add(const Progress& progress, absl::Duration spent);
  double rows_per_second() const;
};

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_PROGRESS_H_
