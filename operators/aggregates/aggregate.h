#ifndef TIDEMARK_OPERATORS_AGGREGATES_AGGREGATE_H_
#define TIDEMARK_OPERATORS_AGGREGATES_AGGREGATE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tidemark/operators/expressions/expression.h"

namespace tidemark {

enum class AggregateFunction : uint8_t { kCountRows, kCount, kSum, kMin, kMax, kAvg };

/// One output of an aggregation: `Sum("quantity").As("total_quantity")`. A logical value. A string
/// argument is a column's name.
class Aggregate {
 public:
  Aggregate(AggregateFunction function, std::optional<Expr> argument)
      : function_(function), argument_(std::move(argument)) {}
  Aggregate As(std::string name) const {
    Aggregate result = *this;
    result.alias_ = std::move(name);
    return result;
  }
  AggregateFunction function() const { return function_; }
  const std::optional<Expr>& argument() const { return argument_; }
  /// The alias, else Spark's name: `count`, `count(c)`, `sum(quantity)`, `avg(x)`.
  std::string Name() const;
  /// Canonical: `sum(quantity)`, whatever the alias.
  std::string ToString() const;

 private:
  AggregateFunction function_;
  std::optional<Expr> argument_;
  std::string alias_;
};

Aggregate Count();                    ///< rows
Aggregate Count(std::string column);  ///< values that are not null
Aggregate Count(Expr value);
Aggregate Sum(std::string column);  ///< of integers: int64, checked; of decimal(p,s):
                                    ///< decimal(min(p+10,38),s); of double: double
Aggregate Sum(Expr value);
Aggregate Min(std::string column);  ///< of any ordered type
Aggregate Min(Expr value);
Aggregate Max(std::string column);
Aggregate Max(Expr value);
Aggregate Avg(std::string column);  ///< double; of decimal(p,s): decimal(p+4,s+4), at most 38
Aggregate Avg(Expr value);

/// Windows of equal size, side by side: start = ts - floorMod(ts - offset, size). Gives the columns
/// window_start, window_end.
struct WindowSpec {
  std::string time_column;
  absl::Duration size;
  absl::Duration offset;
};
WindowSpec TumblingWindow(std::string time_column, absl::Duration size,
                          absl::Duration offset = absl::ZeroDuration());

/// What happens when a Sum of integers or decimals does not fit its type.
enum class OverflowPolicy : uint8_t { kFail, kNull };

/// A group-by with its aggregates, as the plan holds it.
struct AggregationSpec {
  std::optional<WindowSpec> window;
  std::vector<Expr> keys;             ///< without the window
  std::vector<Aggregate> aggregates;  ///< at least one
  /// The column of WithWatermark, if the pipeline has one: without a window, a key that is just
  /// this column lets groups expire.
  std::optional<std::string> watermark_column;
  OverflowPolicy on_overflow = OverflowPolicy::kFail;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_AGGREGATES_AGGREGATE_H_
