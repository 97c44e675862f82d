#ifndef TIDEMARK_OPERATORS_TRANSFORMS_FAILED_ROWS_H_
#define TIDEMARK_OPERATORS_TRANSFORMS_FAILED_ROWS_H_

#include <string>
#include <vector>

#include "tidemark/operators/expressions/bound_expression.h"
#include "tidemark/operators/rows/row_batch.h"
#include "tidemark/operators/transforms/transform.h"

namespace tidemark {

/// An expression with the words for it in messages.
struct NamedExpression {
  BoundExpression bound;
  std::string text;
};

/// Gathers the rows of one batch on which the expressions of one transform fail.
class FailedRows {
 public:
  /// The expression's values for the selected rows of the batch.
  ColumnPtr Evaluate(const NamedExpression& expression, const RowBatch& batch);
  /// After the last Evaluate: lists each failed row once, ascending, with its first failure, and
  /// takes the rows out of the batch's selection if `on_error` says so.
  void Finish(OnExpressionError on_error, RowBatch* batch, ChunkStats* stats);

 private:
  struct Failure {
    uint32_t row;
    const char* what;
    const NamedExpression* expression;
  };
  std::vector<ExpressionError> errors_;
  std::vector<Failure> failures_;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_TRANSFORMS_FAILED_ROWS_H_
