#include "tidemark/engine/state_schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <iterator>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "tidemark/engine/text_rows.h"
#include "tidemark/operators/expressions/bound_expression.h"

namespace tidemark {
namespace {

constexpr std::array<std::string_view, 6> kFunctions = {"count_rows", "count", "sum",
                                                        "min",        "max",   "avg"};

std::optional<DataType> TypeOf(const std::string& text) {
  for (const DataType type :
       {DataType::Bool(), DataType::Int32(), DataType::Int64(), DataType::Double(),
        DataType::String(), DataType::Bytes(), DataType::Date(), DataType::Timestamp()}) {
    if (type.ToString() == text) return type;
  }
  unsigned precision = 0;
  unsigned scale = 0;
  if (std::sscanf(text.c_str(), "decimal(%u,%u)", &precision, &scale) != 2) return std::nullopt;
  if (precision < 1 || precision > 38 || scale > precision) return std::nullopt;
  const DataType type =
      DataType::Decimal(static_cast<uint8_t>(precision), static_cast<uint8_t>(scale));
  if (type.ToString() != text) return std::nullopt;
  return type;
}

DataType BoundType(const Expr& expr, const Schema& input) {
  const absl::StatusOr<BoundExpression> bound = Bind(expr, input);
  return bound.ok() ? bound->type() : DataType();
}

// Without a window, the first key that is just the watermarked column is what closes groups.
bool IsTimeKey(const AggregationSpec& spec, const Expr& key, const Schema& input) {
  if (spec.window.has_value() || !spec.watermark_column.has_value()) return false;
  const ExprNode& node = key.node();
  return node.kind == ExprKind::kColumn && node.name == *spec.watermark_column &&
         BoundType(key, input) == DataType::Timestamp();
}

// What the text says, as the arguments of Aggregation::Create: columns of names of our own.
struct Reading {
  AggregationSpec spec;
  Schema input;
  size_t arguments = 0;
  std::set<std::string> names;                                // of the output
  std::vector<std::pair<std::string, std::string>> averages;  // name, argument
};

std::string KeyColumn(size_t i) { return fmt::format("key{}", i); }
std::string ArgumentColumn(size_t i) { return fmt::format("argument{}", i); }

bool AddKey(TextRow& row, Reading* reading) {
  const bool time = row.Is("time");
  const std::optional<DataType> type = TypeOf(row.Text());
  const std::string name = row.Text();
  if (!type.has_value()) return false;
  const std::string column = KeyColumn(reading->spec.keys.size());
  reading->input.Add(column, *type);
  reading->spec.keys.push_back(Col(column).As(name));
  reading->names.insert(name);
  if (time) reading->spec.watermark_column = column;
  return true;
}

bool AddAggregate(TextRow& row, Reading* reading) {
  const std::string function = row.Text();
  const int64_t argument = row.Int();
  const std::string name = row.Text();
  const auto found = std::find(kFunctions.begin(), kFunctions.end(), function);
  if (found == kFunctions.end()) return false;
  const auto kind = static_cast<AggregateFunction>(found - kFunctions.begin());
  std::optional<Expr> value;
  if (kind != AggregateFunction::kCountRows) {
    if (argument < 0 || static_cast<size_t>(argument) >= reading->arguments) return false;
    const std::string column = ArgumentColumn(static_cast<size_t>(argument));
    value = Col(column);
    if (kind == AggregateFunction::kAvg) reading->averages.emplace_back(name, column);
  }
  reading->spec.aggregates.push_back(Aggregate(kind, value).As(name));
  reading->names.insert(name);
  return true;
}

}  // namespace

std::string StateSchemaText(const AggregationSpec& spec, const Schema& input) {
  std::string text = "state 1\n";
  const auto add = std::back_inserter(text);
  if (spec.window.has_value()) {
    fmt::format_to(add, "window {} {}\n", absl::ToInt64Microseconds(spec.window->size),
                   absl::ToInt64Microseconds(spec.window->offset));
  }
  bool has_time = false;
  for (const Expr& key : spec.keys) {
    const bool time = !has_time && IsTimeKey(spec, key, input);
    has_time |= time;
    fmt::format_to(add, "key {}{} {}\n", time ? "time " : "", BoundType(key, input).ToString(),
                   TextWord(key.Name()));
  }
  std::vector<std::string> arguments;
  std::string aggregates;
  for (const Aggregate& aggregate : spec.aggregates) {
    size_t index = 0;
    if (aggregate.argument().has_value()) {
      const std::string argument = aggregate.argument()->ToString();
      while (index < arguments.size() && arguments[index] != argument) ++index;
      if (index == arguments.size()) {
        arguments.push_back(argument);
        fmt::format_to(add, "argument {}\n", BoundType(*aggregate.argument(), input).ToString());
      }
    }
    fmt::format_to(std::back_inserter(aggregates), "aggregate {} {} {}\n",
                   kFunctions[static_cast<size_t>(aggregate.function())], index,
                   TextWord(aggregate.Name()));
  }
  return text + aggregates;
}

absl::StatusOr<std::unique_ptr<Aggregation>> AggregationOf(std::string_view state_schema) {
  Reading reading;
  reading.spec.on_overflow = OverflowPolicy::kNull;
  TextRows rows(state_schema, "the names of the state's columns");
  TextRow row = rows.Next();
  row.Word("state");
  row.Constant(1);
  bool fits = true;
  while (fits && rows.more()) {
    row = rows.Next();
    if (row.Is("window")) {
      const int64_t size = row.Int();
      const int64_t offset = row.Int();
      reading.input.Timestamp("time");
      reading.spec.window =
          TumblingWindow("time", absl::Microseconds(size), absl::Microseconds(offset));
    } else if (row.Is("key")) {
      fits = AddKey(row, &reading);
    } else if (row.Is("argument")) {
      const std::optional<DataType> type = TypeOf(row.Text());
      fits = type.has_value();
      if (fits) reading.input.Add(ArgumentColumn(reading.arguments++), *type);
    } else {
      row.Word("aggregate");
      fits = AddAggregate(row, &reading);
    }
    row.End();
  }
  if (absl::Status status = rows.Check(); !status.ok()) return status;
  // What an average is made of is kept beside it; to show it changes no layout.
  for (const auto& [name, argument] : reading.averages) {
    for (const auto& [part, function] : {std::pair(".sum", AggregateFunction::kSum),
                                         std::pair(".count", AggregateFunction::kCount)}) {
      if (!reading.names.insert(name + part).second) continue;
      reading.spec.aggregates.push_back(Aggregate(function, Col(argument)).As(name + part));
    }
  }
  absl::StatusOr<std::unique_ptr<Aggregation>> aggregation = Aggregation::Create(
      reading.spec, std::make_shared<const Schema>(std::move(reading.input)), true);
  if (fits && aggregation.ok()) return aggregation;
  return absl::DataLossError(
      fmt::format("the checkpoint is damaged: the names of the state's columns cannot be read{}",
                  aggregation.ok() ? "" : ": " + std::string(aggregation.status().message())));
}

}  // namespace tidemark
