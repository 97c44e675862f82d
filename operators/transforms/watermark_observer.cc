#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "tidemark/operators/rows/raw_records.h"
#include "tidemark/operators/transforms/transform.h"

namespace tidemark {
namespace {

class WatermarkObserver : public Transform {
 public:
  WatermarkObserver(size_t column, std::shared_ptr<const Schema> schema, int64_t max_skew_us)
      : column_(column), schema_(std::move(schema)), max_skew_us_(max_skew_us) {}

  const std::shared_ptr<const Schema>& output_schema() const override { return schema_; }
  void Apply(RowBatch* batch, ChunkStats* stats) const override {
    EventTimeStats seen = ObserveAll(*batch);
    seen.watermark_max = seen.max;
    if (max_skew_us_ > 0 && batch->records() != nullptr) JudgeSkew(*batch, &seen);
    stats->event_time.Add(seen);
  }

 private:
  EventTimeStats ObserveAll(const RowBatch& batch) const {
    const Column& times = batch.column(column_);
    const int64_t* micros = times.values<int64_t>();
    EventTimeStats seen;
    batch.selection().ForEach([&](uint32_t row) {
      if (times.IsNull(row)) return;
      ++seen.count;
      seen.min = std::min(seen.min, micros[row]);
      seen.max = std::max(seen.max, micros[row]);
      seen.sum += static_cast<double>(micros[row]);
    });
    return seen;
  }

  void JudgeSkew(const RowBatch& batch, EventTimeStats* seen) const {
    const Column& times = batch.column(column_);
    const int64_t* micros = times.values<int64_t>();
    const RawRecord* records = batch.records()->records.data();
    seen->watermark_max = INT64_MIN;
    batch.selection().ForEach([&](uint32_t row) {
      if (times.IsNull(row)) return;
      const int64_t recorded = records[batch.source_record(row)].timestamp_us;
      int64_t limit = INT64_MAX;
      if (recorded == RawRecord::kNoTimestamp ||
          __builtin_add_overflow(recorded, max_skew_us_, &limit)) {
        limit = INT64_MAX;
      }
      if (micros[row] > limit) {
        ++seen->future_rows;
      } else {
        seen->watermark_max = std::max(seen->watermark_max, micros[row]);
      }
    });
  }

  size_t column_;
  std::shared_ptr<const Schema> schema_;
  int64_t max_skew_us_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Transform>> MakeWatermarkObserver(
    const std::string& column, std::shared_ptr<const Schema> input,
    absl::Duration max_future_skew) {
  absl::StatusOr<BoundExpression> bound = Bind(Col(column), *input);
  if (!bound.ok()) return bound.status();
  if (bound->type() != DataType::Timestamp()) {
    return absl::InvalidArgumentError(
        fmt::format("WithWatermark: the column '{}' is of type {}; give it a timestamp, as with "
                    "Schema().Timestamp(\"{}\")",
                    column, bound->type().ToString(), column));
  }
  if (max_future_skew < absl::ZeroDuration()) {
    return absl::InvalidArgumentError(
        fmt::format("WithWatermark: the max_future_skew is {}; give zero (no limit) or more",
                    absl::FormatDuration(max_future_skew)));
  }
  const size_t index = *input->Find(column);
  return std::make_unique<WatermarkObserver>(
      index, std::move(input),
      absl::ToInt64Microseconds(absl::Ceil(max_future_skew, absl::Microseconds(1))));
}

}  // namespace tidemark
