#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "operators/transforms/transform_rows.h"

namespace tidemark {
namespace {

using testing::HasSubstr;

EventTimeStats Observe(RowBatch batch, absl::Duration skew) {
  const auto observer = *MakeWatermarkObserver("t", batch.schema_ptr(), skew);
  ChunkStats stats;
  const RowBatch before = batch;
  observer->Apply(&batch, &stats);
  EXPECT_EQ(batch.columns(), before.columns());
  EXPECT_EQ(batch.selection().size(), before.selection().size());
  EXPECT_EQ(observer->output_schema(), before.schema_ptr());
  EXPECT_TRUE(stats.failed.empty());
  return stats.event_time;
}

/// A batch whose row i has event time times[i] and a record with the timestamp recorded[i], in
/// another order than the records.
struct Recorded {
  Recorded(const std::vector<std::optional<int64_t>>& times, const std::vector<int64_t>& recorded)
      : batch(TestRows().Timestamps("t", times).batch()) {
    records.records.resize(times.size() + 1);
    auto sources = std::make_shared<std::vector<uint32_t>>();
    for (size_t i = 0; i < times.size(); ++i) {
      sources->push_back(static_cast<uint32_t>(i + 1));
      records.records[i + 1].timestamp_us = recorded[i];
    }
    batch.set_origin(&records, sources);
  }
  RawRecords records;
  RowBatch batch;
};

TEST(WatermarkObserverTest, SeesTheSelectedRowsThatHaveATime) {
  RowBatch batch = TestRows().Timestamps("t", {5, std::nullopt, -7, 100, 40}).batch();
  batch.set_selection(Selection::Rows({0, 1, 2, 4}));
  const EventTimeStats stats = Observe(batch, absl::ZeroDuration());
  EXPECT_EQ(stats.count, 3);
  EXPECT_EQ(stats.min, -7);
  EXPECT_EQ(stats.max, 40);
  EXPECT_EQ(stats.sum, 38);
  EXPECT_EQ(stats.watermark_max, 40);
  EXPECT_EQ(stats.future_rows, 0);
}

TEST(WatermarkObserverTest, NothingSeenIsNothing) {
  const EventTimeStats stats =
      Observe(TestRows().Timestamps("t", {std::nullopt}).batch(), absl::Hours(1));
  EXPECT_EQ(stats.count, 0);
  EXPECT_EQ(stats.watermark_max, INT64_MIN);
  EXPECT_EQ(stats.min, INT64_MAX);
  EXPECT_EQ(stats.max, INT64_MIN);
}

TEST(WatermarkObserverTest, TimesTooFarAheadOfTheirRecordDoNotMoveTheWatermark) {
  const Recorded rows({1'000, 2'001, 500, std::nullopt, 9'000},
                      {0, 1'000, 0, 0, RawRecord::kNoTimestamp});
  const EventTimeStats stats = Observe(rows.batch, absl::Microseconds(1'000));
  EXPECT_EQ(stats.count, 5 - 1);
  EXPECT_EQ(stats.max, 9'000);
  EXPECT_EQ(stats.future_rows, 1) << "2,001 is 1,001 ahead; 1,000 is just within";
  EXPECT_EQ(stats.watermark_max, 9'000) << "a record without a timestamp is not judged";
}

TEST(WatermarkObserverTest, OnlySelectedRowsAreJudged) {
  Recorded rows({10'000, 20'000, 100}, {0, 0, 0});
  rows.batch.set_selection(Selection::Rows({1, 2}));
  const EventTimeStats stats = Observe(rows.batch, absl::Microseconds(1'000));
  EXPECT_EQ(stats.future_rows, 1);
  EXPECT_EQ(stats.watermark_max, 100);
  EXPECT_EQ(stats.max, 20'000);
}

TEST(WatermarkObserverTest, AllTooFarAheadMovesNothing) {
  const Recorded rows({10'000}, {0});
  const EventTimeStats stats = Observe(rows.batch, absl::Microseconds(1));
  EXPECT_EQ(stats.watermark_max, INT64_MIN);
  EXPECT_EQ(stats.future_rows, 1);
  EXPECT_EQ(Observe(rows.batch, absl::ZeroDuration()).watermark_max, 10'000) << "zero: no limit";
  EXPECT_EQ(Observe(rows.batch, absl::ZeroDuration()).future_rows, 0);
}

TEST(WatermarkObserverTest, TheLimitDoesNotWrap) {
  const Recorded rows({INT64_MAX, INT64_MIN}, {INT64_MAX - 5, INT64_MIN + 1});
  EXPECT_EQ(Observe(rows.batch, absl::Hours(1)).future_rows, 0);
  EXPECT_EQ(Observe(rows.batch, absl::InfiniteDuration()).watermark_max, INT64_MAX);
}

TEST(WatermarkObserverTest, ASkewBelowAMicrosecondIsStillALimit) {
  const Recorded rows({10'000}, {0});
  EXPECT_EQ(Observe(rows.batch, absl::Nanoseconds(10)).future_rows, 1);
}

TEST(WatermarkObserverTest, BatchesWithoutRecordsAreNotJudged) {
  const EventTimeStats stats =
      Observe(TestRows().Timestamps("t", {INT64_MAX}).batch(), absl::Hours(1));
  EXPECT_EQ(stats.watermark_max, INT64_MAX);
  EXPECT_EQ(stats.future_rows, 0);
}

TEST(WatermarkObserverTest, Refuses) {
  const auto refused = [](const char* column, absl::Duration skew) {
    const auto schema = std::make_shared<const Schema>(Schema().Timestamp("t").String("s"));
    const auto observer = MakeWatermarkObserver(column, schema, skew);
    EXPECT_EQ(observer.status().code(), absl::StatusCode::kInvalidArgument);
    return std::string(observer.status().message());
  };
  EXPECT_THAT(refused("s", absl::Hours(1)),
              HasSubstr("the column 's' is of type string; give it a timestamp"));
  EXPECT_THAT(refused("u", absl::Hours(1)), HasSubstr("unknown column 'u'"));
  EXPECT_THAT(refused("t", -absl::Seconds(1)), HasSubstr("max_future_skew is -1s"));
}

}  // namespace
}  // namespace tidemark
