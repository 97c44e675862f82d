#ifndef TIDEMARK_TESTS_OPERATORS_AGGREGATES_NAIVE_GROUP_BY_H_
#define TIDEMARK_TESTS_OPERATORS_AGGREGATES_NAIVE_GROUP_BY_H_

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "operators/aggregates/cells.h"
#include "tidemark/operators/aggregates/aggregation.h"

namespace tidemark {

/// The group-by of the semantics (sections 1 to 4), the slow way: a map of groups that keep all
/// their values. Keys and arguments are columns.
class NaiveGroupBy {
 public:
  NaiveGroupBy(AggregationSpec spec, Schema input)
      : spec_(std::move(spec)), input_(std::move(input)) {
    for (const Expr& key : spec_.keys) keys_.push_back(*input_.Find(key.node().name));
    for (size_t i = 0; i < keys_.size() && !spec_.window.has_value(); ++i) {
      if (spec_.watermark_column == input_.field(keys_[i]).name && !time_key_) time_key_ = i;
    }
  }

  int64_t late_rows = 0;
  int64_t null_rows = 0;

  void Add(const CellRow& row, int64_t late_before) {
    CellRow group;
    int64_t end = INT64_MAX;
    if (spec_.window.has_value()) {
      const Cell& time = row[*input_.Find(spec_.window->time_column)];
      if (IsNull(time)) return static_cast<void>(++null_rows);
      const Int128 size = absl::ToInt64Microseconds(spec_.window->size);
      const Int128 offset = absl::ToInt64Microseconds(spec_.window->offset);
      // The greatest offset + k * size that is not after the time.
      const Int128 distance = std::get<int64_t>(time) - offset;
      const Int128 k = distance >= 0 ? distance / size : -((-distance + size - 1) / size);
      const Int128 start = offset + k * size;
      end = static_cast<int64_t>(start + size);
      group = {static_cast<int64_t>(start), end};
    } else if (time_key_.has_value()) {
      const Cell& time = row[keys_[*time_key_]];
      if (IsNull(time)) return static_cast<void>(++null_rows);
      end = std::get<int64_t>(time);
    }
    if (end <= late_before) return static_cast<void>(++late_rows);
    for (size_t key : keys_) group.push_back(Normal(row[key]));
    Group& found = groups_[{end, group}];
    found.values.resize(spec_.aggregates.size());
    for (size_t i = 0; i < spec_.aggregates.size(); ++i) {
      const std::optional<Expr>& argument = spec_.aggregates[i].argument();
      const Cell value = argument ? row[*input_.Find(argument->node().name)] : Cell(int64_t{1});
      if (!IsNull(value)) found.values[i].push_back(value);
    }
    touched_.insert({end, group});
  }

  /// Forgets what was touched and the closed windows.
  void Commit(int64_t closed_upto) {
    touched_.clear();
    std::erase_if(groups_, [&](const auto& group) { return group.first.first <= closed_upto; });
  }

  std::vector<CellRow> Touched() const {
    return Sorted([&](const Key& key) { return touched_.contains(key); });
  }
  std::vector<CellRow> Scan(int64_t after, int64_t upto) const {
    return Sorted([&](const Key& key) { return key.first > after && key.first <= upto; });
  }
  /// Whether some touched group has a result that does not fit.
  bool TouchedOverflows() const {
    for (const Key& key : touched_) {
      for (size_t i = 0; i < spec_.aggregates.size(); ++i) {
        bool overflow = false;
        Result(i, groups_.at(key).values[i], &overflow);
        if (overflow) return true;
      }
    }
    return false;
  }

 private:
  using Key = std::pair<int64_t, CellRow>;
  struct KeyLess {
    bool operator()(const Key& a, const Key& b) const {
      if (a.first != b.first) return a.first < b.first;
      return CellRowLess()(a.second, b.second);
    }
  };
  struct Group {
    std::vector<std::vector<Cell>> values;  // of each aggregate, null left out
  };

  static Cell Normal(const Cell& cell) {
    const double* value = std::get_if<double>(&cell);
    if (value == nullptr) return cell;
    if (std::isnan(*value)) return std::numeric_limits<double>::quiet_NaN();
    return *value == 0 ? 0.0 : *value;
  }

  template <typename Filter>
  std::vector<CellRow> Sorted(Filter filter) const {
    std::vector<std::pair<Key, CellRow>> found;
    for (const auto& [key, group] : groups_) {
      if (!filter(key)) continue;
      CellRow row = key.second;
      // The time key comes first in the order of groups, wherever it is among the columns; the map
      // orders so already.
      for (size_t i = 0; i < spec_.aggregates.size(); ++i) {
        bool overflow = false;
        row.push_back(Result(i, group.values[i], &overflow));
      }
      found.emplace_back(key, std::move(row));
    }
    std::vector<CellRow> rows;
    for (auto& [key, row] : found) rows.push_back(std::move(row));
    return rows;
  }

  Cell Result(size_t i, const std::vector<Cell>& values, bool* overflow) const {
    const Aggregate& aggregate = spec_.aggregates[i];
    const auto count = static_cast<int64_t>(values.size());
    switch (aggregate.function()) {
      case AggregateFunction::kCountRows:
      case AggregateFunction::kCount:
        return count;
      case AggregateFunction::kMin:
      case AggregateFunction::kMax: {
        if (values.empty()) return kNull;
        const auto less = [](const Cell& a, const Cell& b) { return Compare(a, b) < 0; };
        return Normal(aggregate.function() == AggregateFunction::kMin
                          ? *std::min_element(values.begin(), values.end(), less)
                          : *std::max_element(values.begin(), values.end(), less));
      }
      case AggregateFunction::kSum:
      case AggregateFunction::kAvg:
        break;
    }
    if (values.empty()) return kNull;
    const DataType type = input_.field(*input_.Find(aggregate.argument()->node().name)).type;
    const bool is_sum = aggregate.function() == AggregateFunction::kSum;
    if (type.id == TypeId::kDouble) {
      double sum = 0;
      for (const Cell& value : values) sum += std::get<double>(value);
      return is_sum ? sum : sum / static_cast<double>(count);
    }
    if (type.id != TypeId::kDecimal) {
      Int128 sum = 0;
      for (const Cell& value : values) sum += std::get<int64_t>(value);
      if (!is_sum) return static_cast<double>(sum) / static_cast<double>(count);
      *overflow = sum > INT64_MAX || sum < INT64_MIN;
      return *overflow ? kNull : Cell(static_cast<int64_t>(sum));
    }
    return DecimalResult(values, type, is_sum, overflow);
  }

  // Sums of halves of 19 digits, so that nothing overflows; the average digit by digit.
  static Cell DecimalResult(const std::vector<Cell>& values, DataType type, bool is_sum,
                            bool* overflow) {
    Int128 half = 1;
    for (int i = 0; i < 19; ++i) half *= 10;
    Int128 high = 0;
    Int128 low = 0;
    for (const Cell& value : values) {
      high += std::get<Int128>(value) / half;
      low += std::get<Int128>(value) % half;
    }
    high += low / half;
    low %= half;
    Int128 limit = 1;
    for (int i = 0; i < std::min(38, type.precision + 10); ++i) limit *= 10;
    *overflow = true;
    if (high > half || high < -half) return kNull;
    const Int128 sum = high * half + low;
    if (sum >= limit || sum <= -limit) return kNull;
    *overflow = false;
    if (is_sum) return sum;
    const auto count = static_cast<Int128>(values.size());
    Int128 rest = sum < 0 ? -sum : sum;
    Int128 result = rest / count;
    rest %= count;
    limit = 1;
    for (int i = 0; i < std::min(38, type.precision + 4); ++i) limit *= 10;
    for (int scale = type.scale; scale < std::min(38, type.scale + 4); ++scale) {
      *overflow |= result >= limit / 10;
      if (*overflow) return kNull;
      rest *= 10;
      result = result * 10 + rest / count;
      rest %= count;
    }
    if (rest * 2 >= count) ++result;
    *overflow = result >= limit;
    return *overflow ? kNull : Cell(sum < 0 ? -result : result);
  }

  AggregationSpec spec_;
  Schema input_;
  std::vector<size_t> keys_;
  std::optional<size_t> time_key_;
  std::map<Key, Group, KeyLess> groups_;
  std::set<Key, KeyLess> touched_;
};

}  // namespace tidemark

#endif  // TIDEMARK_TESTS_OPERATORS_AGGREGATES_NAIVE_GROUP_BY_H_
