#include "tidemark/engine/planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "tidemark/engine/state_schema.h"
#include "tidemark/operators/formats/format.h"

namespace tidemark {
namespace {

constexpr std::string_view kDeleteColumn = "__delete";

void CollectColumns(const Expr& expr, std::vector<std::string>* names) {
  for (std::string& name : ReferencedColumns(expr)) names->push_back(std::move(name));
}

// The columns that the steps up to and including the aggregate name: which hidden Kafka columns
// must be decoded.
std::vector<std::string> NamedColumns(const Plan& plan) {
  std::vector<std::string> names;
  for (const PlanNode& node : plan.nodes) {
    if (const auto* filter = std::get_if<FilterNode>(&node))
      CollectColumns(filter->condition, &names);
    if (const auto* with = std::get_if<WithColumnNode>(&node)) CollectColumns(with->value, &names);
    if (const auto* watermark = std::get_if<WatermarkNode>(&node))
      names.push_back(watermark->column);
    if (const auto* select = std::get_if<SelectNode>(&node)) {
      for (const Expr& column : select->columns) CollectColumns(column, &names);
    }
    if (const auto* sink = std::get_if<SinkNode>(&node)) {
      if (sink->delete_when.has_value()) CollectColumns(*sink->delete_when, &names);
    }
    if (const auto* aggregate = std::get_if<AggregateNode>(&node)) {
      if (aggregate->window.has_value()) names.push_back(aggregate->window->time_column);
      for (const Expr& key : aggregate->keys) CollectColumns(key, &names);
      for (const Aggregate& call : aggregate->aggregates) {
        if (call.argument().has_value()) CollectColumns(*call.argument(), &names);
      }
    }
  }
  return names;
}

std::string SchemaText(const Schema& schema) {
  std::string text;
  for (const Field& field : schema.fields()) {
    if (field.hidden) continue;
    text += fmt::format(" {}:{}", field.name, field.type.ToString());
    if (!field.path.empty()) text += fmt::format("@{}", field.path);
    if (field.time_encoding != TimeEncoding::kIso8601) {
      text += fmt::format("/epoch{}", static_cast<int>(field.time_encoding));
    }
    if (!field.zone.empty()) text += fmt::format("/{}", field.zone);
  }
  return text;
}

// Binds the nodes one after another; collects mistakes instead of stopping at the first, where what
// follows can still be judged.
class Binder {
 public:
  Binder(const Plan& plan, const PlannerOptions& options)
      : plan_(plan), options_(options), problems_(plan.problems) {}

  absl::StatusOr<BoundPlan> Bind() {
    for (size_t i = 0; i < plan_.nodes.size(); ++i) {
      index_ = i;
      std::visit([this](const auto& node) { Add(node); }, plan_.nodes[i]);
      if (lost_) break;
    }
    if (!lost_ && !ended_)
      problems_.push_back("the pipeline has no sink: end it with WriteTo(...)");
    if (!problems_.empty()) {
      return absl::InvalidArgumentError(fmt::format("{}", fmt::join(problems_, "\n")));
    }
    return std::move(bound_);
  }

 private:
  OnExpressionError on_error() const {
    return options_.bad_records == BadRecordPolicy::kNull ? OnExpressionError::kNull
                                                          : OnExpressionError::kRejectRow;
  }
  void Problem(std::string text) { problems_.push_back(std::move(text)); }
  void Problem(std::string_view step, const absl::Status& status) {
    problems_.push_back(fmt::format("{}: {}", step, std::string(status.message())));
  }
  /// What follows cannot be judged without this step.
  void Lose() { lost_ = true; }
  void Fingerprint(std::string line) { bound_.fingerprint += std::move(line) + "\n"; }

  void Add(const SourceNode& node) {
    if (index_ != 0)
      return Problem("Source() must be the first step, and the only one of its kind");
    bound_.topic = node.topic;
    if (node.topic.empty()) Problem("Source(): the topic has no name");
    Fingerprint("topic " + node.topic);
  }

  void Add(const DecodeNode& node) {
    if (index_ != 1) {
      Problem("Decode() must be the step after Source(), and the only one of its kind");
      return Lose();
    }
    bound_.format = node.format;
    if (std::string problem = node.format.schema.Problem(); !problem.empty()) {
      Problem("Decode(): " + problem);
      return Lose();
    }
    Fingerprint(fmt::format("decode {}{}{}", node.format.name, SchemaText(node.format.schema),
                            FormatFingerprint(node.format)));
    const std::vector<std::string> named = NamedColumns(plan_);
    for (const Field& column : KafkaColumns()) {
      if (node.format.schema.Find(column.name).has_value()) continue;
      if (std::find(named.begin(), named.end(), column.name) == named.end()) continue;
      Field hidden = column;
      hidden.hidden = true;
      bound_.format.schema.Add(std::move(hidden));
    }
    if (absl::StatusOr<std::unique_ptr<Decoder>> decoder = MakeDecoder(bound_.format);
        !decoder.ok()) {
      Problem("Decode()", decoder.status());
    }
    schema_ = std::make_shared<const Schema>(bound_.format.schema);
  }

  bool NeedsRows(std::string_view step) {
    if (schema_ != nullptr) return true;
    Problem(fmt::format("{}: there are no columns yet; Decode() must be the step after Source()",
                        step));
    Lose();
    return false;
  }

  void AddTransform(std::string_view step, absl::StatusOr<std::unique_ptr<Transform>> transform) {
    if (!transform.ok()) {
      Problem(step, transform.status());
      // A filter that is wrong does not hide what the next step sees.
      if (step != "Filter()") Lose();
      return;
    }
    schema_ = (*transform)->output_schema();
    (bound_.aggregation == nullptr ? bound_.transforms : bound_.result_transforms)
        .push_back(*std::move(transform));
  }

  void Add(const FilterNode& node) {
    if (!NeedsRows("Filter()")) return;
    AddTransform("Filter()", MakeFilter(node.condition, schema_, on_error()));
    Fingerprint("filter " + node.condition.ToString());
  }

  void Add(const SelectNode& node) {
    if (!NeedsRows("Select()")) return;
    AddTransform("Select()", MakeSelect(node.columns, schema_, on_error()));
    std::string line = "select";
    std::string event_time;
    for (const Expr& column : node.columns) {
      line += fmt::format(" {}={}", column.Name(), column.ToString());
      if (column.node().kind == ExprKind::kColumn && column.node().name == event_time_)
        event_time = column.Name();
    }
    event_time_ = event_time;
    Fingerprint(std::move(line));
  }

  void Add(const WithColumnNode& node) {
    if (!NeedsRows("WithColumn()")) return;
    if (!event_time_.empty() && node.name == event_time_) {
      Problem(
          fmt::format("WithColumn(): '{}' carries the watermark and cannot be replaced; give the "
                      "new column another name",
                      node.name));
      return;
    }
    AddTransform("WithColumn()", MakeWithColumn(node.name, node.value, schema_, on_error()));
    Fingerprint(fmt::format("with {}={}", node.name, node.value.ToString()));
  }

  void Add(const WatermarkNode& node) {
    if (!NeedsRows("WithWatermark()")) return;
    if (bound_.aggregation != nullptr)
      return Problem("WithWatermark() must stand before the aggregate");
    if (bound_.watermark.has_value())
      return Problem("WithWatermark() may be used once in a pipeline");
    if (node.delay < absl::ZeroDuration()) Problem("WithWatermark(): the delay is negative");
    if (node.max_future_skew < absl::ZeroDuration())
      Problem("MaxFutureSkew(): the duration is negative");
    if (node.per_partition && node.idle_timeout <= absl::ZeroDuration()) {
      Problem("PerPartition(): the idle timeout must be more than 0");
    }
    AddTransform("WithWatermark()",
                 MakeWatermarkObserver(node.column, schema_, node.max_future_skew));
    bound_.watermark = node;
    event_time_ = node.column;
    Fingerprint(
        fmt::format("watermark {}{}", node.column, node.per_partition ? " per-partition" : ""));
  }

  void Add(const AggregateNode& node) {
    if (!NeedsRows("Aggregate()")) return;
    if (bound_.aggregation != nullptr) {
      Problem("a second Aggregate() in one pipeline is not supported");
      return Lose();
    }
    AggregationSpec spec;
    spec.window = node.window;
    spec.keys = node.keys;
    spec.aggregates = node.aggregates;
    if (!event_time_.empty()) spec.watermark_column = event_time_;
    spec.on_overflow = options_.on_overflow;
    absl::StatusOr<std::unique_ptr<Aggregation>> aggregation =
        Aggregation::Create(spec, schema_, on_error() == OnExpressionError::kNull);
    if (!aggregation.ok()) {
      Problem("GroupBy().Aggregate()", aggregation.status());
      return Lose();
    }
    bound_.aggregation = *std::move(aggregation);
    bound_.state_schema = StateSchemaText(spec, *schema_);
    schema_ = bound_.aggregation->output_schema();
    // Only the column under the watermark says when a window is over.
    bound_.closes_groups = bound_.watermark.has_value() && bound_.aggregation->closes_groups() &&
                           (!node.window.has_value() || node.window->time_column == event_time_);
    std::string line = "aggregate";
    if (node.window.has_value()) {
      line += fmt::format(" window={}/{}us/{}us", node.window->time_column,
                          absl::ToInt64Microseconds(node.window->size),
                          absl::ToInt64Microseconds(node.window->offset));
    }
    for (const Expr& key : node.keys) line += fmt::format(" {}={}", key.Name(), key.ToString());
    for (const Aggregate& call : node.aggregates)
      line += fmt::format(" {}={}", call.Name(), call.ToString());
    Fingerprint(std::move(line));
    Fingerprint("state " + bound_.aggregation->state_layout());
  }

  void Add(const SinkNode& node) {
    if (!NeedsRows("WriteTo()")) return;
    ended_ = true;
    if (index_ + 1 != plan_.nodes.size()) Problem("WriteTo() must be the last step");
    bound_.sink = node.name;
    bound_.mode = node.mode;
    bound_.trigger = node.trigger;
    bound_.key_columns = node.key_columns;
    if (node.trigger.kind == Trigger::Kind::kInterval &&
        node.trigger.interval <= absl::ZeroDuration()) {
      Problem("the trigger's interval must be more than 0");
    }
    CheckMode(node);
    if (node.delete_when.has_value()) AddDeleteColumn(*node.delete_when);
    HideColumns();
    for (const std::string& key : node.key_columns) {
      if (schema_->Find(key).has_value()) continue;
      const std::string nearest = schema_->Nearest(key);
      Problem(fmt::format("the key column '{}' is not among the output columns {}{}", key,
                          schema_->ToString(),
                          nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest)));
    }
    bound_.output = schema_;
    Fingerprint(fmt::format("sink {} mode={} key={}", node.name, OutputModeName(node.mode),
                            fmt::join(node.key_columns, ",")));
  }

  void CheckMode(const SinkNode& node) {
    if (bound_.aggregation == nullptr) {
      if (node.mode == OutputMode::kComplete) {
        Problem("output mode complete needs an aggregate; use append");
      }
      return;
    }
    if (node.mode != OutputMode::kAppend || bound_.closes_groups) return;
    if (!bound_.watermark.has_value()) {
      Problem(
          "output mode append with an aggregate needs a watermark: add WithWatermark(...), or use "
          "update or complete");
    } else {
      Problem(
          fmt::format("output mode append needs a window over the watermarked column '{}', or that "
                      "column itself, among the group columns",
                      bound_.watermark->column));
    }
  }

  void AddDeleteColumn(const Expr& condition) {
    absl::StatusOr<BoundExpression> bound = tidemark::Bind(condition, *schema_);
    if (!bound.ok()) return Problem("DeleteWhen()", bound.status());
    if (bound->type() != DataType::Bool())
      return Problem("DeleteWhen(): the condition must be a bool");
    if (options_.sink_deletes) {
      AddTransform("DeleteWhen()",
                   MakeWithColumn(std::string(kDeleteColumn), condition, schema_, on_error()));
      bound_.delete_column = std::string(kDeleteColumn);
    }
    Fingerprint("delete-when " + condition.ToString());
  }

  /// Hidden columns that nobody selected do not reach the sink.
  void HideColumns() {
    const auto hidden = [](const Field& field) { return field.hidden; };
    if (std::none_of(schema_->fields().begin(), schema_->fields().end(), hidden)) return;
    std::vector<Expr> visible;
    for (const Field& field : schema_->fields()) {
      if (!field.hidden) visible.push_back(Col(field.name));
    }
    AddTransform("WriteTo()", MakeSelect(visible, schema_, on_error()));
  }

  const Plan& plan_;
  const PlannerOptions& options_;
  std::vector<std::string> problems_;
  BoundPlan bound_;
  std::shared_ptr<const Schema> schema_;
  std::string event_time_;  ///< the watermarked column under its present name; empty: none
  size_t index_ = 0;
  bool lost_ = false;
  bool ended_ = false;
};

std::vector<std::string> Lines(const std::string& text) {
  std::vector<std::string> lines;
  size_t start = 0;
  while (start < text.size()) {
    const size_t end = std::min(text.find('\n', start), text.size());
    lines.push_back(text.substr(start, end - start));
    start = end + 1;
  }
  return lines;
}

}  // namespace

absl::StatusOr<BoundPlan> BindPlan(const Plan& plan, const PlannerOptions& options) {
  return Binder(plan, options).Bind();
}

std::string FingerprintDifference(const std::string& checkpoint, const std::string& now) {
  const std::vector<std::string> before = Lines(checkpoint);
  const std::vector<std::string> after = Lines(now);
  for (size_t i = 0; i < std::max(before.size(), after.size()); ++i) {
    const std::string was = i < before.size() ? before[i] : "nothing";
    const std::string is = i < after.size() ? after[i] : "nothing";
    if (was != is)
      return fmt::format("the checkpoint has `{}`, the pipeline now has `{}`", was, is);
  }
  return "no difference";
}

}  // namespace tidemark
