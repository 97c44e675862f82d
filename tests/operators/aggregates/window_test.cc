#include "tidemark/operators/aggregates/window.h"

#include <gtest/gtest.h>

#include <random>

#include "operators/aggregates/cells.h"

namespace tidemark {
namespace {

constexpr int64_t kMinute = 60'000'000;

EventWindows Tumbling(absl::Duration size, absl::Duration offset = absl::ZeroDuration()) {
  return *EventWindows::Tumbling(TumblingWindow("t", size, offset));
}

TEST(WindowTest, StartsAreMultiplesOfTheSizeAlsoBefore1970) {
  const EventWindows windows = Tumbling(absl::Minutes(1));
  EXPECT_EQ(windows.EndFor(0), kMinute);
  EXPECT_EQ(windows.EndFor(kMinute - 1), kMinute);
  EXPECT_EQ(windows.EndFor(kMinute), 2 * kMinute);
  EXPECT_EQ(windows.EndFor(-1), 0);
  EXPECT_EQ(windows.EndFor(-kMinute), 0);
  EXPECT_EQ(windows.EndFor(-kMinute - 1), -kMinute);
  EXPECT_EQ(windows.FirstTime(kMinute), 0);
}

TEST(WindowTest, OffsetsOfAnySizeAndSign) {
  for (const int64_t offset : {-61, -60, -1, 0, 7, 59, 60, 61, 100'000}) {
    const EventWindows windows = Tumbling(absl::Seconds(60), absl::Seconds(offset));
    for (int64_t time = -3 * kMinute; time <= 3 * kMinute; time += 500'000) {
      const int64_t end = *windows.EndFor(time);
      EXPECT_LE(end - kMinute, time);
      EXPECT_LT(time, end);
      EXPECT_EQ((end - offset * 1'000'000) % kMinute, 0) << offset << " " << time;
    }
  }
}

TEST(WindowTest, NoWindowWhereItWouldLeaveInt64) {
  const EventWindows windows = Tumbling(absl::Minutes(1));
  EXPECT_FALSE(windows.EndFor(INT64_MAX).has_value());
  EXPECT_FALSE(windows.EndFor(INT64_MIN).has_value());
  EXPECT_TRUE(windows.EndFor(INT64_MAX - kMinute).has_value());
  EXPECT_TRUE(windows.EndFor(INT64_MIN + kMinute).has_value());
  const EventWindows micros = Tumbling(absl::Microseconds(1));
  EXPECT_EQ(micros.EndFor(INT64_MIN), INT64_MIN + 1);
  // The end would be kNoWindow.
  EXPECT_FALSE(micros.EndFor(INT64_MAX - 1).has_value());
  EXPECT_EQ(micros.EndFor(INT64_MAX - 2), INT64_MAX - 1);
  const EventWindows huge = Tumbling(absl::Microseconds(INT64_MAX), absl::Microseconds(INT64_MIN));
  for (const int64_t time : {INT64_MIN, int64_t{-1}, int64_t{0}, int64_t{1}, INT64_MAX}) {
    const std::optional<int64_t> end = huge.EndFor(time);
    if (end.has_value()) {
      EXPECT_LT(time, *end);
    }
  }
}

TEST(WindowTest, EachTimeIsAWindowOfItsOwn) {
  const EventWindows windows = EventWindows::EachTime();
  EXPECT_FALSE(windows.is_tumbling());
  EXPECT_EQ(windows.EndFor(5), 5);
  EXPECT_EQ(windows.FirstTime(5), 5);
  EXPECT_FALSE(windows.EndFor(INT64_MIN).has_value());
  EXPECT_FALSE(windows.EndFor(INT64_MAX).has_value());
}

TEST(WindowTest, SizesThatMakeNoSenseAreRefused) {
  for (const absl::Duration size :
       {absl::ZeroDuration(), -absl::Minutes(1), absl::Nanoseconds(1500), absl::InfiniteDuration(),
        absl::Hours(int64_t{24} * 366 * 300'000)}) {
    const auto windows = EventWindows::Tumbling(TumblingWindow("t", size));
    EXPECT_EQ(windows.status().code(), absl::StatusCode::kInvalidArgument) << size;
  }
  for (const absl::Duration offset : {absl::Nanoseconds(1), absl::InfiniteDuration()}) {
    const auto windows = EventWindows::Tumbling(TumblingWindow("t", absl::Minutes(1), offset));
    EXPECT_EQ(windows.status().code(), absl::StatusCode::kInvalidArgument) << offset;
  }
}

TEST(WindowTest, LateRowsAreThoseWhoseWindowHasEnded) {
  // 10 is in a window that is still open, although it is before the watermark.
  const ColumnPtr times = MakeColumn(
      DataType::Timestamp(),
      {kMinute + 10, int64_t{10}, kNull, -kMinute, 2 * kMinute, kMinute - 1, kMinute + 10});
  const auto assign = [&](int64_t late_before) {
    std::vector<ExpressionError> errors;
    WindowedRows rows =
        AssignWindows(Tumbling(absl::Minutes(1)), *times, Selection::All(7), late_before, &errors);
    EXPECT_TRUE(errors.empty());
    return rows;
  };
  WindowedRows rows = assign(INT64_MIN);
  EXPECT_EQ(rows.rows, (std::vector<uint32_t>{0, 1, 3, 4, 5, 6}));
  EXPECT_EQ(rows.window_ends, (std::vector<int64_t>{0, kMinute, 2 * kMinute, 3 * kMinute}));
  EXPECT_EQ(rows.windows, (std::vector<uint32_t>{2, 1, 0, 3, 1, 2}));
  EXPECT_EQ(rows.late_rows, 0);
  EXPECT_EQ(rows.null_rows, 1);

  rows = assign(kMinute - 1);
  EXPECT_EQ(rows.rows, (std::vector<uint32_t>{0, 1, 4, 5, 6}));
  EXPECT_EQ(rows.late_rows, 1);

  rows = assign(kMinute);
  EXPECT_EQ(rows.rows, (std::vector<uint32_t>{0, 4, 6}));
  EXPECT_EQ(rows.window_ends, (std::vector<int64_t>{2 * kMinute, 3 * kMinute}));
  EXPECT_EQ(rows.late_rows, 3);
  EXPECT_EQ(rows.null_rows, 1);
}

TEST(WindowTest, RowsOutsideTheSelectionDoNotCount) {
  const ColumnPtr times =
      MakeColumn(DataType::Timestamp(), {kNull, int64_t{1}, int64_t{2}, -kMinute});
  std::vector<ExpressionError> errors;
  const WindowedRows rows =
      AssignWindows(Tumbling(absl::Minutes(1)), *times, Selection::Rows({2}), 0, &errors);
  EXPECT_EQ(rows.rows, (std::vector<uint32_t>{2}));
  EXPECT_EQ(rows.late_rows + rows.null_rows, 0);
}

TEST(WindowTest, TimesWithoutAWindowAreErrorsOfTheirRows) {
  const ColumnPtr times =
      MakeColumn(DataType::Timestamp(), {int64_t{1}, INT64_MAX, INT64_MAX, int64_t{2}, INT64_MIN});
  std::vector<ExpressionError> errors;
  const WindowedRows rows =
      AssignWindows(Tumbling(absl::Minutes(1)), *times, Selection::All(5), INT64_MIN, &errors);
  EXPECT_EQ(rows.rows, (std::vector<uint32_t>{0, 3}));
  ASSERT_EQ(errors.size(), 3u);
  EXPECT_EQ(errors[0].row, 1u);
  EXPECT_EQ(errors[1].row, 2u);
  EXPECT_EQ(errors[2].row, 4u);
}

TEST(WindowTest, ManyDisorderedWindowsAreSortedAndRight) {
  const uint64_t seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  std::vector<Cell> cells(20'000);
  for (Cell& cell : cells) cell = static_cast<int64_t>(random() % 1'000'000) - 500'000;
  const EventWindows windows = Tumbling(absl::Microseconds(100));
  std::vector<ExpressionError> errors;
  const WindowedRows rows = AssignWindows(windows, *MakeColumn(DataType::Timestamp(), cells),
                                          Selection::All(cells.size()), INT64_MIN, &errors);
  ASSERT_EQ(rows.rows.size(), cells.size());
  EXPECT_TRUE(std::is_sorted(rows.window_ends.begin(), rows.window_ends.end()));
  EXPECT_EQ(std::adjacent_find(rows.window_ends.begin(), rows.window_ends.end()),
            rows.window_ends.end());
  for (size_t i = 0; i < cells.size(); ++i) {
    EXPECT_EQ(rows.window_ends[rows.windows[i]], windows.EndFor(std::get<int64_t>(cells[i])));
  }
}

}  // namespace
}  // namespace tidemark
