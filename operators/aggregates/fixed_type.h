#ifndef TIDEMARK_OPERATORS_AGGREGATES_FIXED_TYPE_H_
#define TIDEMARK_OPERATORS_AGGREGATES_FIXED_TYPE_H_

#include <bit>
#include <cstdint>
#include <type_traits>

#include "tidemark/operators/rows/types.h"

namespace tidemark {

/// Calls fn with a (zero) value of the C++ type that a column of this type holds; not at all for
/// text.
template <typename Fn>
void WithFixedType(DataType type, Fn&& fn) {
  switch (type.id) {
    case TypeId::kBool:
      fn(uint8_t{});
      break;
    case TypeId::kInt32:
    case TypeId::kDate:
      fn(int32_t{});
      break;
    case TypeId::kInt64:
    case TypeId::kTimestamp:
      fn(int64_t{});
      break;
    case TypeId::kDouble:
      fn(double{});
      break;
    case TypeId::kDecimal:
      fn(Int128{});
      break;
    case TypeId::kString:
    case TypeId::kBytes:
      break;
  }
}

/// The unsigned number that compares as the value does, and back. Group keys are these bits,
/// big-endian; minima and maxima are kept in them, because then all zero is a start below every
/// value. Doubles: -0.0 becomes 0.0, and every NaN the same one, above infinity.
constexpr uint8_t OrderBits(uint8_t value) { return value; }
constexpr uint32_t OrderBits(int32_t value) {
  return static_cast<uint32_t>(value) ^ (uint32_t{1} << 31);
}
constexpr uint64_t OrderBits(int64_t value) {
  return static_cast<uint64_t>(value) ^ (uint64_t{1} << 63);
}
constexpr UInt128 OrderBits(Int128 value) {
  return static_cast<UInt128>(value) ^ (UInt128{1} << 127);
}
inline uint64_t OrderBits(double value) {
  constexpr uint64_t kSign = uint64_t{1} << 63;
  constexpr uint64_t kNan = 0x7ff8000000000000;
  const uint64_t bits = value != value ? kNan : std::bit_cast<uint64_t>(value + 0.0);
  return (bits & kSign) != 0 ? ~bits : bits | kSign;
}

template <typename T>
using OrderBitsOf = decltype(OrderBits(T{}));

template <typename T>
constexpr T FromOrderBits(OrderBitsOf<T> bits) {
  using Bits = OrderBitsOf<T>;
  constexpr Bits kSign = static_cast<Bits>(Bits{1} << (sizeof(T) * 8 - 1));
  if constexpr (sizeof(T) == 1) {
    return bits;
  } else if constexpr (std::is_same_v<T, double>) {
    return std::bit_cast<double>((bits & kSign) != 0 ? bits ^ kSign : ~bits);
  } else {
    return static_cast<T>(bits ^ kSign);
  }
}

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_AGGREGATES_FIXED_TYPE_H_
