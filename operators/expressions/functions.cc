#include "tidemark/operators/expressions/functions.h"

#include <utility>

namespace tidemark {
namespace {

Expr CastCall(std::string function, const Expr& value, DataType type) {
  ExprNode node;
  node.kind = ExprKind::kCall;
  node.name = std::move(function);
  node.target = type;
  node.args = {value};
  return Expr(std::make_shared<const ExprNode>(std::move(node)));
}

}  // namespace

Expr Cast(const Expr& value, DataType type) { return CastCall("cast", value, type); }
Expr TryCast(const Expr& value, DataType type) { return CastCall("try_cast", value, type); }

Expr TryAdd(const Expr& left, const Expr& right) { return Call("try_add", {left, right}); }
Expr TrySubtract(const Expr& left, const Expr& right) {
  return Call("try_subtract", {left, right});
}
Expr TryMultiply(const Expr& left, const Expr& right) {
  return Call("try_multiply", {left, right});
}
Expr TryDivide(const Expr& left, const Expr& right) { return Call("try_divide", {left, right}); }

Expr If(const Expr& condition, const Expr& then, const Expr& otherwise) {
  return Call("if", {condition, then, otherwise});
}
Expr Coalesce(std::vector<Expr> values) { return Call("coalesce", std::move(values)); }
Expr IsNull(const Expr& value) { return Call("is_null", {value}); }
Expr IsNotNull(const Expr& value) { return Call("is_not_null", {value}); }

Expr Upper(const Expr& text) { return Call("upper", {text}); }
Expr Lower(const Expr& text) { return Call("lower", {text}); }
Expr Concat(std::vector<Expr> values) { return Call("concat", std::move(values)); }
Expr Substring(const Expr& text, const Expr& position, const Expr& length) {
  return Call("substring", {text, position, length});
}
Expr Substring(const Expr& text, int32_t position, int32_t length) {
  return Substring(text, Lit(position), Lit(length));
}
Expr Substring(const Expr& text, int32_t position) { return Substring(text, position, INT32_MAX); }
Expr Length(const Expr& text) { return Call("length", {text}); }

Expr DateFormat(const Expr& time, std::string pattern) {
  return Call("date_format", {time, Lit(pattern)});
}
Expr Truncate(std::string unit, const Expr& time) { return Call("date_trunc", {Lit(unit), time}); }

Expr Hash(std::vector<Expr> values) { return Call("hash", std::move(values)); }
Expr RowKey(std::vector<Expr> values) { return Call("row_key", std::move(values)); }

}  // namespace tidemark
