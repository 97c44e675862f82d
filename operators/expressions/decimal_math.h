#ifndef TIDEMARK_OPERATORS_EXPRESSIONS_DECIMAL_MATH_H_
#define TIDEMARK_OPERATORS_EXPRESSIONS_DECIMAL_MATH_H_

#include "tidemark/operators/rows/types.h"

namespace tidemark {

// Exact arithmetic on unscaled decimals of up to 38 digits, through 256 bits where needed; results
// are rounded half up (away from zero) to the asked scale. Each returns false if the result needs
// more than `precision` digits; `out` is then unspecified.

/// 10^exponent, exponent 0 to 38.
Int128 PowerOfTen(int exponent);

struct DecimalOperands {
  Int128 left;
  int left_scale;
  Int128 right;
  int right_scale;
};

bool AddDecimals(const DecimalOperands& operands, const DataType& result, Int128* out);
bool SubtractDecimals(const DecimalOperands& operands, const DataType& result, Int128* out);
bool MultiplyDecimals(const DecimalOperands& operands, const DataType& result, Int128* out);
/// The divisor is not zero. The remainder has the sign of the dividend.
bool DivideDecimals(const DecimalOperands& operands, const DataType& result, Int128* out);
bool RemainderDecimals(const DecimalOperands& operands, const DataType& result, Int128* out);

/// The same number at another scale.
bool RescaleDecimal(Int128 value, int scale, const DataType& result, Int128* out);
/// Negative, zero or positive, as left - right.
int CompareDecimals(const DecimalOperands& operands);
/// The nearest double.
double DecimalToDouble(Int128 value, int scale);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_EXPRESSIONS_DECIMAL_MATH_H_
