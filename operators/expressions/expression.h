#ifndef TIDEMARK_OPERATORS_EXPRESSIONS_EXPRESSION_H_
#define TIDEMARK_OPERATORS_EXPRESSIONS_EXPRESSION_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "tidemark/operators/rows/types.h"

namespace tidemark {

/// A constant in an expression: null, bool, int64, double, string, or a time or decimal made by a
/// typed literal function.
struct Literal {
  DataType type;
  /// monostate: a null of that type. int64_t holds both integer types, dates and timestamps; a
  /// decimal is its unscaled value as text. A time or decimal whose text could not be read is kept
  /// as that text, and Bind reports it.
  std::variant<std::monostate, bool, int64_t, double, std::string> value;
  bool unreadable = false;

  friend bool operator==(const Literal&, const Literal&) = default;
};

enum class ExprKind : uint8_t { kColumn, kLiteral, kCall };

/// A node of an expression tree. Immutable; shared between trees because expressions are values
/// that are copied freely.
struct ExprNode;

/// A logical expression: what `Col("quantity") > 5` builds. A cheap value without any types yet:
/// Bind gives those. No implicit constructors: `"delete"` or `1` never turns into an expression
/// except beside an operator that has one.
class Expr {
 public:
  explicit Expr(std::shared_ptr<const ExprNode> node) : node_(std::move(node)) {}
  Expr(const Expr&) = default;
  Expr(Expr&&) = default;
  // Only named expressions can be assigned to: `Col("a") = Col("b")`, where == was meant, does not
  // compile.
  Expr& operator=(const Expr&) & = default;
  Expr& operator=(Expr&&) & = default;

  const ExprNode& node() const { return *node_; }
  /// The same expression under another output name: `(Col("a") + Col("b")).As("total")`.
  Expr As(std::string name) const;
  /// The name given by As, else the column's own name, else the expression's text as Spark would
  /// write it: `(a + b)`.
  std::string Name() const;
  /// Canonical text, unambiguous: used in plans, fingerprints and messages. `add(a, 5)`,
  /// `equal(op, 'delete')`; an int64 literal ends in L, a double in D; the expression's own output
  /// name follows as ` as name`.
  std::string ToString() const;

 private:
  std::shared_ptr<const ExprNode> node_;
};

struct ExprNode {
  ExprKind kind = ExprKind::kColumn;
  /// kColumn: the column; kCall: the function (`add`, `equal`, `and`, `cast`, `upper`, ...)
  std::string name;
  Literal literal;         ///< kLiteral
  DataType target;         ///< kCall `cast` and `try_cast`: the type asked for
  std::vector<Expr> args;  ///< kCall
  std::string alias;       ///< set by As
};

/// The column of this name.
Expr Col(std::string name);
/// A call of the function of this canonical name; Bind reports an unknown one. People use the
/// operators below and the functions of functions.h.
Expr Call(std::string function, std::vector<Expr> args);
Expr LiteralExpr(Literal literal);

/// C++ integers that fit int64 and are numbers: no bool, no character types, no uint64_t.
template <typename T>
concept LiteralInteger =
    std::integral<T> && !std::same_as<T, bool> && !std::same_as<T, char> &&
    !std::same_as<T, wchar_t> && !std::same_as<T, char8_t> && !std::same_as<T, char16_t> &&
    !std::same_as<T, char32_t> &&
    (sizeof(T) < sizeof(int64_t) || (std::signed_integral<T> && sizeof(T) == sizeof(int64_t)));
template <typename T>
concept LiteralNumber = LiteralInteger<T> || std::same_as<T, double>;
template <typename T>
concept LiteralText =
    std::convertible_to<const T&, std::string_view> && !std::same_as<T, std::nullptr_t>;
/// What may stand beside an operator, or in Lit: bool, integers that fit int64, double, text.
template <typename T>
concept LiteralValue = std::same_as<T, bool> || LiteralNumber<T> || LiteralText<T>;

/// A typed literal. Integers that fit int are int32, wider ones int64, as Spark's int and long.
template <LiteralValue T>
Expr Lit(const T& value) {
  if constexpr (std::same_as<T, bool>) {
    return LiteralExpr({DataType::Bool(), value});
  } else if constexpr (LiteralInteger<T>) {
    constexpr bool kFitsInt32 =
        sizeof(T) < sizeof(int32_t) || (std::signed_integral<T> && sizeof(T) == sizeof(int32_t));
    return LiteralExpr(
        {kFitsInt32 ? DataType::Int32() : DataType::Int64(), static_cast<int64_t>(value)});
  } else if constexpr (std::same_as<T, double>) {
    return LiteralExpr({DataType::Double(), value});
  } else {
    return LiteralExpr({DataType::String(), std::string(std::string_view(value))});
  }
}
/// A null of the type.
Expr NullOf(DataType type);
/// An ISO 8601 time (without a zone: UTC), or an absl::Time cut to microseconds.
Expr TimestampLit(std::string_view text);
Expr TimestampLit(absl::Time time);
/// `2025-01-02`.
Expr DateLit(std::string_view text);
/// `DecimalLit("12.30")` is a decimal(4,2): as many digits as written.
Expr DecimalLit(std::string_view text);

inline Expr AsOperand(const Expr& expr) { return expr; }
template <LiteralValue T>
Expr AsOperand(const T& value) {
  return Lit(value);
}

template <typename L, typename R>
concept OneIsExpr = std::same_as<L, Expr> || std::same_as<R, Expr>;
template <typename T>
concept NumberOperand = std::same_as<T, Expr> || LiteralNumber<T>;
template <typename T>
concept ValueOperand = std::same_as<T, Expr> || LiteralValue<T>;
template <typename T>
concept BoolOperand = std::same_as<T, Expr> || std::same_as<T, bool>;

// Operators. One side is an expression, the other an expression or a C++ value: arithmetic takes
// numbers, comparison numbers, bools and text, logic bools. What they mean: see functions.h.

template <NumberOperand L, NumberOperand R>
requires OneIsExpr<L, R> Expr operator+(const L& left, const R& right) {
  return Call("add", {AsOperand(left), AsOperand(right)});
}
template <NumberOperand L, NumberOperand R>
requires OneIsExpr<L, R> Expr operator-(const L& left, const R& right) {
  return Call("subtract", {AsOperand(left), AsOperand(right)});
}
template <NumberOperand L, NumberOperand R>
requires OneIsExpr<L, R> Expr operator*(const L& left, const R& right) {
  return Call("multiply", {AsOperand(left), AsOperand(right)});
}
template <NumberOperand L, NumberOperand R>
requires OneIsExpr<L, R> Expr operator/(const L& left, const R& right) {
  return Call("divide", {AsOperand(left), AsOperand(right)});
}
template <NumberOperand L, NumberOperand R>
requires OneIsExpr<L, R> Expr operator%(const L& left, const R& right) {
  return Call("remainder", {AsOperand(left), AsOperand(right)});
}
Expr operator-(const Expr& value);

template <ValueOperand L, ValueOperand R>
requires OneIsExpr<L, R> Expr operator==(const L& left, const R& right) {
  return Call("equal", {AsOperand(left), AsOperand(right)});
}
template <ValueOperand L, ValueOperand R>
requires OneIsExpr<L, R> Expr operator!=(const L& left, const R& right) {
  return Call("not_equal", {AsOperand(left), AsOperand(right)});
}
template <ValueOperand L, ValueOperand R>
requires OneIsExpr<L, R> Expr operator<(const L& left, const R& right) {
  return Call("less", {AsOperand(left), AsOperand(right)});
}
template <ValueOperand L, ValueOperand R>
requires OneIsExpr<L, R> Expr operator<=(const L& left, const R& right) {
  return Call("less_equal", {AsOperand(left), AsOperand(right)});
}
template <ValueOperand L, ValueOperand R>
requires OneIsExpr<L, R> Expr operator>(const L& left, const R& right) {
  return Call("greater", {AsOperand(left), AsOperand(right)});
}
template <ValueOperand L, ValueOperand R>
requires OneIsExpr<L, R> Expr operator>=(const L& left, const R& right) {
  return Call("greater_equal", {AsOperand(left), AsOperand(right)});
}

template <BoolOperand L, BoolOperand R>
requires OneIsExpr<L, R> Expr operator&&(const L& left, const R& right) {
  return Call("and", {AsOperand(left), AsOperand(right)});
}
template <BoolOperand L, BoolOperand R>
requires OneIsExpr<L, R> Expr operator||(const L& left, const R& right) {
  return Call("or", {AsOperand(left), AsOperand(right)});
}
Expr operator!(const Expr& condition);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_EXPRESSIONS_EXPRESSION_H_
