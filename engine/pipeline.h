#ifndef TIDEMARK_ENGINE_PIPELINE_H_
#define TIDEMARK_ENGINE_PIPELINE_H_

#include <concepts>
#include <map>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "absl/time/time.h"
#include "tidemark/engine/plan.h"
#include "tidemark/operators/aggregates/aggregate.h"
#include "tidemark/operators/expressions/functions.h"
#include "tidemark/operators/formats/format.h"

/// The words a pipeline is written in. They are Spark's wherever Spark has one:
///
///   Query RegistrationsPerStore(Job& job) {
///     return job.Source("users_change_events")
///         .Decode(Json(Schema().Int64("customer_id").Int64("store_id").Timestamp("created_at")))
///         .WithWatermark("created_at", absl::Minutes(10))
///         .GroupBy(TumblingWindow("created_at", absl::Minutes(5)), "store_id")
///         .Aggregate(Count().As("registrations"))
///         .WriteTo(job.Sink("registrations_per_store").Key("window_start", "store_id"),
///         OutputMode::kUpdate,
///                  Trigger::Every(absl::Seconds(10)));
///   }
///
/// Every verb returns a new value and only writes down what is wanted; mistakes are reported
/// together when the query is planned, before any source is opened. A string where a column is
/// expected is a column's name. All of it is plain values: no threads, no I/O.
namespace tidemark {

/// A finished pipeline: what Start and RunJob take.
struct Query {
  Plan plan;
};

/// The sink of a pipeline: its name, and the columns that identify a row in it.
class SinkTarget {
 public:
  explicit SinkTarget(std::string name) { node_.name = std::move(name); }
  /// The columns whose values identify an output row: what MySQL replaces by.
  template <std::convertible_to<std::string>... Names>
  SinkTarget Key(Names&&... columns) const {
    SinkTarget result = *this;
    result.node_.key_columns = {std::string(std::forward<Names>(columns))...};
    return result;
  }
  /// Rows for which `condition` is true delete their key from the sink (MySQL) instead of replacing
  /// it.
  SinkTarget DeleteWhen(Expr condition) const {
    SinkTarget result = *this;
    result.node_.delete_when = std::move(condition);
    return result;
  }

 private:
  friend class Stream;
  SinkNode node_;
};

/// A column: by name, or as an expression (`Upper(Col("region")).As("region")`).
class ColumnArgument {
 public:
  ColumnArgument(const char* name) : expr_(Col(name)) {}  // NOLINT(google-explicit-constructor)
  ColumnArgument(std::string name)
      : expr_(Col(std::move(name))) {}                   // NOLINT(google-explicit-constructor)
  ColumnArgument(Expr expr) : expr_(std::move(expr)) {}  // NOLINT(google-explicit-constructor)
  const Expr& expr() const { return expr_; }

 private:
  Expr expr_;
};

class GroupedStream;

/// Rows on their way. A value: each verb gives a longer one.
class Stream {
 public:
  /// Bytes to rows: `Json(Schema()...)`. First verb after the source.
  Stream Decode(FormatSpec format) const { return Then(DecodeNode{std::move(format)}); }
  /// Keeps the rows for which `condition` is true.
  Stream Filter(Expr condition) const { return Then(FilterNode{std::move(condition)}); }
  /// Replaces the columns.
  template <std::convertible_to<ColumnArgument>... Columns>
  Stream Select(Columns&&... columns) const {
    return Then(SelectNode{{ColumnArgument(std::forward<Columns>(columns)).expr()...}});
  }
  /// Adds a column, or replaces the one of this name.
  Stream WithColumn(std::string name, Expr value) const {
    return Then(WithColumnNode{std::move(name), std::move(value)});
  }
  /// Event time is `column`; results wait for rows that come up to `delay` late (semantics, section
  /// 1).
  Stream WithWatermark(std::string column, absl::Duration delay) const {
    WatermarkNode node;
    node.column = std::move(column);
    node.delay = delay;
    return Then(std::move(node));
  }
  /// After WithWatermark: a watermark per Kafka partition, combined by minimum; a partition silent
  /// for `idle_timeout` is left out.
  Stream PerPartition(absl::Duration idle_timeout) const;
  /// After WithWatermark: event times further than this ahead of their record's Kafka timestamp do
  /// not move the watermark (default 1 hour; zero: no limit).
  Stream MaxFutureSkew(absl::Duration skew) const;

  /// Groups by columns, with or without a window in front.
  template <std::convertible_to<ColumnArgument>... Keys>
  GroupedStream GroupBy(WindowSpec window, Keys&&... keys) const;
  template <std::convertible_to<ColumnArgument>... Keys>
  GroupedStream GroupBy(Keys&&... keys) const;

  /// Ends the pipeline.
  Query WriteTo(SinkTarget target, OutputMode mode, Trigger trigger = Trigger::Asap()) const;

 private:
  friend class Job;
  friend class GroupedStream;
  Stream Then(PlanNode node) const {
    Stream result = *this;
    result.plan_.nodes.push_back(std::move(node));
    return result;
  }

  Plan plan_;
};

/// Rows by group; wants aggregates.
class GroupedStream {
 public:
  /// One output row a group: window_start and window_end (with a window), the keys, then these.
  template <std::same_as<tidemark::Aggregate>... Aggregates>
  Stream Aggregate(Aggregates... aggregates) const {
    AggregateNode node = node_;
    node.aggregates = {std::move(aggregates)...};
    return stream_.Then(std::move(node));
  }

 private:
  friend class Stream;
  GroupedStream(Stream stream, AggregateNode node)
      : stream_(std::move(stream)), node_(std::move(node)) {}
  Stream stream_;
  AggregateNode node_;
};

/// What a pipeline function is given: names its source, its sink and its parameters. Where they
/// really are (Kafka, embedded, in memory; console, MySQL, files) is decided by flags, profile and
/// test kit, not here.
class Job {
 public:
  Job() = default;
  explicit Job(std::map<std::string, std::string> params) : params_(std::move(params)) {}

  /// The topic to read, unless --topic names another.
  Stream Source(std::string topic) const { return Stream().Then(SourceNode{std::move(topic)}); }
  SinkTarget Sink(std::string name) const { return SinkTarget(std::move(name)); }
  /// A parameter of the job's own (--param NAME=VALUE, `params:` in the config file); `fallback` if
  /// it was not given.
  std::string Param(const std::string& name, std::string fallback = "") const {
    const auto found = params_.find(name);
    return found == params_.end() ? std::move(fallback) : found->second;
  }

 private:
  std::map<std::string, std::string> params_;
};

template <std::convertible_to<ColumnArgument>... Keys>
GroupedStream Stream::GroupBy(WindowSpec window, Keys&&... keys) const {
  return GroupedStream(
      *this,
      AggregateNode{std::move(window), {ColumnArgument(std::forward<Keys>(keys)).expr()...}, {}});
}

template <std::convertible_to<ColumnArgument>... Keys>
GroupedStream Stream::GroupBy(Keys&&... keys) const {
  return GroupedStream(
      *this, AggregateNode{std::nullopt, {ColumnArgument(std::forward<Keys>(keys)).expr()...}, {}});
}

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_PIPELINE_H_
