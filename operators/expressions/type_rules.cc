#include "tidemark/operators/expressions/type_rules.h"

#include <algorithm>

namespace tidemark {
namespace {

constexpr int kMaxPrecision = 38;
constexpr int kMinAdjustedScale = 6;

DataType MakeDecimal(int precision, int scale) {
  return DataType::Decimal(static_cast<uint8_t>(precision), static_cast<uint8_t>(scale));
}

DataType Adjusted(int precision, int scale) {
  if (precision <= kMaxPrecision) return MakeDecimal(precision, scale);
  const int whole_digits = precision - scale;
  const int least_scale = std::min(scale, kMinAdjustedScale);
  return MakeDecimal(kMaxPrecision, std::max(kMaxPrecision - whole_digits, least_scale));
}

int WholeDigits(const DataType& type) { return type.precision - type.scale; }

}  // namespace

DataType DecimalOfInteger(const DataType& integer) {
  return integer.id == TypeId::kInt32 ? DataType::Decimal(10, 0) : DataType::Decimal(20, 0);
}

std::optional<DataType> CommonType(const DataType& a, const DataType& b) {
  if (a == b) return a;
  if (a.is_numeric() && b.is_numeric()) {
    if (a.id == TypeId::kDouble || b.id == TypeId::kDouble) return DataType::Double();
    if (a.is_integer() && b.is_integer()) return DataType::Int64();
    const DataType x = a.is_integer() ? DecimalOfInteger(a) : a;
    const DataType y = b.is_integer() ? DecimalOfInteger(b) : b;
    const int scale = std::max(x.scale, y.scale);
    const int whole_digits = std::max(WholeDigits(x), WholeDigits(y));
    return MakeDecimal(std::min(whole_digits + scale, kMaxPrecision), scale);
  }
  const auto is_time = [](const DataType& type) {
    return type.id == TypeId::kDate || type.id == TypeId::kTimestamp;
  };
  if (is_time(a) && is_time(b)) return DataType::Timestamp();
  return std::nullopt;
}

DataType DecimalSum(const DataType& a, const DataType& b) {
  const int scale = std::max(a.scale, b.scale);
  return Adjusted(std::max(WholeDigits(a), WholeDigits(b)) + scale + 1, scale);
}

DataType DecimalProduct(const DataType& a, const DataType& b) {
  return Adjusted(a.precision + b.precision + 1, a.scale + b.scale);
}

DataType DecimalQuotient(const DataType& a, const DataType& b) {
  const int scale = std::max(kMinAdjustedScale, a.scale + b.precision + 1);
  return Adjusted(WholeDigits(a) + b.scale + scale, scale);
}

DataType DecimalRemainder(const DataType& a, const DataType& b) {
  const int scale = std::max(a.scale, b.scale);
  return Adjusted(std::min(WholeDigits(a), WholeDigits(b)) + scale, scale);
}

}  // namespace tidemark
