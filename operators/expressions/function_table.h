#ifndef TIDEMARK_OPERATORS_EXPRESSIONS_FUNCTION_TABLE_H_
#define TIDEMARK_OPERATORS_EXPRESSIONS_FUNCTION_TABLE_H_

#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "tidemark/operators/expressions/bound_expression.h"
#include "tidemark/operators/expressions/expression.h"

namespace tidemark {

/// A call whose arguments are bound: what a function's binder is given.
struct CallSite {
  const Expr& expr;
  std::vector<BoundExpression> args;

  std::string_view function() const { return expr.node().name; }
  const DataType& type(size_t i) const { return args[i].type(); }
};

/// Checks the argument types and chooses the kernel. The number of arguments fits the table.
using Binder = absl::StatusOr<BoundExpression> (*)(const CallSite& call);

struct FunctionEntry {
  std::string_view name;
  size_t min_args;
  size_t max_args;
  Binder bind;
};
/// The entry of a canonical name, or nullptr.
const FunctionEntry* FindFunction(std::string_view name);

absl::StatusOr<BoundExpression> BindArithmetic(const CallSite& call);
absl::StatusOr<BoundExpression> BindNegate(const CallSite& call);
absl::StatusOr<BoundExpression> BindComparison(const CallSite& call);
absl::StatusOr<BoundExpression> BindAndOr(const CallSite& call);
absl::StatusOr<BoundExpression> BindNot(const CallSite& call);
absl::StatusOr<BoundExpression> BindIf(const CallSite& call);
absl::StatusOr<BoundExpression> BindCoalesce(const CallSite& call);
absl::StatusOr<BoundExpression> BindNullTest(const CallSite& call);
absl::StatusOr<BoundExpression> BindCast(const CallSite& call);
absl::StatusOr<BoundExpression> BindChangeCase(const CallSite& call);
absl::StatusOr<BoundExpression> BindConcat(const CallSite& call);
absl::StatusOr<BoundExpression> BindSubstring(const CallSite& call);
absl::StatusOr<BoundExpression> BindLength(const CallSite& call);
absl::StatusOr<BoundExpression> BindDateFormat(const CallSite& call);
absl::StatusOr<BoundExpression> BindDateTrunc(const CallSite& call);
absl::StatusOr<BoundExpression> BindHash(const CallSite& call);
absl::StatusOr<BoundExpression> BindRowKey(const CallSite& call);

/// `arg` as a value of type `to`, to which Cast can convert it.
BoundExpression ImplicitCast(const BoundExpression& arg, const DataType& to);

/// InvalidArgument: the call as written, what is wrong (`problem`, a whole clause), what to do.
absl::Status BindError(const CallSite& call, std::string_view problem, std::string_view advice);
/// `string and timestamp`: the argument types, for BindError.
std::string ArgumentTypes(const CallSite& call);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_EXPRESSIONS_FUNCTION_TABLE_H_
