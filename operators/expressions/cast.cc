#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "tidemark/operators/expressions/decimal_math.h"
#include "tidemark/operators/expressions/function_table.h"
#include "tidemark/operators/expressions/kernels.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

constexpr const char* kOutOfRange = "the value does not fit the type";
constexpr const char* kNotANumber = "the text is not a number";
constexpr int64_t kMicrosPerSecond = 1'000'000;
constexpr int64_t kMicrosPerDay = 86'400 * kMicrosPerSecond;

// A conversion of one value returns nullptr, or why it failed.

/// A kernel that applies `convert(From, To*)` to each value.
template <typename From, typename To, typename Fn>
Kernel Elementwise(Fn convert) {
  return [=](const KernelCall& call) {
    const From* values = call.args[0]->values<From>();
    To* out = call.out->mutable_values<To>();
    ForEachValidRow(call.rows, *call.out, [&](size_t row) {
      if (const char* why = convert(values[row], &out[row])) call.Fail(row, why);
    });
  };
}

template <typename From, typename To>
Kernel Widening() {
  return Elementwise<From, To>([](From value, To* out) -> const char* {
    *out = static_cast<To>(value);
    return nullptr;
  });
}

template <typename From>
Kernel ToBool() {
  return Elementwise<From, uint8_t>([](From value, uint8_t* out) -> const char* {
    *out = value != 0;
    return nullptr;
  });
}

template <typename From, typename To>
Kernel NarrowingInteger() {
  return Elementwise<From, To>([](From value, To* out) -> const char* {
    *out = static_cast<To>(value);
    return *out == value ? nullptr : kOutOfRange;
  });
}

/// Towards zero, as Java's casts; but NaN and what does not fit fail.
template <typename To>
Kernel DoubleToInteger() {
  return Elementwise<double, To>([](double value, To* out) -> const char* {
    constexpr double kEnd = -static_cast<double>(std::numeric_limits<To>::min());
    const double whole = std::trunc(value);
    if (!(whole >= -kEnd && whole < kEnd)) return kOutOfRange;
    *out = static_cast<To>(whole);
    return nullptr;
  });
}

template <typename To>
Kernel DecimalToInteger(int scale) {
  const Int128 divisor = PowerOfTen(scale);
  return Elementwise<Int128, To>([divisor](Int128 value, To* out) -> const char* {
    const Int128 whole = value / divisor;
    *out = static_cast<To>(whole);
    return *out == whole ? nullptr : kOutOfRange;
  });
}

template <typename From>
Kernel IntegerToDecimal(DataType to) {
  return Elementwise<From, Int128>([to](From value, Int128* out) -> const char* {
    return RescaleDecimal(value, 0, to, out) ? nullptr : kOutOfRange;
  });
}

/// A decimal into which every integer of the type fits.
template <typename From>
Kernel IntegerToWideDecimal(DataType to) {
  return Elementwise<From, Int128>(
      [factor = PowerOfTen(to.scale)](From value, Int128* out) -> const char* {
        *out = value * factor;
        return nullptr;
      });
}

Kernel DoubleToDecimal(DataType to) {
  return [to](const KernelCall& call) {
    const double* values = call.args[0]->values<double>();
    Int128* out = call.out->mutable_values<Int128>();
    std::string text;
    ForEachValidRow(call.rows, *call.out, [&](size_t row) {
      text.clear();
      if (std::isfinite(values[row])) AppendDouble(values[row], &text);
      const std::optional<Int128> unscaled = ParseDecimal(text, to.precision, to.scale);
      if (unscaled) {
        out[row] = *unscaled;
      } else {
        call.Fail(row, kOutOfRange);
      }
    });
  };
}

std::string_view Trimmed(std::string_view text) {
  const auto is_blank = [](char c) { return static_cast<unsigned char>(c) <= ' ' || c == '\x7f'; };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

bool EqualsIgnoringCase(std::string_view text, std::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i] >= 'A' && text[i] <= 'Z' ? static_cast<char>(text[i] + 32) : text[i];
    if (c != lower[i]) return false;
  }
  return true;
}

const char* ParseBool(std::string_view text, uint8_t* out) {
  text = Trimmed(text);
  for (std::string_view word : {"t", "true", "y", "yes", "1"}) {
    if (EqualsIgnoringCase(text, word)) {
      *out = 1;
      return nullptr;
    }
  }
  for (std::string_view word : {"f", "false", "n", "no", "0"}) {
    if (EqualsIgnoringCase(text, word)) {
      *out = 0;
      return nullptr;
    }
  }
  return "the text is not a bool";
}

template <typename To>
const char* ParseInteger(std::string_view text, To* out) {
  text = Trimmed(text);
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  const char* end = text.data() + text.size();
  const std::from_chars_result result = std::from_chars(text.data(), end, *out);
  if (result.ptr != end || result.ec == std::errc::invalid_argument) return kNotANumber;
  return result.ec == std::errc() ? nullptr : kOutOfRange;
}

const char* ParseDouble(std::string_view text, double* out) {
  text = Trimmed(text);
  const bool negative = !text.empty() && text[0] == '-';
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.remove_prefix(1);
  if (text.empty()) return kNotANumber;
  if (EqualsIgnoringCase(text, "nan")) {
    *out = std::numeric_limits<double>::quiet_NaN();
  } else if (EqualsIgnoringCase(text, "infinity") || EqualsIgnoringCase(text, "inf")) {
    *out = std::numeric_limits<double>::infinity();
  } else if (text[0] != '.' && (text[0] < '0' || text[0] > '9')) {
    return kNotANumber;
  } else {
    const char* end = text.data() + text.size();
    const std::from_chars_result result = std::from_chars(text.data(), end, *out);
    if (result.ptr != end || result.ec == std::errc::invalid_argument) return kNotANumber;
    if (result.ec != std::errc()) return kOutOfRange;
  }
  if (negative) *out = -*out;
  return nullptr;
}

Kernel FromText(const DataType& to) {
  using Text = std::string_view;
  switch (to.id) {
    case TypeId::kBool:
      return Elementwise<Text, uint8_t>(&ParseBool);
    case TypeId::kInt32:
      return Elementwise<Text, int32_t>(&ParseInteger<int32_t>);
    case TypeId::kInt64:
      return Elementwise<Text, int64_t>(&ParseInteger<int64_t>);
    case TypeId::kDouble:
      return Elementwise<Text, double>(&ParseDouble);
    case TypeId::kDecimal:
      return Elementwise<Text, Int128>([to](Text text, Int128* out) -> const char* {
        const std::optional<Int128> value = ParseDecimal(Trimmed(text), to.precision, to.scale);
        if (!value) return "the text is not a decimal that fits the type";
        *out = *value;
        return nullptr;
      });
    case TypeId::kDate:
      return Elementwise<Text, int32_t>([](Text text, int32_t* out) -> const char* {
        const std::optional<int32_t> days = ParseDate(Trimmed(text));
        if (!days) return "the text is not a date";
        *out = *days;
        return nullptr;
      });
    case TypeId::kTimestamp:
      return Elementwise<Text, int64_t>([](Text text, int64_t* out) -> const char* {
        const std::optional<int64_t> micros = ParseTimestamp(Trimmed(text));
        if (!micros) return "the text is not a timestamp";
        *out = *micros;
        return nullptr;
      });
    case TypeId::kBytes:
      return [](const KernelCall& call) {
        TextWriter writer(call.rows);
        ForEachValidRow(call.rows, *call.out, [&](size_t row) {
          const std::optional<std::string> bytes = ParseBase64(call.args[0]->text(row));
          if (bytes) {
            *writer.Begin(row) += *bytes;
          } else {
            call.Fail(row, "the text is not base64");
          }
        });
        writer.Finish(call.out);
      };
    case TypeId::kString:
      break;
  }
  return nullptr;
}

void ToTextKernel(const KernelCall& call) {
  TextWriter writer(call.rows);
  ForEachValidRow(call.rows, *call.out,
                  [&](size_t row) { AppendValueText(*call.args[0], row, writer.Begin(row)); });
  writer.Finish(call.out);
}

template <typename From>
Kernel FromInteger(const DataType& to) {
  switch (to.id) {
    case TypeId::kBool:
      return ToBool<From>();
    case TypeId::kInt32:
      return NarrowingInteger<From, int32_t>();
    case TypeId::kInt64:
      return Widening<From, int64_t>();
    case TypeId::kDouble:
      return Widening<From, double>();
    case TypeId::kDecimal:
      if (to.precision - to.scale >= std::numeric_limits<From>::digits10 + 1) {
        return IntegerToWideDecimal<From>(to);
      }
      return IntegerToDecimal<From>(to);
    case TypeId::kTimestamp:
      return Elementwise<From, int64_t>([](From seconds, int64_t* out) -> const char* {
        const bool overflow = __builtin_mul_overflow(int64_t{seconds}, kMicrosPerSecond, out);
        return overflow ? kOutOfRange : nullptr;
      });
    default:
      return nullptr;
  }
}

Kernel FromBool(const DataType& to) {
  switch (to.id) {
    case TypeId::kInt32:
      return Widening<uint8_t, int32_t>();
    case TypeId::kInt64:
      return Widening<uint8_t, int64_t>();
    case TypeId::kDouble:
      return Widening<uint8_t, double>();
    case TypeId::kDecimal:
      return IntegerToDecimal<uint8_t>(to);
    default:
      return nullptr;
  }
}

Kernel FromDouble(const DataType& to) {
  switch (to.id) {
    case TypeId::kBool:
      return ToBool<double>();
    case TypeId::kInt32:
      return DoubleToInteger<int32_t>();
    case TypeId::kInt64:
      return DoubleToInteger<int64_t>();
    case TypeId::kDecimal:
      return DoubleToDecimal(to);
    default:
      return nullptr;
  }
}

Kernel FromDecimal(const DataType& from, const DataType& to) {
  const int scale = from.scale;
  switch (to.id) {
    case TypeId::kBool:
      return ToBool<Int128>();
    case TypeId::kInt32:
      return DecimalToInteger<int32_t>(scale);
    case TypeId::kInt64:
      return DecimalToInteger<int64_t>(scale);
    case TypeId::kDouble:
      return Elementwise<Int128, double>([scale](Int128 value, double* out) -> const char* {
        *out = DecimalToDouble(value, scale);
        return nullptr;
      });
    case TypeId::kDecimal:
      return Elementwise<Int128, Int128>([scale, to](Int128 value, Int128* out) -> const char* {
        return RescaleDecimal(value, scale, to, out) ? nullptr : kOutOfRange;
      });
    default:
      return nullptr;
  }
}

Kernel FromTimestamp(const DataType& to) {
  if (to.id == TypeId::kDate) {
    return Elementwise<int64_t, int32_t>([](int64_t micros, int32_t* out) -> const char* {
      *out = static_cast<int32_t>(FloorDiv(micros, kMicrosPerDay));
      return nullptr;
    });
  }
  if (to.id == TypeId::kInt64) {
    return Elementwise<int64_t, int64_t>([](int64_t micros, int64_t* out) -> const char* {
      *out = FloorDiv(micros, kMicrosPerSecond);
      return nullptr;
    });
  }
  return nullptr;
}

Kernel FromDate(const DataType& to) {
  if (to.id != TypeId::kTimestamp) return nullptr;
  return Elementwise<int32_t, int64_t>([](int32_t days, int64_t* out) -> const char* {
    return __builtin_mul_overflow(int64_t{days}, kMicrosPerDay, out) ? kOutOfRange : nullptr;
  });
}

/// nullptr if there is no such conversion.
Kernel CastKernel(const DataType& from, const DataType& to) {
  if (to.id == TypeId::kString) return &ToTextKernel;
  switch (from.id) {
    case TypeId::kBool:
      return FromBool(to);
    case TypeId::kInt32:
      return FromInteger<int32_t>(to);
    case TypeId::kInt64:
      return FromInteger<int64_t>(to);
    case TypeId::kDouble:
      return FromDouble(to);
    case TypeId::kDecimal:
      return FromDecimal(from, to);
    case TypeId::kString:
      return FromText(to);
    case TypeId::kTimestamp:
      return FromTimestamp(to);
    case TypeId::kDate:
      return FromDate(to);
    case TypeId::kBytes:
      return nullptr;
  }
  return nullptr;
}

}  // namespace

BoundExpression ImplicitCast(const BoundExpression& arg, const DataType& to) {
  if (arg.type() == to) return arg;
  return Folded(StrictCall(to, {arg}, CastKernel(arg.type(), to)), {arg});
}

absl::StatusOr<BoundExpression> BindCast(const CallSite& call) {
  const DataType& from = call.type(0);
  const DataType& to = call.expr.node().target;
  if (to.id == TypeId::kDecimal &&
      (to.precision < 1 || to.precision > 38 || to.scale > to.precision)) {
    return BindError(call, fmt::format("asks for {}", to.ToString()),
                     "a decimal has a precision of 1 to 38 and a scale of 0 to the precision");
  }
  if (from == to) return call.args[0];
  Kernel kernel = CastKernel(from, to);
  if (kernel == nullptr) {
    return BindError(
        call, fmt::format("cannot convert {} to {}", from.ToString(), to.ToString()),
        "the README of operators/expressions lists what can be converted; everything can be "
        "converted to string");
  }
  return StrictCall(to, call.args, std::move(kernel), call.function() == "try_cast");
}

}  // namespace tidemark
