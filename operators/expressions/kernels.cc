#include "tidemark/operators/expressions/kernels.h"

#include <algorithm>

namespace tidemark {
namespace {

template <typename T>
void CopyValues(const Column& from, const Selection& rows, Column* to) {
  const T* source = from.values<T>();
  T* target = to->mutable_values<T>();
  ForEachRow(rows, [=](size_t row) { target[row] = source[row]; });
}

template <typename T>
void FillValues(const Column& one_row, const Selection& rows, Column* to) {
  const T value = one_row.values<T>()[0];
  T* target = to->mutable_values<T>();
  ForEachRow(rows, [=](size_t row) { target[row] = value; });
}

/// fn.template operator()<T>() with a T as wide as the type's values.
template <typename Fn>
void ByWidth(const DataType& type, Fn&& fn) {
  switch (type.width()) {
    case 1:
      fn.template operator()<uint8_t>();
      break;
    case 4:
      fn.template operator()<int32_t>();
      break;
    case 8:
      fn.template operator()<int64_t>();
      break;
    default:
      if (type.is_text()) {
        fn.template operator()<std::string_view>();
      } else {
        fn.template operator()<Int128>();
      }
  }
}

class ConstantNode : public BoundNode {
 public:
  explicit ConstantNode(ColumnPtr value) : value_(std::move(value)) {}

  ColumnPtr Evaluate(const RowBatch& batch, const Selection& rows,
                     std::vector<ExpressionError>*) const override {
    auto out = std::make_shared<Column>(value_->type(), batch.num_rows());
    if (value_->IsNull(0)) {
      ForEachRow(rows, [&](size_t row) { out->SetNull(row); });
      return out;
    }
    ByWidth(value_->type(), [&]<typename T>() { FillValues<T>(*value_, rows, out.get()); });
    out->ShareStorage(*value_);
    return out;
  }
  const Column* constant() const override { return value_.get(); }

 private:
  ColumnPtr value_;
};

class StrictNode : public BoundNode {
 public:
  StrictNode(DataType type, std::vector<BoundExpression> args, Kernel kernel, bool null_on_failure,
             bool pass_constants)
      : type_(type),
        args_(std::move(args)),
        kernel_(std::move(kernel)),
        null_on_failure_(null_on_failure),
        pass_constants_(pass_constants) {}

  ColumnPtr Evaluate(const RowBatch& batch, const Selection& rows,
                     std::vector<ExpressionError>* errors) const override {
    auto out = std::make_shared<Column>(type_, batch.num_rows());
    std::vector<ColumnPtr> columns;
    KernelCall call{columns, rows, out.get(), null_on_failure_ ? nullptr : errors};
    for (size_t i = 0; i < args_.size(); ++i) {
      const Column* constant = args_[i].constant();
      if (pass_constants_ && constant != nullptr && !constant->IsNull(0) && !call.is_constant[0]) {
        call.is_constant[i] = true;
        columns.push_back(ColumnPtr(ColumnPtr(), constant));  // args_ owns it
      } else {
        columns.push_back(args_[i].Evaluate(batch, rows, errors));
        out->AddNullsFrom(*columns.back());
      }
    }
    kernel_(call);
    return out;
  }

 private:
  DataType type_;
  std::vector<BoundExpression> args_;
  Kernel kernel_;
  bool null_on_failure_;
  bool pass_constants_;
};

}  // namespace

BoundExpression StrictCall(DataType type, std::vector<BoundExpression> args, Kernel kernel,
                           bool null_on_failure) {
  return BoundExpression(
      type, std::make_shared<const StrictNode>(type, std::move(args), std::move(kernel),
                                               null_on_failure, false));
}

BoundExpression BinaryCall(DataType type, BoundExpression left, BoundExpression right,
                           Kernel kernel, bool null_on_failure) {
  std::vector<BoundExpression> args = {std::move(left), std::move(right)};
  return BoundExpression(
      type, std::make_shared<const StrictNode>(type, std::move(args), std::move(kernel),
                                               null_on_failure, true));
}

BoundExpression Constant(ColumnPtr one_row) {
  const DataType type = one_row->type();
  return BoundExpression(type, std::make_shared<const ConstantNode>(std::move(one_row)));
}

BoundExpression Folded(BoundExpression call, const std::vector<BoundExpression>& args) {
  const bool all_constant = std::all_of(args.begin(), args.end(), [](const BoundExpression& arg) {
    return arg.constant() != nullptr;
  });
  if (!all_constant) return call;
  const RowBatch one_row(std::make_shared<const Schema>(), {}, 1);
  std::vector<ExpressionError> errors;
  ColumnPtr value = call.Evaluate(one_row, Selection::All(1), &errors);
  return errors.empty() ? Constant(std::move(value)) : call;
}

void CopyRows(const Column& from, const Selection& rows, Column* to) {
  ByWidth(from.type(), [&]<typename T>() { CopyValues<T>(from, rows, to); });
  if (from.has_nulls()) {
    ForEachRow(rows, [&](size_t row) {
      if (from.IsNull(row)) to->SetNull(row);
    });
  }
  if (from.type().is_text()) to->ShareStorage(from);
}

}  // namespace tidemark
