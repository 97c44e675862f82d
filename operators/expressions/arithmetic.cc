#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <type_traits>

#include "tidemark/operators/expressions/decimal_math.h"
#include "tidemark/operators/expressions/function_table.h"
#include "tidemark/operators/expressions/kernels.h"
#include "tidemark/operators/expressions/type_rules.h"

namespace tidemark {
namespace {

constexpr const char* kOverflow = "overflow";
constexpr const char* kDivisionByZero = "division by zero";

// Operations on one pair of values. Apply returns false if the pair has no result, for the reason
// kWhy; `out` then holds something unspecified.

struct AddOp {
  static constexpr const char* kWhy = kOverflow;
  template <typename T>
  static bool Apply(T a, T b, T* out) {
    if constexpr (std::is_floating_point_v<T>) {
      *out = a + b;
      return true;
    } else {
      return !__builtin_add_overflow(a, b, out);
    }
  }
};

struct SubtractOp {
  static constexpr const char* kWhy = kOverflow;
  template <typename T>
  static bool Apply(T a, T b, T* out) {
    if constexpr (std::is_floating_point_v<T>) {
      *out = a - b;
      return true;
    } else {
      return !__builtin_sub_overflow(a, b, out);
    }
  }
};

struct MultiplyOp {
  static constexpr const char* kWhy = kOverflow;
  template <typename T>
  static bool Apply(T a, T b, T* out) {
    if constexpr (std::is_floating_point_v<T>) {
      *out = a * b;
      return true;
    } else {
      return !__builtin_mul_overflow(a, b, out);
    }
  }
};

struct DivideOp {
  static constexpr const char* kWhy = kDivisionByZero;
  static bool Apply(double a, double b, double* out) {
    *out = a / b;
    return b != 0;
  }
};

struct RemainderOp {
  static constexpr const char* kWhy = kDivisionByZero;
  template <typename T>
  static bool Apply(T a, T b, T* out) {
    if constexpr (std::is_floating_point_v<T>) {
      *out = std::fmod(a, b);
    } else {
      *out = b == 0 || b == -1 ? 0 : a % b;  // INT64_MIN % -1 would trap
    }
    return b != 0;
  }
};

template <typename Op, typename T>
void NumericKernel(const KernelCall& call) {
  WithOperands<T>(call, [&](auto left, auto right) {
    T* out = call.out->mutable_values<T>();
    if (!call.out->has_nulls()) {
      bool all_fine = true;
      ForEachRow(call.rows, [=, &all_fine](size_t row) {
        T result;
        all_fine &= Op::Apply(left[row], right[row], &result);
        out[row] = result;
      });
      if (all_fine) return;
    }
    ForEachValidRow(call.rows, *call.out, [&](size_t row) {
      if (!Op::Apply(left[row], right[row], &out[row])) call.Fail(row, Op::kWhy);
    });
  });
}

template <typename Op>
Kernel KernelFor(const DataType& type) {
  if (type.id == TypeId::kInt32) return &NumericKernel<Op, int32_t>;
  if (type.id == TypeId::kInt64) return &NumericKernel<Op, int64_t>;
  return &NumericKernel<Op, double>;
}

using DecimalFunction = bool (*)(const DecimalOperands&, const DataType&, Int128*);

Kernel DecimalKernel(DecimalFunction function, bool checks_zero, DataType left_type,
                     DataType right_type, DataType result) {
  return [=](const KernelCall& call) {
    WithOperands<Int128>(call, [&](auto left, auto right) {
      Int128* out = call.out->mutable_values<Int128>();
      ForEachValidRow(call.rows, *call.out, [&](size_t row) {
        if (checks_zero && right[row] == 0) {
          call.Fail(row, kDivisionByZero);
          return;
        }
        const DecimalOperands operands{left[row], left_type.scale, right[row], right_type.scale};
        if (!function(operands, result, &out[row])) call.Fail(row, kOverflow);
      });
    });
  };
}

/// For sums and products that cannot reach 39 digits.
template <typename Fn>
Kernel NarrowDecimalKernel(Fn function) {
  return [=](const KernelCall& call) {
    WithOperands<Int128>(call, [&](auto left, auto right) {
      Int128* out = call.out->mutable_values<Int128>();
      ForEachValidRow(call.rows, *call.out,
                      [&](size_t row) { out[row] = function(left[row], right[row]); });
    });
  };
}

/// An integer operand beside a decimal; a literal becomes a decimal of just its digits, as in
/// Spark.
BoundExpression AsDecimal(const BoundExpression& arg) {
  if (!arg.type().is_integer()) return arg;
  const Column* constant = arg.constant();
  if (constant == nullptr || constant->IsNull(0)) {
    return ImplicitCast(arg, DecimalOfInteger(arg.type()));
  }
  const int64_t value = arg.type().id == TypeId::kInt32 ? constant->values<int32_t>()[0]
                                                        : constant->values<int64_t>()[0];
  const std::string digits = std::to_string(value);
  const size_t precision = digits.size() - (value < 0 ? 1 : 0);
  return ImplicitCast(arg, DataType::Decimal(static_cast<uint8_t>(precision), 0));
}

struct DecimalPlan {
  DataType type;
  Kernel kernel;
};

DecimalPlan PlanDecimal(std::string_view op, const DataType& a, const DataType& b) {
  const int scale = std::max(a.scale, b.scale);
  if (op == "add" || op == "subtract") {
    const DataType type = DecimalSum(a, b);
    const int whole_digits = std::max(a.precision - a.scale, b.precision - b.scale);
    if (whole_digits + scale + 1 > 38) {
      return {type,
              DecimalKernel(op == "add" ? &AddDecimals : &SubtractDecimals, false, a, b, type)};
    }
    const Int128 x = PowerOfTen(scale - a.scale), y = PowerOfTen(scale - b.scale);
    if (op == "add") {
      return {type, NarrowDecimalKernel([=](Int128 l, Int128 r) { return l * x + r * y; })};
    }
    return {type, NarrowDecimalKernel([=](Int128 l, Int128 r) { return l * x - r * y; })};
  }
  if (op == "multiply") {
    const DataType type = DecimalProduct(a, b);
    if (a.precision + b.precision + 1 > 38) {
      return {type, DecimalKernel(&MultiplyDecimals, false, a, b, type)};
    }
    return {type, NarrowDecimalKernel([](Int128 l, Int128 r) { return l * r; })};
  }
  if (op == "divide") {
    const DataType type = DecimalQuotient(a, b);
    return {type, DecimalKernel(&DivideDecimals, true, a, b, type)};
  }
  const DataType type = DecimalRemainder(a, b);
  return {type, DecimalKernel(&RemainderDecimals, true, a, b, type)};
}

template <typename T>
void NegateKernel(const KernelCall& call) {
  const T* values = call.args[0]->values<T>();
  T* out = call.out->mutable_values<T>();
  ForEachValidRow(call.rows, *call.out, [&](size_t row) {
    if constexpr (std::is_floating_point_v<T>) {
      out[row] = -values[row];
    } else {
      if (__builtin_sub_overflow(T{0}, values[row], &out[row])) call.Fail(row, kOverflow);
    }
  });
}

absl::Status NotNumeric(const CallSite& call) {
  return BindError(
      call, fmt::format("takes numbers, not {}", ArgumentTypes(call)),
      "convert the arguments with Cast(..., DataType::Double()) or another number type");
}

}  // namespace

absl::StatusOr<BoundExpression> BindArithmetic(const CallSite& call) {
  std::string_view op = call.function();
  const bool is_try = op.starts_with("try_");
  if (is_try) op.remove_prefix(4);
  if (!call.type(0).is_numeric() || !call.type(1).is_numeric()) return NotNumeric(call);

  DataType type = *CommonType(call.type(0), call.type(1));
  if (type.id == TypeId::kDecimal) {
    const BoundExpression left = AsDecimal(call.args[0]);
    const BoundExpression right = AsDecimal(call.args[1]);
    DecimalPlan plan = PlanDecimal(op, left.type(), right.type());
    return BinaryCall(plan.type, left, right, std::move(plan.kernel), is_try);
  }
  if (op == "divide") type = DataType::Double();
  Kernel kernel;
  if (op == "add") {
    kernel = KernelFor<AddOp>(type);
  } else if (op == "subtract") {
    kernel = KernelFor<SubtractOp>(type);
  } else if (op == "multiply") {
    kernel = KernelFor<MultiplyOp>(type);
  } else if (op == "divide") {
    kernel = &NumericKernel<DivideOp, double>;
  } else {
    kernel = KernelFor<RemainderOp>(type);
  }
  return BinaryCall(type, ImplicitCast(call.args[0], type), ImplicitCast(call.args[1], type),
                    std::move(kernel), is_try);
}

absl::StatusOr<BoundExpression> BindNegate(const CallSite& call) {
  const DataType& type = call.type(0);
  switch (type.id) {
    case TypeId::kInt32:
      return StrictCall(type, call.args, &NegateKernel<int32_t>);
    case TypeId::kInt64:
      return StrictCall(type, call.args, &NegateKernel<int64_t>);
    case TypeId::kDouble:
      return StrictCall(type, call.args, &NegateKernel<double>);
    case TypeId::kDecimal:
      return StrictCall(type, call.args, &NegateKernel<Int128>);
    default:
      return NotNumeric(call);
  }
}

}  // namespace tidemark
