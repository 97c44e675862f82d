#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "tidemark/operators/expressions/function_table.h"
#include "tidemark/operators/expressions/kernels.h"
#include "tidemark/operators/expressions/type_rules.h"

namespace tidemark {
namespace {

class IfNode : public BoundNode {
 public:
  IfNode(BoundExpression condition, BoundExpression then, BoundExpression otherwise)
      : condition_(std::move(condition)),
        then_(std::move(then)),
        otherwise_(std::move(otherwise)) {}

  ColumnPtr Evaluate(const RowBatch& batch, const Selection& rows,
                     std::vector<ExpressionError>* errors) const override {
    const ColumnPtr condition = condition_.Evaluate(batch, rows, errors);
    const uint8_t* is_true = condition->values<uint8_t>();
    std::vector<uint32_t> then_rows, other_rows;
    ForEachRow(rows, [&](size_t row) {
      const bool taken = !condition->IsNull(row) && is_true[row] != 0;
      (taken ? then_rows : other_rows).push_back(static_cast<uint32_t>(row));
    });
    if (other_rows.empty()) return then_.Evaluate(batch, rows, errors);
    if (then_rows.empty()) return otherwise_.Evaluate(batch, rows, errors);

    auto out = std::make_shared<Column>(then_.type(), batch.num_rows());
    const Selection then_selection = Selection::Rows(std::move(then_rows));
    const Selection other_selection = Selection::Rows(std::move(other_rows));
    CopyRows(*then_.Evaluate(batch, then_selection, errors), then_selection, out.get());
    CopyRows(*otherwise_.Evaluate(batch, other_selection, errors), other_selection, out.get());
    return out;
  }

 private:
  BoundExpression condition_;
  BoundExpression then_;
  BoundExpression otherwise_;
};

class CoalesceNode : public BoundNode {
 public:
  explicit CoalesceNode(std::vector<BoundExpression> values) : values_(std::move(values)) {}

  ColumnPtr Evaluate(const RowBatch& batch, const Selection& rows,
                     std::vector<ExpressionError>* errors) const override {
    const ColumnPtr first = values_[0].Evaluate(batch, rows, errors);
    if (!first->has_nulls()) return first;
    auto out = std::make_shared<Column>(first->type(), batch.num_rows());
    CopyRows(*first, rows, out.get());
    for (size_t i = 1; i < values_.size(); ++i) {
      std::vector<uint32_t> missing;
      ForEachRow(rows, [&](size_t row) {
        if (out->IsNull(row)) missing.push_back(static_cast<uint32_t>(row));
      });
      if (missing.empty()) break;
      for (uint32_t row : missing) out->SetNotNull(row);
      const Selection open = Selection::Rows(std::move(missing));
      CopyRows(*values_[i].Evaluate(batch, open, errors), open, out.get());
    }
    return out;
  }

 private:
  std::vector<BoundExpression> values_;
};

class NullTestNode : public BoundNode {
 public:
  NullTestNode(bool true_if_null, BoundExpression value)
      : true_if_null_(true_if_null), value_(std::move(value)) {}

  ColumnPtr Evaluate(const RowBatch& batch, const Selection& rows,
                     std::vector<ExpressionError>* errors) const override {
    const ColumnPtr value = value_.Evaluate(batch, rows, errors);
    auto out = std::make_shared<Column>(DataType::Bool(), batch.num_rows());
    uint8_t* out_values = out->mutable_values<uint8_t>();
    ForEachRow(rows, [&](size_t row) { out_values[row] = value->IsNull(row) == true_if_null_; });
    return out;
  }

 private:
  bool true_if_null_;
  BoundExpression value_;
};

/// The arguments from `first` on, widened to their common type.
absl::StatusOr<std::vector<BoundExpression>> Widened(const CallSite& call, size_t first) {
  DataType common = call.type(first);
  for (size_t i = first + 1; i < call.args.size(); ++i) {
    const std::optional<DataType> wider = CommonType(common, call.type(i));
    if (!wider) {
      return BindError(call,
                       fmt::format("has values of the types {} and {}", common.ToString(),
                                   call.type(i).ToString()),
                       "convert them to one type with Cast");
    }
    common = *wider;
  }
  std::vector<BoundExpression> values;
  for (size_t i = first; i < call.args.size(); ++i) {
    values.push_back(ImplicitCast(call.args[i], common));
  }
  return values;
}

}  // namespace

absl::StatusOr<BoundExpression> BindIf(const CallSite& call) {
  if (call.type(0) != DataType::Bool()) {
    return BindError(call, fmt::format("has a condition of type {}", call.type(0).ToString()),
                     "give it a bool, as in If(Col(\"n\") > 0, ...)");
  }
  absl::StatusOr<std::vector<BoundExpression>> values = Widened(call, 1);
  if (!values.ok()) return values.status();
  return BoundExpression((*values)[0].type(),
                         std::make_shared<const IfNode>(call.args[0], (*values)[0], (*values)[1]));
}

absl::StatusOr<BoundExpression> BindCoalesce(const CallSite& call) {
  absl::StatusOr<std::vector<BoundExpression>> values = Widened(call, 0);
  if (!values.ok()) return values.status();
  const DataType type = values->front().type();
  return BoundExpression(type, std::make_shared<const CoalesceNode>(*std::move(values)));
}

absl::StatusOr<BoundExpression> BindNullTest(const CallSite& call) {
  return BoundExpression(DataType::Bool(), std::make_shared<const NullTestNode>(
                                               call.function() == "is_null", call.args[0]));
}

}  // namespace tidemark
