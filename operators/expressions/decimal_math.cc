#include "tidemark/operators/expressions/decimal_math.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <string>

#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

constexpr int kMaxDigits = 38;

constexpr std::array<Int128, kMaxDigits + 1> kPowersOfTen = [] {
  std::array<Int128, kMaxDigits + 1> powers{};
  powers[0] = 1;
  for (int i = 1; i <= kMaxDigits; ++i) powers[i] = powers[i - 1] * 10;
  return powers;
}();

struct UInt256 {
  UInt128 high = 0;
  UInt128 low = 0;

  friend bool operator<(const UInt256& a, const UInt256& b) {
    return a.high != b.high ? a.high < b.high : a.low < b.low;
  }
  bool is_zero() const { return high == 0 && low == 0; }
};

UInt256 Add(const UInt256& a, const UInt256& b) {
  UInt256 sum{a.high + b.high, a.low + b.low};
  if (sum.low < a.low) ++sum.high;
  return sum;
}

UInt256 Subtract(const UInt256& a, const UInt256& b) {
  return {a.high - b.high - (a.low < b.low ? 1 : 0), a.low - b.low};
}

UInt256 Double(const UInt256& a) { return {(a.high << 1) | (a.low >> 127), a.low << 1}; }

UInt256 Multiply(UInt128 a, UInt128 b) {
  const UInt128 mask = ~uint64_t{0};
  const UInt128 a_low = a & mask, a_high = a >> 64, b_low = b & mask, b_high = b >> 64;
  const UInt128 low = a_low * b_low;
  const UInt128 middle = a_high * b_low + (low >> 64);
  const UInt128 middle2 = a_low * b_high + (middle & mask);
  return {a_high * b_high + (middle >> 64) + (middle2 >> 64), (middle2 << 64) | (low & mask)};
}

/// False if the product does not fit.
bool Multiply(const UInt256& a, UInt128 b, UInt256* product) {
  const UInt256 high = Multiply(a.high, b);
  const UInt256 low = Multiply(a.low, b);
  product->low = low.low;
  product->high = low.high + high.low;
  return high.high == 0 && product->high >= low.high;
}

struct Division {
  UInt256 quotient;
  UInt256 remainder;
};

/// Needs a divisor below 2^255.
Division Divide(const UInt256& dividend, const UInt256& divisor) {
  Division result;
  if (dividend.high == 0 && divisor.high == 0) {
    result.quotient.low = dividend.low / divisor.low;
    result.remainder.low = dividend.low % divisor.low;
    return result;
  }
  for (int bit = 255; bit >= 0; --bit) {
    const UInt128 word = bit >= 128 ? dividend.high : dividend.low;
    result.remainder = Double(result.remainder);
    result.remainder.low |= (word >> (bit & 127)) & 1;
    result.quotient = Double(result.quotient);
    if (!(result.remainder < divisor)) {
      result.remainder = Subtract(result.remainder, divisor);
      result.quotient.low |= 1;
    }
  }
  return result;
}

UInt256 DivideHalfUp(const UInt256& dividend, const UInt256& divisor) {
  Division division = Divide(dividend, divisor);
  if (!(Double(division.remainder) < divisor)) {
    division.quotient = Add(division.quotient, {0, 1});
  }
  return division.quotient;
}

UInt128 Magnitude(Int128 value) {
  return value < 0 ? UInt128{0} - static_cast<UInt128>(value) : static_cast<UInt128>(value);
}

/// A sign and a magnitude of at most 77 digits.
struct Wide {
  bool negative;
  UInt256 magnitude;
};

Wide Scaled(Int128 value, int exponent) {
  return {value < 0, Multiply(Magnitude(value), static_cast<UInt128>(PowerOfTen(exponent)))};
}

Wide Add(const Wide& a, const Wide& b) {
  if (a.negative == b.negative) return {a.negative, Add(a.magnitude, b.magnitude)};
  if (a.magnitude < b.magnitude) return {b.negative, Subtract(b.magnitude, a.magnitude)};
  return {a.negative, Subtract(a.magnitude, b.magnitude)};
}

bool ToDecimal(const Wide& value, int precision, Int128* out) {
  const UInt256& magnitude = value.magnitude;
  if (magnitude.high != 0 || magnitude.low >= static_cast<UInt128>(PowerOfTen(precision))) {
    return false;
  }
  *out = static_cast<Int128>(magnitude.low);
  if (value.negative) *out = -*out;
  return true;
}

/// `value` with `scale` digits after the point, at most 38 more than the result keeps.
bool Rounded(Wide value, int scale, const DataType& result, Int128* out) {
  if (scale > result.scale) {
    const UInt256 divisor{0, static_cast<UInt128>(PowerOfTen(scale - result.scale))};
    value.magnitude = DivideHalfUp(value.magnitude, divisor);
  } else if (scale < result.scale) {
    const UInt128 factor = static_cast<UInt128>(PowerOfTen(result.scale - scale));
    if (!Multiply(value.magnitude, factor, &value.magnitude)) return false;
  }
  return ToDecimal(value, result.precision, out);
}

}  // namespace

Int128 PowerOfTen(int exponent) { return kPowersOfTen[exponent]; }

bool AddDecimals(const DecimalOperands& operands, const DataType& result, Int128* out) {
  const int scale = std::max(operands.left_scale, operands.right_scale);
  const Wide left = Scaled(operands.left, scale - operands.left_scale);
  const Wide right = Scaled(operands.right, scale - operands.right_scale);
  return Rounded(Add(left, right), scale, result, out);
}

bool SubtractDecimals(const DecimalOperands& operands, const DataType& result, Int128* out) {
  DecimalOperands negated = operands;
  negated.right = -negated.right;
  return AddDecimals(negated, result, out);
}

bool MultiplyDecimals(const DecimalOperands& operands, const DataType& result, Int128* out) {
  const Wide product{(operands.left < 0) != (operands.right < 0),
                     Multiply(Magnitude(operands.left), Magnitude(operands.right))};
  return Rounded(product, operands.left_scale + operands.right_scale, result, out);
}

bool DivideDecimals(const DecimalOperands& operands, const DataType& result, Int128* out) {
  const int exponent = result.scale - operands.left_scale + operands.right_scale;
  UInt256 dividend{0, Magnitude(operands.left)};
  UInt256 divisor{0, Magnitude(operands.right)};
  if (exponent < 0) {
    divisor = Multiply(divisor.low, static_cast<UInt128>(PowerOfTen(-exponent)));
  } else {
    // A dividend past 2^256 over a divisor of 38 digits gives a quotient of more than 38.
    const int first = std::min(exponent, kMaxDigits);
    dividend = Multiply(dividend.low, static_cast<UInt128>(PowerOfTen(first)));
    const UInt128 rest = static_cast<UInt128>(PowerOfTen(exponent - first));
    if (!Multiply(dividend, rest, &dividend)) return false;
  }
  const bool negative = (operands.left < 0) != (operands.right < 0);
  return ToDecimal({negative, DivideHalfUp(dividend, divisor)}, result.precision, out);
}

bool RemainderDecimals(const DecimalOperands& operands, const DataType& result, Int128* out) {
  const int scale = std::max(operands.left_scale, operands.right_scale);
  const Wide left = Scaled(operands.left, scale - operands.left_scale);
  const Wide right = Scaled(operands.right, scale - operands.right_scale);
  const Wide remainder{left.negative, Divide(left.magnitude, right.magnitude).remainder};
  return Rounded(remainder, scale, result, out);
}

bool RescaleDecimal(Int128 value, int scale, const DataType& result, Int128* out) {
  return Rounded({value < 0, {0, Magnitude(value)}}, scale, result, out);
}

int CompareDecimals(const DecimalOperands& operands) {
  // At most one side is scaled up; if that overflows, it is the side with the greater magnitude.
  Int128 left = operands.left;
  Int128 right = operands.right;
  if (operands.left_scale < operands.right_scale) {
    const Int128 factor = PowerOfTen(operands.right_scale - operands.left_scale);
    if (__builtin_mul_overflow(left, factor, &left)) return operands.left < 0 ? -1 : 1;
  } else if (operands.left_scale > operands.right_scale) {
    const Int128 factor = PowerOfTen(operands.left_scale - operands.right_scale);
    if (__builtin_mul_overflow(right, factor, &right)) return operands.right < 0 ? 1 : -1;
  }
  return left < right ? -1 : (left > right ? 1 : 0);
}

double DecimalToDouble(Int128 value, int scale) {
  constexpr Int128 kExactDouble = Int128{1} << 53;
  if (value >= -kExactDouble && value <= kExactDouble && scale <= 22) {
    return static_cast<double>(value) / static_cast<double>(PowerOfTen(scale));
  }
  std::string text;
  AppendDecimal(value, scale, &text);
  double result = 0;
  std::from_chars(text.data(), text.data() + text.size(), result);
  return result;
}

}  // namespace tidemark
