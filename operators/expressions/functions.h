#ifndef TIDEMARK_OPERATORS_EXPRESSIONS_FUNCTIONS_H_
#define TIDEMARK_OPERATORS_EXPRESSIONS_FUNCTIONS_H_

#include <concepts>
#include <cstdint>
#include <string>
#include <vector>

#include "tidemark/operators/expressions/expression.h"
#include "tidemark/operators/rows/types.h"

namespace tidemark {

// The built-in functions. Arguments are expressions: a text among them is written Lit("x"), a
// column Col("x"). Unless said otherwise a function of a null is null. The README of this folder
// states the exact meaning of each, operators included.

/// Converts, or fails on the row.
Expr Cast(const Expr& value, DataType type);
/// As Cast, but null where Cast would fail.
Expr TryCast(const Expr& value, DataType type);

/// As the operators, but null where those would fail (overflow, division by zero).
Expr TryAdd(const Expr& left, const Expr& right);
Expr TrySubtract(const Expr& left, const Expr& right);
Expr TryMultiply(const Expr& left, const Expr& right);
Expr TryDivide(const Expr& left, const Expr& right);

/// `then` where the condition is true, `otherwise` where it is false or null. Only the value that
/// is taken is computed.
Expr If(const Expr& condition, const Expr& then, const Expr& otherwise);
/// The first value that is not null; later ones are computed only where it is needed.
Expr Coalesce(std::vector<Expr> values);
/// Never null.
Expr IsNull(const Expr& value);
Expr IsNotNull(const Expr& value);

Expr Upper(const Expr& text);
Expr Lower(const Expr& text);
/// The values' text, one after the other (other types than string as Cast writes them).
Expr Concat(std::vector<Expr> values);
/// `length` code points from `position`: 1 is the first, 0 too, -1 the last.
Expr Substring(const Expr& text, const Expr& position, const Expr& length);
Expr Substring(const Expr& text, int32_t position, int32_t length);
/// From `position` to the end.
Expr Substring(const Expr& text, int32_t position);
/// Code points of a string, bytes of bytes: int32.
Expr Length(const Expr& text);

/// The time (timestamp or date) in UTC by a pattern as Java's: `yyyy-MM-dd HH:mm:ss.SSS EEE 'at'
/// a`.
Expr DateFormat(const Expr& time, std::string pattern);
/// The time cut down to its second, minute, hour, day, week (Monday), month, quarter or year, UTC.
Expr Truncate(std::string unit, const Expr& time);

/// A 64-bit hash of the values, the same for ever; never null.
Expr Hash(std::vector<Expr> values);
/// The values' text joined by `|`, with `\` and `|` escaped by `\` and null as `\N`; never null.
Expr RowKey(std::vector<Expr> values);

/// The same with the arguments one by one: `Concat(Col("a"), Lit("-"), Col("b"))`.
template <std::same_as<Expr>... More>
Expr Coalesce(const Expr& first, const More&... more) {
  return Coalesce(std::vector<Expr>{first, more...});
}
template <std::same_as<Expr>... More>
Expr Concat(const Expr& first, const More&... more) {
  return Concat(std::vector<Expr>{first, more...});
}
template <std::same_as<Expr>... More>
Expr Hash(const Expr& first, const More&... more) {
  return Hash(std::vector<Expr>{first, more...});
}
template <std::same_as<Expr>... More>
Expr RowKey(const Expr& first, const More&... more) {
  return RowKey(std::vector<Expr>{first, more...});
}

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_EXPRESSIONS_FUNCTIONS_H_
