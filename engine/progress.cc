#include "tidemark/engine/progress.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "tidemark/operators/rows/text.h"
#include "tidemark/operators/sources/offsets_json.h"

namespace tidemark {
namespace {

std::string Quoted(std::string_view text) {
  std::string quoted;
  AppendJsonString(text, &quoted);
  return quoted;
}

// Spark writes progress times with three fraction digits, always.
std::string TimeText(int64_t micros) {
  const int64_t millis = FloorDiv(micros, 1000);
  std::string text;
  AppendTimestamp(FloorDiv(millis, 1000) * 1'000'000, &text);
  text.pop_back();
  return fmt::format("\"{}.{:03}Z\"", text, FloorMod(millis, 1000));
}

int64_t Millis(absl::Duration duration) { return absl::ToInt64Milliseconds(duration); }

Offsets Lag(const Offsets& end, const Offsets& latest) {
  Offsets lag;
  for (const auto& [partition, offset] : latest) {
    const auto read = end.find(partition);
    lag[partition] = std::max<int64_t>(0, offset - (read == end.end() ? 0 : read->second));
  }
  return lag;
}

std::string EventTimeText(const Progress::EventTime& times) {
  std::string text = "{";
  if (times.max_us.has_value()) {
    text += fmt::format(R"("avg":{},"max":{},"min":{},)", TimeText(*times.avg_us),
                        TimeText(*times.max_us), TimeText(*times.min_us));
  }
  // Spark's watermark starts at 1970; ours at none, shown the same way.
  text += fmt::format(R"("watermark":{},"numFutureRows":{}}})",
                      TimeText(times.watermark_us == kNoWatermark ? 0 : times.watermark_us),
                      times.future_rows);
  return text;
}

std::string StateText(const Progress::State& state) {
  return fmt::format(
      R"({{"operatorName":"stateStoreSave","numRowsTotal":{},"numRowsUpdated":{},"numRowsRemoved":{},"commitTimeMs":{},)"
      R"("memoryUsedBytes":{},"numRowsDroppedByWatermark":{},"numRowsWithoutEventTime":{}}})",
      state.rows_total, state.rows_updated, state.rows_removed, Millis(state.commit_time),
      state.memory_bytes, state.rows_dropped_by_watermark, state.rows_without_event_time);
}

std::string BadText(const BadRecordCounts& bad) {
  std::string text = "{";
  for (size_t i = 0; i < kBadReasonCount; ++i) {
    if (bad.by_reason[i] == 0) continue;
    if (text.size() > 1) text += ',';
    text += fmt::format("\"{}\":{}", BadReasonName(static_cast<BadReason>(i)), bad.by_reason[i]);
  }
  return text + "}";
}

}  // namespace

std::string Progress::ToJson() const {
  std::string out = fmt::format(
      R"({{"id":"{}","runId":"{}","name":{},"timestamp":{},"batchId":{},"batchDuration":{},"numInputRows":{},)"
      R"("inputRowsPerSecond":{:.1f},"processedRowsPerSecond":{:.1f},)",
      id, run_id, Quoted(name), TimeText(absl::ToUnixMicros(timestamp)), batch_id,
      Millis(durations.trigger_execution), num_input_rows, input_rows_per_second,
      processed_rows_per_second);
  fmt::format_to(
      std::back_inserter(out),
      R"("durationMs":{{"addBatch":{},"commitOffsets":{},"getBatch":{},"latestOffset":{},"queryPlanning":{},)"
      R"("triggerExecution":{},"walCommit":{}}},)",
      Millis(durations.add_batch), Millis(durations.commit_offsets), Millis(durations.get_batch),
      Millis(durations.latest_offset), Millis(durations.query_planning),
      Millis(durations.trigger_execution), Millis(durations.wal_commit));
  if (event_time.has_value()) out += R"("eventTime":)" + EventTimeText(*event_time) + ",";
  out += R"("stateOperators":[)" + (state.has_value() ? StateText(*state) : "") + "],";
  fmt::format_to(
      std::back_inserter(out),
      R"("sources":[{{"description":{},"startOffset":{},"endOffset":{},"latestOffset":{},"lag":{},)"
      R"("numInputRows":{},"inputRowsPerSecond":{:.1f},"processedRowsPerSecond":{:.1f},"badRecords":{},)"
      R"("lostOffsets":{}}}],)",
      Quoted(source.description), OffsetsToJson(source.start), OffsetsToJson(source.end),
      OffsetsToJson(source.latest), OffsetsToJson(Lag(source.end, source.latest)), num_input_rows,
      input_rows_per_second, processed_rows_per_second, BadText(source.bad), source.lost_offsets);
  fmt::format_to(
      std::back_inserter(out),
      R"("sink":{{"description":{},"numOutputRows":{},"numSkippedRows":{}}},"acknowledgeFailures":{}}})",
      Quoted(sink.description), sink.rows, sink.skipped_rows, acknowledge_failures);
  return out;
}

void RunTotals::Add(const Progress& progress, absl::Duration spent) {
  rows += progress.num_input_rows;
  ++batches;
  if (progress.state.has_value()) late_rows += progress.state->rows_dropped_by_watermark;
  bad_records += progress.source.bad.total() - progress.source.bad[BadReason::kNullValue];
  if (progress.event_time.has_value()) future_rows += progress.event_time->future_rows;
  if (progress.num_input_rows > 0) busy += spent;
}

double RunTotals::rows_per_second() const {
  const double seconds = absl::ToDoubleSeconds(busy);
  return seconds <= 0 ? 0 : static_cast<double>(rows) / seconds;
}

}  // namespace tidemark
