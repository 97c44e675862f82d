// Pipelines out of a grammar over the DSL, on random rows whose disorder stays within the watermark
// delay: however the input is cut into batches, and wherever the query is dropped and started
// again, every key ends with what a plain fold in memory makes of it.
//
// TIDEMARK_FAULTS_SEED=N repeats the pipelines of seed N.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <optional>
#include <random>

#include "tests/faults/fault_report.h"
#include "tidemark/engine/test_kit.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark::testing {
namespace {

constexpr int64_t kStartUs = 1'736'150'400'000'000;  // 2025-01-06T08:00:00Z

struct Row {
  int64_t id = 0;
  std::optional<int64_t> a;
  std::optional<double> b;  // multiples of a quarter: sums are exact
  std::optional<std::string> s;
  std::optional<bool> flag;
  int64_t time_us = 0;
};

using Random = std::mt19937_64;

int64_t Below(Random& random, int64_t limit) {
  return std::uniform_int_distribution<int64_t>(0, limit - 1)(random);
}
bool OneIn(Random& random, int64_t n) { return Below(random, n) == 0; }

template <typename T>
TestValue OrNull(const std::optional<T>& value) {
  return value.has_value() ? TestValue(*value) : TestValue(nullptr);
}

std::string TimeText(int64_t time_us) {
  std::string text;
  AppendTimestamp(time_us, &text);
  return text;
}

Row RandomRow(Random& random, int64_t id) {
  constexpr std::array<const char*, 6> kTexts = {
      "", "x", "ü", "\"q\"", "long enough to be no short one", "日本"};
  Row row;
  row.id = id;
  if (!OneIn(random, 6)) row.a = Below(random, 41) - 20;
  if (!OneIn(random, 6)) row.b = static_cast<double>(Below(random, 400) - 150) / 4;
  if (!OneIn(random, 6)) row.s = kTexts[static_cast<size_t>(Below(random, kTexts.size()))];
  if (!OneIn(random, 6)) row.flag = OneIn(random, 2);
  return row;
}

// ---- The grammar: each piece as an expression of the DSL and as a function of a row

struct Condition {
  Expr expr;
  std::function<std::optional<bool>(const Row&)> eval;  // nothing: null
};

struct IntValue {
  Expr expr;
  std::function<std::optional<int64_t>(const Row&)> eval;
};

Condition RandomComparison(Random& random) {
  const int64_t limit = Below(random, 31) - 15;
  const auto of_a = [](auto compare) {
    return [compare](const Row& row) -> std::optional<bool> {
      if (!row.a.has_value()) return std::nullopt;
      return compare(*row.a);
    };
  };
  switch (Below(random, 8)) {
    case 0:
      return {Col("a") < limit, of_a([limit](int64_t a) { return a < limit; })};
    case 1:
      return {Col("a") >= limit, of_a([limit](int64_t a) { return a >= limit; })};
    case 2:
      return {Col("a") != limit, of_a([limit](int64_t a) { return a != limit; })};
    case 3:
      return {Col("a") % int64_t{2} == int64_t{0}, of_a([](int64_t a) { return a % 2 == 0; })};
    case 4:
      return {Col("s") == "x", [](const Row& row) -> std::optional<bool> {
                if (!row.s.has_value()) return std::nullopt;
                return *row.s == "x";
              }};
    case 5:
      return {Col("flag"), [](const Row& row) { return row.flag; }};
    case 6:
      return {IsNull(Col("s")), [](const Row& row) { return std::optional(!row.s.has_value()); }};
    default:
      return {Col("b") > 0.5, [](const Row& row) -> std::optional<bool> {
                if (!row.b.has_value()) return std::nullopt;
                return *row.b > 0.5;
              }};
  }
}

Condition RandomCondition(Random& random, int depth) {
  if (depth == 0 || OneIn(random, 2)) return RandomComparison(random);
  const Condition left = RandomCondition(random, depth - 1);
  const Condition right = RandomCondition(random, depth - 1);
  switch (Below(random, 3)) {
    case 0:
      return {left.expr && right.expr, [left, right](const Row& row) -> std::optional<bool> {
                const auto l = left.eval(row);
                const auto r = right.eval(row);
                if ((l.has_value() && !*l) || (r.has_value() && !*r)) return false;
                if (l.has_value() && r.has_value()) return true;
                return std::nullopt;
              }};
    case 1:
      return {left.expr || right.expr, [left, right](const Row& row) -> std::optional<bool> {
                const auto l = left.eval(row);
                const auto r = right.eval(row);
                if ((l.has_value() && *l) || (r.has_value() && *r)) return true;
                if (l.has_value() && r.has_value()) return false;
                return std::nullopt;
              }};
    default:
      return {!left.expr, [left](const Row& row) -> std::optional<bool> {
                const auto l = left.eval(row);
                return l.has_value() ? std::optional(!*l) : std::nullopt;
              }};
  }
}

IntValue RandomInt(Random& random) {
  const int64_t by = 1 + Below(random, 9);
  switch (Below(random, 4)) {
    case 0:
      return {Col("a") + by, [by](const Row& row) -> std::optional<int64_t> {
                return row.a.has_value() ? std::optional(*row.a + by) : std::nullopt;
              }};
    case 1:
      return {Coalesce(Col("a"), Lit(by)),
              [by](const Row& row) { return std::optional(row.a.value_or(by)); }};
    case 2: {
      const Condition when = RandomCondition(random, 1);
      return {If(when.expr, Col("id"), Col("a")), [when](const Row& row) {
                return when.eval(row).value_or(false) ? std::optional(row.id) : row.a;
              }};
    }
    default:
      return {Col("id") * by - Col("a"), [by](const Row& row) -> std::optional<int64_t> {
                return row.a.has_value() ? std::optional(row.id * by - *row.a) : std::nullopt;
              }};
  }
}

// ---- Accumulators of the fold, and their text in a row

template <typename T>
struct Summary {
  int64_t count = 0;
  T sum = T();
  std::optional<T> min;
  std::optional<T> max;
  void Add(const std::optional<T>& value) {
    if (!value.has_value()) return;
    ++count;
    sum += *value;
    if (!min.has_value() || *value < *min) min = value;
    if (!max.has_value() || *value > *max) max = value;
  }
};

std::string Text(int64_t value) { return std::to_string(value); }
std::string Text(double value) {
  std::string text;
  AppendDouble(value, &text);
  return text;
}
std::string Text(bool value) { return value ? "true" : "false"; }
std::string Text(const std::string& value) {
  std::string text;
  AppendJsonString(value, &text);
  return text;
}
template <typename T>
std::string Text(const std::optional<T>& value) {
  return value.has_value() ? Text(*value) : "null";
}

struct Group {
  int64_t rows = 0;
  Summary<int64_t> a;
  Summary<double> b;
  Summary<std::string> s;
  Summary<int64_t> v;
};

struct Measure {
  Aggregate aggregate;
  std::function<std::string(const Group&)> text;
};

Measure RandomMeasure(Random& random) {
  switch (Below(random, 10)) {
    case 0:
      return {Count(), [](const Group& group) { return Text(group.rows); }};
    case 1:
      return {Count("a"), [](const Group& group) { return Text(group.a.count); }};
    case 2:
      return {Sum("v"),
              [](const Group& group) { return group.v.count == 0 ? "null" : Text(group.v.sum); }};
    case 3:
      return {Min("v"), [](const Group& group) { return Text(group.v.min); }};
    case 4:
      return {Max("a"), [](const Group& group) { return Text(group.a.max); }};
    case 5:
      return {Min("s"), [](const Group& group) { return Text(group.s.min); }};
    case 6:
      return {Max("s"), [](const Group& group) { return Text(group.s.max); }};
    case 7:
      return {Avg("a"), [](const Group& group) {
                return group.a.count == 0 ? "null"
                                          : Text(static_cast<double>(group.a.sum) /
                                                 static_cast<double>(group.a.count));
              }};
    case 8:
      return {Sum("b"),
              [](const Group& group) { return group.b.count == 0 ? "null" : Text(group.b.sum); }};
    default:
      return {Max("b"), [](const Group& group) { return Text(group.b.max); }};
  }
}

struct Key {
  std::string column;
  std::function<std::string(const Row&)> text;
};

// A pipeline, and the fold that says what must come out of it.
class RandomPipeline {
 public:
  explicit RandomPipeline(Random& random)
      : value_(RandomInt(random)), mode_(static_cast<OutputMode>(Below(random, 3))) {
    for (int64_t i = Below(random, 3); i > 0; --i) filters_.push_back(RandomCondition(random, 2));
    windowed_ = mode_ == OutputMode::kAppend || !OneIn(random, 3);
    watermark_ = mode_ == OutputMode::kAppend || OneIn(random, 2);
    window_us_ = (1 + Below(random, 20)) * 1'000'000;
    delay_us_ = Below(random, 8) * 1'000'000;
    const std::array<Key, 3> keys = {Key{"s", [](const Row& row) { return Text(row.s); }},
                                     Key{"flag", [](const Row& row) { return Text(row.flag); }},
                                     Key{"k", [](const Row& row) { return Text(row.id % 5); }}};
    for (const Key& key : keys) {
      if (OneIn(random, 2)) keys_.push_back(key);
    }
    if (!windowed_ && keys_.empty()) keys_.push_back(keys[0]);
    for (int64_t i = 1 + Below(random, 4); i > 0; --i) measures_.push_back(RandomMeasure(random));
  }

  Query Make(Job& job) const {
    Query query =
        job.Source("rows")
            .Decode(
                Json(Schema().Int64("id").Int64("a").Double("b").String("s").Bool("flag").Timestamp(
                    "at")))
            .WriteTo(job.Sink("out"), mode_);
    SinkNode sink = std::get<SinkNode>(query.plan.nodes.back());
    query.plan.nodes.pop_back();
    if (watermark_) {
      WatermarkNode watermark;
      watermark.column = "at";
      watermark.delay = absl::Microseconds(delay_us_);
      query.plan.nodes.push_back(watermark);
    }
    for (const Condition& filter : filters_) query.plan.nodes.push_back(FilterNode{filter.expr});
    query.plan.nodes.push_back(WithColumnNode{"v", value_.expr});
    query.plan.nodes.push_back(WithColumnNode{"k", Col("id") % int64_t{5}});
    AggregateNode aggregate;
    if (windowed_) {
      aggregate.window = TumblingWindow("at", absl::Microseconds(window_us_));
      sink.key_columns = {"window_start"};
    }
    for (const Key& key : keys_) {
      aggregate.keys.push_back(Col(key.column));
      sink.key_columns.push_back(key.column);
    }
    for (size_t i = 0; i < measures_.size(); ++i) {
      aggregate.aggregates.push_back(measures_[i].aggregate.As(fmt::format("m{}", i)));
    }
    query.plan.nodes.push_back(aggregate);
    query.plan.nodes.push_back(sink);
    return query;
  }

  void Fold(const Row& row) {
    newest_us_ = std::max(newest_us_, row.time_us);
    for (const Condition& filter : filters_) {
      if (!filter.eval(row).value_or(false)) return;
    }
    std::string text;
    int64_t end_us = INT64_MAX;
    if (windowed_) {
      const int64_t start_us = row.time_us / window_us_ * window_us_;
      end_us = start_us + window_us_;
      text = fmt::format(R"("window_start":"{}","window_end":"{}",)", TimeText(start_us),
                         TimeText(end_us));
    }
    for (const Key& key : keys_) text += fmt::format(R"("{}":{},)", key.column, key.text(row));
    Group& group = groups_[{end_us, text}];
    ++group.rows;
    group.a.Add(row.a);
    group.b.Add(row.b);
    group.s.Add(row.s);
    group.v.Add(value_.eval(row));
  }

  std::vector<std::string> Expected() const {
    std::vector<std::string> rows;
    for (const auto& [key, group] : groups_) {
      const auto& [end_us, text] = key;
      if (mode_ == OutputMode::kAppend && end_us > newest_us_ - delay_us_) continue;
      std::string row = "{" + text;
      for (size_t i = 0; i < measures_.size(); ++i) {
        row += fmt::format(R"({}"m{}":{})", i == 0 ? "" : ",", i, measures_[i].text(group));
      }
      rows.push_back(row + "}");
    }
    return rows;
  }

  OutputMode mode() const { return mode_; }
  int64_t delay_us() const { return delay_us_; }
  bool has_watermark() const { return watermark_; }

 private:
  IntValue value_;
  OutputMode mode_;
  std::vector<Condition> filters_;
  bool windowed_ = false;
  bool watermark_ = false;
  int64_t window_us_ = 0;
  int64_t delay_us_ = 0;
  std::vector<Key> keys_;
  std::vector<Measure> measures_;
  std::map<std::pair<int64_t, std::string>, Group> groups_;  // by window end and key text
  int64_t newest_us_ = INT64_MIN;
};

std::vector<std::string> Written(const TestKit& kit, OutputMode mode) {
  std::vector<std::string> rows;
  if (mode == OutputMode::kAppend) {
    for (const std::vector<std::string>& batch : kit.Batches()) {
      rows.insert(rows.end(), batch.begin(), batch.end());
    }
  } else if (mode == OutputMode::kComplete) {
    rows = kit.Rows();
  } else {
    for (const auto& [key, row] : kit.Table()) rows.push_back(row);
  }
  return rows;
}

// One life of one pipeline. Adds its kills to `outcome`.
void Live(uint64_t seed, FaultOutcome* outcome) {
  Random random(seed);
  RandomPipeline pipeline(random);
  const int32_t partitions = 1 + static_cast<int32_t>(Below(random, 3));
  const int64_t limit = partitions == 1 && OneIn(random, 2) ? 1 + Below(random, 60) : 0;
  const int threads = 1 + static_cast<int>(Below(random, 2));
  TestKit kit([&](Job& job) { return pipeline.Make(job); }, {},
              [&](QueryOptions& options) {
                options.threads = threads;
                options.max_offsets_per_trigger = limit;
              });
  const int64_t rows = 50 + Below(random, 250);
  int64_t until_cut = Below(random, 40);
  for (int64_t id = 0; id <= rows; ++id) {
    Row row = RandomRow(random, id);
    row.time_us = kStartUs + id * 100'000;
    if (pipeline.delay_us() > 0) row.time_us -= Below(random, pipeline.delay_us());
    if (id == rows) row.time_us += 3'600'000'000;  // closes what is open
    pipeline.Fold(row);
    kit.Add({{"id", row.id},
             {"a", OrNull(row.a)},
             {"b", OrNull(row.b)},
             {"s", OrNull(row.s)},
             {"flag", OrNull(row.flag)},
             {"at", TimeText(row.time_us)}},
            static_cast<int32_t>(Below(random, partitions)));
    if (until_cut-- > 0) continue;
    until_cut = Below(random, 40);
    if (OneIn(random, 3)) {
      const absl::Status ran = kit.RunAll();
      ASSERT_TRUE(ran.ok()) << ran << ", seed " << seed;
    } else {
      const absl::StatusOr<bool> ran = kit.RunBatch();
      ASSERT_TRUE(ran.ok()) << ran.status() << ", seed " << seed;
    }
    if (OneIn(random, 3)) {
      kit.Stop();
      ++outcome->injected;
    }
  }
  const absl::Status ran = kit.RunAll();
  ASSERT_TRUE(ran.ok()) << ran << ", seed " << seed;
  const std::vector<std::string> expected = pipeline.Expected();
  const std::vector<std::string> written = Written(kit, pipeline.mode());
  if (!outcome->Compare(expected, written)) {
    Job job;
    ADD_FAILURE() << "seed " << seed << "\n"
                  << Explain(pipeline.Make(job).plan) << "\nexpected:\n"
                  << fmt::format("{}\nwritten:\n{}", fmt::join(expected, "\n"),
                                 fmt::join(written, "\n"));
  }
}

TEST(RandomPipelinesTest, EveryKeyEndsAsInAPlainFold) {
  const uint64_t seed = FaultSeed();
  const int64_t pipelines = FaultScale(1'000, 3'000);
  fmt::print("seeds {} to {}\n", seed, seed + static_cast<uint64_t>(pipelines) - 1);
  FaultOutcome outcome{.fault = "random pipelines, cut and restarted at random"};
  for (int64_t i = 0; i < pipelines && !HasFailure(); ++i) {
    Live(seed + static_cast<uint64_t>(i), &outcome);
  }
  if (!HasFailure()) outcome.survived = outcome.injected;
  ReportFault(outcome);
}

}  // namespace
}  // namespace tidemark::testing
