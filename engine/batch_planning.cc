#include "tidemark/engine/batch_planning.h"

#include <algorithm>
#include <cmath>

namespace tidemark {
namespace {

// Before anything is known of a query's speed.
constexpr int64_t kFirstBatchRows = 200'000;
constexpr int64_t kFirstBatchRowBytes = 512;  // a guess, rather high
// A batch is never made smaller than this for speed's sake.
constexpr int64_t kMinTargetRows = 10'000;
constexpr double kMaxGrowth = 4;

}  // namespace

std::vector<DataLoss> FindLosses(const std::map<TopicPartition, PartitionProgress>& positions,
                                 const std::vector<AvailableRange>& available) {
  std::map<TopicPartition, const AvailableRange*> by_partition;
  for (const AvailableRange& range : available) by_partition[range.partition] = &range;
  std::vector<DataLoss> losses;
  for (const auto& [partition, position] : positions) {
    const auto found = by_partition.find(partition);
    if (found == by_partition.end()) {
      losses.push_back(
          {partition, position.next_offset, position.next_offset, "the partition is gone"});
    } else if (position.next_offset < found->second->begin) {
      losses.push_back({partition, position.next_offset, found->second->begin, "offsets aged out"});
    } else if (position.next_offset > found->second->end) {
      losses.push_back({partition, position.next_offset, found->second->begin,
                        "the log ends before it: the topic was re-created or cut"});
    }
  }
  return losses;
}

Offsets EndOffsets(const std::vector<AvailableRange>& available) {
  Offsets ends;
  for (const AvailableRange& range : available) ends[range.partition] = range.end;
  return ends;
}

std::vector<PlannedRange> PlanRanges(const std::map<TopicPartition, PartitionProgress>& positions,
                                     const std::vector<AvailableRange>& available, int64_t limit) {
  std::vector<PlannedRange> ranges;
  double total = 0;
  for (const AvailableRange& range : available) {
    const auto position = positions.find(range.partition);
    const int64_t start = position == positions.end() ? range.begin : position->second.next_offset;
    if (start >= range.end) continue;
    ranges.push_back({range.partition, start, range.end});
    total += static_cast<double>(range.end - start);
  }
  std::sort(ranges.begin(), ranges.end(),
            [](const PlannedRange& a, const PlannedRange& b) { return a.partition < b.partition; });
  if (limit <= 0 || total <= static_cast<double>(limit)) return ranges;
  for (PlannedRange& range : ranges) {
    const double share =
        static_cast<double>(limit) * (static_cast<double>(range.end - range.start) / total);
    const int64_t rows = static_cast<int64_t>(share < 1 ? std::ceil(share) : std::floor(share));
    range.end = std::min(range.end, range.start + rows);
  }
  return ranges;
}

int64_t NextWatermark(const QueryProgress& progress, const std::optional<WatermarkNode>& watermark,
                      const std::set<TopicPartition>& idle) {
  if (!watermark.has_value()) return kNoWatermark;
  int64_t event_time = watermark->per_partition ? INT64_MAX : INT64_MIN;
  bool any = false;
  for (const auto& [partition, state] : progress.partitions) {
    if (!watermark->per_partition) {
      event_time = std::max(event_time, state.max_event_time_us);
    } else if (!idle.contains(partition)) {
      event_time = std::min(event_time, state.max_event_time_us);
      any = true;
    }
  }
  if (watermark->per_partition && !any) return progress.watermark_us;
  if (event_time == INT64_MIN) return progress.watermark_us;
  const int64_t delay = absl::ToInt64Microseconds(watermark->delay);
  // A time so early that the delay does not fit stands for "no watermark".
  if (event_time < INT64_MIN + 1 + delay) return progress.watermark_us;
  return std::max(progress.watermark_us, event_time - delay);
}

void BatchSizer::Observe(int64_t rows, double seconds, int64_t bytes) {
  if (rows <= 0) return;
  // Small batches are dominated by fixed costs and say little about a row.
  if (rows < 1000 && rows_per_second_ > 0) return;
  const double speed = static_cast<double>(rows) / std::max(seconds, 1e-6);
  rows_per_second_ = rows_per_second_ == 0 ? speed
                                           : std::min(0.5 * rows_per_second_ + 0.5 * speed,
                                                      kMaxGrowth * rows_per_second_);
  const double bytes_per_row = static_cast<double>(bytes) / static_cast<double>(rows);
  // Memory must not be underestimated: up at once, down slowly.
  bytes_per_row_ = std::max(bytes_per_row, 0.7 * bytes_per_row_);
}

int64_t BatchSizer::MemoryRows() const {
  if (bytes_per_row_ < 1) return INT64_MAX;
  return std::max<int64_t>(1,
                           static_cast<int64_t>(static_cast<double>(max_bytes_) / bytes_per_row_));
}

int64_t BatchSizer::TargetRows() const {
  if (rows_per_second_ == 0) {
    return std::clamp(max_bytes_ / kFirstBatchRowBytes, kMinTargetRows, kFirstBatchRows);
  }
  return std::min(std::max(kMinTargetRows, static_cast<int64_t>(rows_per_second_)), MemoryRows());
}

}  // namespace tidemark
