#ifndef TIDEMARK_OPERATORS_ROWS_TYPES_H_
#define TIDEMARK_OPERATORS_ROWS_TYPES_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace tidemark {

/// 128-bit integer: the unscaled value of a decimal, and sums that must not wrap.
__extension__ typedef __int128 Int128;
__extension__ typedef unsigned __int128 UInt128;

/// What a column holds. The C++ type of one value in a Column is in brackets.
enum class TypeId : uint8_t {
  kBool,       ///< [uint8_t], 0 or 1
  kInt32,      ///< [int32_t]
  kInt64,      ///< [int64_t]
  kDouble,     ///< [double]
  kDecimal,    ///< [Int128], unscaled; precision 1 to 38, scale 0 to precision
  kString,     ///< [std::string_view], UTF-8, compared by bytes
  kBytes,      ///< [std::string_view]
  kDate,       ///< [int32_t], days since 1970-01-01
  kTimestamp,  ///< [int64_t], microseconds since 1970-01-01T00:00:00Z
};

/// A type with its parameters; a plain value.
struct DataType {
  TypeId id = TypeId::kInt64;
  uint8_t precision = 0;  ///< decimals only
  uint8_t scale = 0;      ///< decimals only

  static constexpr DataType Bool() { return {TypeId::kBool}; }
  static constexpr DataType Int32() { return {TypeId::kInt32}; }
  static constexpr DataType Int64() { return {TypeId::kInt64}; }
  static constexpr DataType Double() { return {TypeId::kDouble}; }
  static constexpr DataType Decimal(uint8_t precision, uint8_t scale) {
    return {TypeId::kDecimal, precision, scale};
  }
  static constexpr DataType String() { return {TypeId::kString}; }
  static constexpr DataType Bytes() { return {TypeId::kBytes}; }
  static constexpr DataType Date() { return {TypeId::kDate}; }
  static constexpr DataType Timestamp() { return {TypeId::kTimestamp}; }

  /// Bytes that one value takes in a Column.
  constexpr size_t width() const {
    switch (id) {
      case TypeId::kBool:
        return 1;
      case TypeId::kInt32:
      case TypeId::kDate:
        return 4;
      case TypeId::kInt64:
      case TypeId::kDouble:
      case TypeId::kTimestamp:
        return 8;
      case TypeId::kDecimal:
        return sizeof(Int128);
      case TypeId::kString:
      case TypeId::kBytes:
        return sizeof(std::string_view);
    }
    return 0;
  }
  constexpr bool is_text() const { return id == TypeId::kString || id == TypeId::kBytes; }
  constexpr bool is_integer() const { return id == TypeId::kInt32 || id == TypeId::kInt64; }
  constexpr bool is_numeric() const {
    return is_integer() || id == TypeId::kDouble || id == TypeId::kDecimal;
  }

  /// `int64`, `decimal(10,2)`, `timestamp`, ...: as written in messages, plans and fingerprints.
  std::string ToString() const;

  friend constexpr bool operator==(const DataType&, const DataType&) = default;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_ROWS_TYPES_H_
