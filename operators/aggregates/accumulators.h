#ifndef TIDEMARK_OPERATORS_AGGREGATES_ACCUMULATORS_H_
#define TIDEMARK_OPERATORS_AGGREGATES_ACCUMULATORS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tidemark/operators/aggregates/aggregate.h"
#include "tidemark/operators/expressions/bound_expression.h"
#include "tidemark/operators/rows/column.h"
#include "tidemark/operators/rows/schema.h"
#include "tidemark/state/window_table.h"

namespace tidemark {

/// The values of one aggregate argument, row after row in the order in which they are applied. Owns
/// its memory.
struct ArgumentValues {
  std::unique_ptr<std::byte[]> values;  ///< of the C++ type of the argument's TypeId
  std::unique_ptr<uint8_t[]> nulls;     ///< 1 = null; nullptr: no value is null
  std::unique_ptr<char[]> text;         ///< the bytes that text values view
  size_t memory_bytes = 0;
};

/// Copies the given rows of a column.
ArgumentValues GatherValues(const Column& column, std::span<const uint32_t> rows);

/// Where an update finds what the table knows about its rows: all of one window and shard.
struct UpdateTarget {
  WindowTable* table;
  int shard;
  int64_t window_end;
};

/// What the aggregates of a group-by keep in a group's slot, how rows change it, and what it means
/// in the end. The same argument is evaluated and kept once: Sum(x), Avg(x) and Count(x) share
/// their sum and count.
///
/// Accumulators are exact: a sum of integers or decimals counts its wraps beside it, so that the
/// result and whether it overflows depend on the rows alone, not on their order. Const and
/// thread-safe.
class Accumulators {
 public:
  /// InvalidArgument: an unknown column, or an argument of a type that the function does not take.
  static absl::StatusOr<Accumulators> Create(const std::vector<Aggregate>& aggregates,
                                             const Schema& input);

  const SlotLayout& layout() const { return layout_; }
  /// `rows,int64:sum+max`: what the slots hold, in order.
  std::string ToString() const;
  /// What Update wants the values of, in this order.
  const std::vector<BoundExpression>& arguments() const { return expressions_; }
  size_t size() const { return outputs_.size(); }
  const DataType& type(size_t aggregate) const { return outputs_[aggregate].type; }
  /// True if a sum of doubles is kept.
  bool order_matters() const;
  /// True if some result may not fit its type.
  bool can_overflow() const;

  /// Adds rows [begin, begin + slots.size()) of the arguments to their slots, in this order. True
  /// if a result of one of the slots may have overflowed (never false when it has).
  bool Update(std::span<const ArgumentValues> arguments, size_t begin,
              std::span<std::byte* const> slots, const UpdateTarget& target) const;

  /// The first aggregate whose result does not fit its type.
  std::optional<size_t> FirstOverflow(const std::byte* slot) const;
  /// One aggregate's results for `count` slots that lie side by side (layout().width apart).
  /// Results that do not fit are null. Text results view the slots' blobs, which `texts` keeps
  /// alive.
  ColumnPtr Results(size_t aggregate, const std::byte* slots, size_t count,
                    const std::shared_ptr<const void>& texts) const;

 private:
  static constexpr uint32_t kNone = UINT32_MAX;

  // Offsets of one argument's accumulators in the slot; kNone: not kept.
  struct Argument {
    DataType type;
    std::string text;        // canonical
    uint32_t count = kNone;  // int64_t, values that are not null
    uint32_t seen =
        kNone;  // a byte with the bit seen_mask, where there is no count: some value was not null
    uint8_t seen_mask = 0;
    uint32_t sum = kNone;       // int64_t, double or Int128
    uint32_t wraps = kNone;     // int32_t, how often the sum went past its type's end
    uint32_t min = kNone;       // OrderBits, inverted: zero is above every value; text: a BlobRef
    uint32_t max = kNone;       // OrderBits: zero is below every value; text: a BlobRef
    Int128 sum_limit = 0;       // decimals: 10^precision of the sum
    bool always_check = false;  // an average that can overflow though the sum does not
  };
  struct Output {
    AggregateFunction function;
    DataType type;
    size_t argument = 0;
  };
  struct Updater;

  absl::Status Add(const Aggregate& aggregate, const Schema& input);
  size_t AddArgument(const Expr& expr, BoundExpression bound);
  void PlaceFields();
  static bool HasValue(const Argument& argument, const std::byte* slot);
  bool Overflows(const Output& output, const std::byte* slot) const;
  bool DecimalOverflows(const Output& output, const std::byte* slot, int32_t wraps) const;
  void FillSums(const Output& output, const std::byte* slots, size_t count, Column* column) const;
  void FillAverages(const Output& output, const std::byte* slots, size_t count,
                    Column* column) const;
  void FillExtremes(const Output& output, const std::byte* slots, size_t count,
                    Column* column) const;

  std::vector<BoundExpression> expressions_;
  std::vector<Argument> arguments_;
  std::vector<Output> outputs_;
  uint32_t rows_ = kNone;  // int64_t, all rows
  SlotLayout layout_;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_AGGREGATES_ACCUMULATORS_H_
