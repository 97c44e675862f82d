#include "tidemark/operators/aggregates/window.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "tidemark/operators/rows/text.h"
#include "tidemark/state/window_table.h"

namespace tidemark {
namespace {

std::optional<int64_t> WholeMicroseconds(absl::Duration duration) {
  const int64_t micros = absl::ToInt64Microseconds(duration);
  if (absl::Microseconds(micros) != duration) return std::nullopt;
  return micros;
}

// Window ends in the order of their first row, put into ascending order.
void SortWindows(WindowedRows* rows) {
  const size_t count = rows->window_ends.size();
  if (std::is_sorted(rows->window_ends.begin(), rows->window_ends.end())) return;
  std::vector<uint32_t> by_end(count);
  std::iota(by_end.begin(), by_end.end(), 0);
  std::sort(by_end.begin(), by_end.end(),
            [&](uint32_t a, uint32_t b) { return rows->window_ends[a] < rows->window_ends[b]; });
  std::vector<uint32_t> rank(count);
  std::vector<int64_t> ends(count);
  for (uint32_t i = 0; i < count; ++i) {
    rank[by_end[i]] = i;
    ends[i] = rows->window_ends[by_end[i]];
  }
  for (uint32_t& window : rows->windows) window = rank[window];
  rows->window_ends = std::move(ends);
}

}  // namespace

absl::StatusOr<EventWindows> EventWindows::Tumbling(const WindowSpec& spec) {
  const std::optional<int64_t> size = WholeMicroseconds(spec.size);
  const std::optional<int64_t> offset = WholeMicroseconds(spec.offset);
  if (!size.has_value() || *size <= 0 || !offset.has_value()) {
    return absl::InvalidArgumentError(fmt::format(
        "the window over {} has size {} and offset {}: both must be whole microseconds, and the "
        "size more than zero",
        spec.time_column, absl::FormatDuration(spec.size), absl::FormatDuration(spec.offset)));
  }
  return EventWindows(*size, FloorMod(*offset, *size), true);
}

std::optional<int64_t> EventWindows::EndFor(int64_t time) const {
  if (!tumbling_) {
    if (time == INT64_MIN || time == WindowTable::kNoWindow) return std::nullopt;
    return time;
  }
  int64_t position = FloorMod(time, size_) - offset_;
  if (position < 0) position += size_;
  int64_t start = 0;
  int64_t end = 0;
  if (__builtin_sub_overflow(time, position, &start) ||
      __builtin_add_overflow(start, size_, &end) || end == WindowTable::kNoWindow) {
    return std::nullopt;
  }
  return end;
}

WindowedRows AssignWindows(const EventWindows& windows, const Column& times,
                           const Selection& selection, int64_t late_before,
                           std::vector<ExpressionError>* errors) {
  WindowedRows result;
  result.rows.resize(selection.size());
  result.windows.resize(selection.size());
  size_t kept = 0;
  absl::flat_hash_map<int64_t, uint32_t> window_of_end;
  const int64_t* time_at = times.values<int64_t>();
  const auto size = static_cast<uint64_t>(windows.size());
  // The window of the row before: [first, first + size).
  uint64_t first = 0;
  bool known = false;
  bool late = false;
  uint32_t window = 0;
  selection.ForEach([&](uint32_t row) {
    if (times.IsNull(row)) {
      ++result.null_rows;
      return;
    }
    const int64_t time = time_at[row];
    if (!known || static_cast<uint64_t>(time) - first >= size) {
      const std::optional<int64_t> end = windows.EndFor(time);
      known = end.has_value();
      if (!known) {
        errors->push_back({row, "the window of the event time is out of range"});
        return;
      }
      first = static_cast<uint64_t>(windows.FirstTime(*end));
      late = *end <= late_before;
      if (!late) {
        const auto [found, is_new] =
            window_of_end.try_emplace(*end, static_cast<uint32_t>(result.window_ends.size()));
        if (is_new) result.window_ends.push_back(*end);
        window = found->second;
      }
    }
    if (late) {
      ++result.late_rows;
      return;
    }
    result.rows[kept] = row;
    result.windows[kept] = window;
    ++kept;
  });
  result.rows.resize(kept);
  result.windows.resize(kept);
  SortWindows(&result);
  return result;
}

}  // namespace tidemark
