#include "tidemark/operators/aggregates/aggregate.h"

#include <fmt/format.h>

#include <utility>

namespace tidemark {
namespace {

const char* FunctionName(AggregateFunction function) {
  switch (function) {
    case AggregateFunction::kCountRows:
    case AggregateFunction::kCount:
      return "count";
    case AggregateFunction::kSum:
      return "sum";
    case AggregateFunction::kMin:
      return "min";
    case AggregateFunction::kMax:
      return "max";
    case AggregateFunction::kAvg:
      return "avg";
  }
  return "unknown";
}

}  // namespace

std::string Aggregate::Name() const {
  if (!alias_.empty()) return alias_;
  if (!argument_.has_value()) return FunctionName(function_);
  return fmt::format("{}({})", FunctionName(function_), argument_->Name());
}

std::string Aggregate::ToString() const {
  return fmt::format("{}({})", FunctionName(function_),
                     argument_.has_value() ? argument_->ToString() : "");
}

Aggregate Count() { return Aggregate(AggregateFunction::kCountRows, std::nullopt); }
Aggregate Count(std::string column) { return Count(Col(std::move(column))); }
Aggregate Count(Expr value) { return Aggregate(AggregateFunction::kCount, std::move(value)); }
Aggregate Sum(std::string column) { return Sum(Col(std::move(column))); }
Aggregate Sum(Expr value) { return Aggregate(AggregateFunction::kSum, std::move(value)); }
Aggregate Min(std::string column) { return Min(Col(std::move(column))); }
Aggregate Min(Expr value) { return Aggregate(AggregateFunction::kMin, std::move(value)); }
Aggregate Max(std::string column) { return Max(Col(std::move(column))); }
Aggregate Max(Expr value) { return Aggregate(AggregateFunction::kMax, std::move(value)); }
Aggregate Avg(std::string column) { return Avg(Col(std::move(column))); }
Aggregate Avg(Expr value) { return Aggregate(AggregateFunction::kAvg, std::move(value)); }

WindowSpec TumblingWindow(std::string time_column, absl::Duration size, absl::Duration offset) {
  return WindowSpec{std::move(time_column), size, offset};
}

}  // namespace tidemark
