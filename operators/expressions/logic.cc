#include <fmt/format.h>

#include <memory>
#include <utility>
#include <vector>

#include "tidemark/operators/expressions/function_table.h"
#include "tidemark/operators/expressions/kernels.h"

namespace tidemark {
namespace {

/// And (deciding value: false) and Or (deciding value: true): where the left side is the deciding
/// value the result is that, and the right side is not computed.
class AndOrNode : public BoundNode {
 public:
  AndOrNode(bool deciding, BoundExpression left, BoundExpression right)
      : deciding_(deciding), left_(std::move(left)), right_(std::move(right)) {}

  ColumnPtr Evaluate(const RowBatch& batch, const Selection& rows,
                     std::vector<ExpressionError>* errors) const override {
    const ColumnPtr left = left_.Evaluate(batch, rows, errors);
    const uint8_t* left_values = left->values<uint8_t>();
    auto out = std::make_shared<Column>(DataType::Bool(), batch.num_rows());
    uint8_t* out_values = out->mutable_values<uint8_t>();

    std::vector<uint32_t> open;
    open.reserve(rows.size());
    ForEachRow(rows, [&](size_t row) {
      if (left->IsNull(row) || (left_values[row] != 0) != deciding_) {
        open.push_back(static_cast<uint32_t>(row));
      } else {
        out_values[row] = deciding_;
      }
    });
    if (open.empty()) return out;

    const Selection open_rows =
        open.size() == rows.size() ? rows : Selection::Rows(std::move(open));
    const ColumnPtr right = right_.Evaluate(batch, open_rows, errors);
    const uint8_t* right_values = right->values<uint8_t>();
    ForEachRow(open_rows, [&](size_t row) {
      const bool right_is_null = right->IsNull(row);
      const bool decided = !right_is_null && (right_values[row] != 0) == deciding_;
      out_values[row] = decided == deciding_;
      if (!decided && (right_is_null || left->IsNull(row))) out->SetNull(row);
    });
    return out;
  }

 private:
  bool deciding_;
  BoundExpression left_;
  BoundExpression right_;
};

void NotKernel(const KernelCall& call) {
  const uint8_t* values = call.args[0]->values<uint8_t>();
  uint8_t* out = call.out->mutable_values<uint8_t>();
  ForEachRow(call.rows, [=](size_t row) { out[row] = values[row] == 0; });
}

absl::Status NotBool(const CallSite& call) {
  return BindError(call, fmt::format("takes conditions (bool), not {}", ArgumentTypes(call)),
                   "compare the values first, as in Col(\"n\") != 0");
}

}  // namespace

absl::StatusOr<BoundExpression> BindAndOr(const CallSite& call) {
  if (call.type(0) != DataType::Bool() || call.type(1) != DataType::Bool()) return NotBool(call);
  return BoundExpression(
      DataType::Bool(),
      std::make_shared<const AndOrNode>(call.function() == "or", call.args[0], call.args[1]));
}

absl::StatusOr<BoundExpression> BindNot(const CallSite& call) {
  if (call.type(0) != DataType::Bool()) return NotBool(call);
  return StrictCall(DataType::Bool(), call.args, &NotKernel);
}

}  // namespace tidemark
