#ifndef TIDEMARK_OPERATORS_EXPRESSIONS_KERNELS_H_
#define TIDEMARK_OPERATORS_EXPRESSIONS_KERNELS_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tidemark/operators/expressions/bound_expression.h"
#include "tidemark/operators/rows/column.h"
#include "tidemark/operators/rows/row_batch.h"

namespace tidemark {

// What the functions of this folder are built from. A strict function (null in, null out) is a
// Kernel: a loop over columns, called once a batch. The others are BoundNodes of their own.

/// One call of a kernel.
struct KernelCall {
  /// Columns of the batch's size; one row only where is_constant says so.
  const std::vector<ColumnPtr>& args;
  const Selection& rows;
  /// To be filled for `rows`; null already where an argument is null.
  Column* out;
  /// nullptr: a row that fails is only null (the Try functions).
  std::vector<ExpressionError>* errors;
  /// Only in a BinaryCall, and never both.
  bool is_constant[2] = {false, false};

  /// The row's value could not be computed.
  void Fail(size_t row, const char* what) const {
    out->SetNull(row);
    if (errors != nullptr) errors->push_back({static_cast<uint32_t>(row), what});
  }
};
using Kernel = std::function<void(const KernelCall&)>;

/// A function that is null where an argument is null, and otherwise what the kernel computes.
/// `null_on_failure`: see KernelCall::errors.
BoundExpression StrictCall(DataType type, std::vector<BoundExpression> args, Kernel kernel,
                           bool null_on_failure = false);

/// The same with two arguments, of which the kernel takes one that is constant as such
/// (WithOperands).
BoundExpression BinaryCall(DataType type, BoundExpression left, BoundExpression right,
                           Kernel kernel, bool null_on_failure = false);

/// The value of `one_row` on every row.
BoundExpression Constant(ColumnPtr one_row);
/// `call` itself, or its value if all `args` are constants and it does not fail on them.
BoundExpression Folded(BoundExpression call, const std::vector<BoundExpression>& args);

/// fn(size_t row) for each row; the loop over all rows can be vectorised.
template <typename Fn>
void ForEachRow(const Selection& rows, Fn&& fn) {
  if (rows.is_all()) {
    const size_t size = rows.size();
    for (size_t row = 0; row < size; ++row) fn(row);
  } else {
    rows.ForEach([&](uint32_t row) { fn(size_t{row}); });
  }
}

/// fn(size_t row) for each row that is not null in `nulls`. fn may set the row it is at to null.
template <typename Fn>
void ForEachValidRow(const Selection& rows, const Column& nulls, Fn&& fn) {
  if (!nulls.has_nulls()) {
    ForEachRow(rows, fn);
  } else {
    ForEachRow(rows, [&](size_t row) {
      if (!nulls.IsNull(row)) fn(row);
    });
  }
}

template <typename T>
struct ColumnOperand {
  const T* values;
  T operator[](size_t row) const { return values[row]; }
};
template <typename T>
struct ConstantOperand {
  T value;
  T operator[](size_t) const { return value; }
};

/// fn(left, right) with the two arguments as operands that are indexed by row.
template <typename T, typename Fn>
void WithOperands(const KernelCall& call, Fn&& fn) {
  const T* left = call.args[0]->values<T>();
  const T* right = call.args[1]->values<T>();
  if (call.is_constant[1]) {
    fn(ColumnOperand<T>{left}, ConstantOperand<T>{right[0]});
  } else if (call.is_constant[0]) {
    fn(ConstantOperand<T>{left[0]}, ColumnOperand<T>{right});
  } else {
    fn(ColumnOperand<T>{left}, ColumnOperand<T>{right});
  }
}

/// Collects the text of rows that are written one after the other, in one buffer that the column
/// then keeps alive.
class TextWriter {
 public:
  explicit TextWriter(const Selection& rows) {
    starts_.reserve(rows.size());
    buffer_.reserve(rows.size() * 16);
  }
  /// The buffer to append the text of `row` to.
  std::string* Begin(size_t row) {
    starts_.push_back({static_cast<uint32_t>(row), buffer_.size()});
    return &buffer_;
  }
  void Finish(Column* out) {
    auto storage = std::make_shared<const std::string>(std::move(buffer_));
    std::string_view* texts = out->mutable_values<std::string_view>();
    for (size_t i = 0; i < starts_.size(); ++i) {
      const size_t end = i + 1 < starts_.size() ? starts_[i + 1].offset : storage->size();
      texts[starts_[i].row] =
          std::string_view(*storage).substr(starts_[i].offset, end - starts_[i].offset);
    }
    out->AddStorage(std::move(storage));
  }

 private:
  struct Start {
    uint32_t row;
    size_t offset;
  };
  std::string buffer_;
  std::vector<Start> starts_;
};

/// Copies values, nulls and the hold on their text of `rows` from one column to another.
void CopyRows(const Column& from, const Selection& rows, Column* to);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_EXPRESSIONS_KERNELS_H_
