#include "tidemark/engine/batch_reports.h"

#include <algorithm>
#include <string>

#include "tidemark/engine/batch_planning.h"

namespace tidemark {
namespace {

// Between two warnings of rows that were put aside.
constexpr absl::Duration kWarningInterval = absl::Seconds(10);

std::string PolicyName(BadRecordPolicy policy) {
  switch (policy) {
    case BadRecordPolicy::kFail:
      return "fail";
    case BadRecordPolicy::kDrop:
      return "drop";
    case BadRecordPolicy::kNull:
      return "null";
    case BadRecordPolicy::kDeadLetter:
      return "dead-letter";
  }
  return "";
}

// Doubles around the last time there is are past it.
int64_t MeanTime(const EventTimeStats& times) {
  constexpr double kLast = 9'223'372'036'854'774'784.0;
  return static_cast<int64_t>(
      std::clamp(times.sum / static_cast<double>(times.count), -kLast, kLast));
}

}  // namespace

void BatchReports::Add(Progress report, const FinishedBatch& batch) {
  const BatchStats& stats = batch.stats;
  const absl::Duration now = options_.clock->Monotonic();
  report.batch_id = batch.plan.batch_id;
  report.num_input_rows = stats.records;
  report.durations.trigger_execution = now - batch.started;
  // Batches may overlap: a batch's own time is what passed since the one before was through.
  const absl::Duration spent = now - std::max(batch.started, last_end_);
  const double busy = absl::ToDoubleSeconds(spent);
  report.processed_rows_per_second = busy <= 0 ? 0 : static_cast<double>(stats.records) / busy;
  const double since_last =
      last_started_at_.has_value() ? absl::ToDoubleSeconds(batch.started - *last_started_at_) : 0;
  report.input_rows_per_second =
      since_last <= 0 ? 0 : static_cast<double>(stats.records) / since_last;
  last_started_at_ = batch.started;
  last_end_ = now;
  if (plan_.watermark.has_value()) {
    Progress::EventTime times;
    times.watermark_us = batch.plan.watermark_us;
    times.future_rows = stats.event_time.future_rows;
    if (stats.event_time.count > 0) {
      times.min_us = stats.event_time.min;
      times.max_us = stats.event_time.max;
      times.avg_us = MeanTime(stats.event_time);
    }
    report.event_time = times;
  }
  if (report.state.has_value()) {
    report.state->commit_time = report.durations.commit_offsets;
    report.state->rows_dropped_by_watermark = stats.late_rows;
    report.state->rows_without_event_time = stats.null_event_time_rows;
  }
  for (const auto& [partition, state] : batch.after.partitions)
    report.source.end[partition] = state.next_offset;
  report.source.start = report.source.end;
  for (const PlannedRange& range : batch.plan.ranges)
    report.source.start[range.partition] = range.start;
  report.source.latest = EndOffsets(batch.latest);
  report.source.bad = stats.bad;
  report.source.lost_offsets = batch.lost_offsets;
  totals_.Add(report, spent);
  last_ = report;
  WarnOfRows();
  if (options_.on_progress) options_.on_progress(report);
}

void BatchReports::WarnOfRows() {
  const int64_t bad = totals_.bad_records - warned_.bad_records;
  const int64_t future = totals_.future_rows - warned_.future_rows;
  const absl::Duration now = options_.clock->Monotonic();
  if ((bad == 0 && future == 0) || (warned_at_ && now - *warned_at_ < kWarningInterval)) return;
  const std::string batch = std::to_string(last_->batch_id);
  if (bad > 0) {
    options_.logger->Log(LogLevel::kWarning, "bad_records",
                         {{"records", std::to_string(bad)},
                          {"policy", PolicyName(options_.bad_records)},
                          {"batch", batch}});
  }
  if (future > 0) {
    options_.logger->Log(LogLevel::kWarning, "future_rows",
                         {{"rows", std::to_string(future)},
                          {"max_future_skew", DurationText(plan_.watermark->max_future_skew)},
                          {"batch", batch}});
  }
  warned_ = totals_;
  warned_at_ = now;
}

}  // namespace tidemark
