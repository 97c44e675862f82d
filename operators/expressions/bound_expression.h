#ifndef TIDEMARK_OPERATORS_EXPRESSIONS_BOUND_EXPRESSION_H_
#define TIDEMARK_OPERATORS_EXPRESSIONS_BOUND_EXPRESSION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "tidemark/operators/expressions/expression.h"
#include "tidemark/operators/rows/row_batch.h"
#include "tidemark/operators/rows/schema.h"

namespace tidemark {

/// An expression failed on a row (cast, division by zero, integer overflow). `what` is a constant
/// text.
struct ExpressionError {
  uint32_t row = 0;
  const char* what = "";
};

/// A node bound to column indexes and types. Implemented once per function; called once per batch,
/// never per row.
class BoundNode {
 public:
  virtual ~BoundNode() = default;
  /// A column of batch.num_rows() values of the node's type; rows outside `rows` are unspecified. A
  /// row on which the expression fails is null and added to `errors`. Const and thread-safe.
  virtual ColumnPtr Evaluate(const RowBatch& batch, const Selection& rows,
                             std::vector<ExpressionError>* errors) const = 0;
  /// The value of a node that is the same on every row, as a column of one row; nullptr for all
  /// others.
  virtual const Column* constant() const { return nullptr; }
};

/// A typed, bound expression. A cheap value (shares its immutable tree with its copies);
/// thread-safe.
class BoundExpression {
 public:
  BoundExpression(DataType type, std::shared_ptr<const BoundNode> node)
      : type_(type), node_(std::move(node)) {}
  const DataType& type() const { return type_; }
  /// See BoundNode::Evaluate. `If`, `Coalesce`, `And` and `Or` evaluate an argument only for the
  /// rows that need it, so an argument that would fail on other rows does not fail.
  ColumnPtr Evaluate(const RowBatch& batch, const Selection& rows,
                     std::vector<ExpressionError>* errors) const {
    return node_->Evaluate(batch, rows, errors);
  }
  /// See BoundNode::constant.
  const Column* constant() const { return node_->constant(); }

 private:
  DataType type_;
  std::shared_ptr<const BoundNode> node_;
};

/// Checks names and types. InvalidArgument names the unknown column with the nearest name, or the
/// function and the types it was given.
absl::StatusOr<BoundExpression> Bind(const Expr& expr, const Schema& schema);

/// Names of the columns that the expression reads, each once.
std::vector<std::string> ReferencedColumns(const Expr& expr);

/// The rows of `rows` for which the bool column `condition` is true (null counts as false).
Selection SelectTrue(const Column& condition, const Selection& rows);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_EXPRESSIONS_BOUND_EXPRESSION_H_
