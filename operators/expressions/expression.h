#ifndef TIDEMARK_OPERATORS_EXPRESSIONS_EXPRESSION_H_
#define TIDEMARK_OPERATORS_EXPRESSIONS_EXPRESSION_H_

#include <concepts>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "tidemark/operators/rows/types.h"

namespace tidemark {

/// A constant in an expression: null, bool, int64, double, string, or a time or decimal made by a typed literal function.
struct Literal {
  DataType type;
  /// monostate: a null of that type. int64_t also holds dates and timestamps; a decimal is its unscaled value as text.
  std::variant<std::monostate, bool, int64_t, double, std::string> value;

  friend bool operator==(const Literal&, const Literal&) = default;
};

enum class ExprKind : uint8_t { kColumn, kLiteral, kCall };

/// A node of an expression tree. Immutable; shared between trees because expressions are values that are copied freely.
struct ExprNode;

/// A logical expression: what `Col("quantity") > 5` builds. A cheap value without any types yet: Bind gives those. No
/// implicit constructors: `"delete"` or `1` never turns into an expression except beside an operator that has one.
class Expr {
 public:
  explicit Expr(std::shared_ptr<const ExprNode> node) : node_(std::move(node)) {}
  const ExprNode& node() const { return *node_; }
  /// The same expression under another output name: `(Col("a") + Col("b")).As("total")`.
  Expr As(std::string name) const;
  /// The name given by As, else the column's own name, else the expression's text as Spark would write it: `(a + b)`.
  std::string Name() const;
  /// Canonical text, unambiguous: used in plans, fingerprints and messages.
  std::string ToString() const;

 private:
  std::shared_ptr<const ExprNode> node_;
};

struct ExprNode {
  ExprKind kind = ExprKind::kColumn;
  std::string name;          ///< kColumn: the column; kCall: the function (`add`, `equal`, `and`, `cast`, `upper`, ...)
  Literal literal;           ///< kLiteral
  DataType target;           ///< kCall `cast` and `try_cast`: the type asked for
  std::vector<Expr> args;    ///< kCall
  std::string alias;         ///< set by As
};

/// The column of this name.
Expr Col(std::string name);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_EXPRESSIONS_EXPRESSION_H_
