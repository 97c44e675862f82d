#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <string>
#include <type_traits>

#include "tidemark/operators/expressions/decimal_math.h"
#include "tidemark/operators/expressions/function_table.h"
#include "tidemark/operators/expressions/kernels.h"
#include "tidemark/operators/expressions/type_rules.h"

namespace tidemark {
namespace {

// A total order for every type: doubles with NaN equal to itself and past all numbers, -0.0 as 0.0;
// text by bytes, unsigned.
template <typename T>
bool IsEqual(const T& a, const T& b) {
  if constexpr (std::is_same_v<T, double>) {
    return a == b || (a != a && b != b);
  } else {
    return a == b;
  }
}
template <typename T>
bool IsLess(const T& a, const T& b) {
  if constexpr (std::is_same_v<T, double>) {
    return a < b || (b != b && a == a);
  } else {
    return a < b;
  }
}

struct EqualOp {
  template <typename T>
  static bool Apply(const T& a, const T& b) {
    return IsEqual(a, b);
  }
};
struct NotEqualOp {
  template <typename T>
  static bool Apply(const T& a, const T& b) {
    return !IsEqual(a, b);
  }
};
struct LessOp {
  template <typename T>
  static bool Apply(const T& a, const T& b) {
    return IsLess(a, b);
  }
};
struct LessEqualOp {
  template <typename T>
  static bool Apply(const T& a, const T& b) {
    return !IsLess(b, a);
  }
};
struct GreaterOp {
  template <typename T>
  static bool Apply(const T& a, const T& b) {
    return IsLess(b, a);
  }
};
struct GreaterEqualOp {
  template <typename T>
  static bool Apply(const T& a, const T& b) {
    return !IsLess(a, b);
  }
};

// Text may only be looked at where it is not null or outside the selection; comparing what lies
// under the null bits of numbers is harmless, and free of branches.
template <typename Op, typename T>
void CompareKernel(const KernelCall& call) {
  WithOperands<T>(call, [&](auto left, auto right) {
    uint8_t* out = call.out->mutable_values<uint8_t>();
    ForEachRow(call.rows,
               [=](size_t row) { out[row] = Op::template Apply<T>(left[row], right[row]); });
  });
}

template <typename Op>
Kernel DecimalCompareKernel(int left_scale, int right_scale) {
  return [=](const KernelCall& call) {
    WithOperands<Int128>(call, [&](auto left, auto right) {
      uint8_t* out = call.out->mutable_values<uint8_t>();
      ForEachRow(call.rows, [&](size_t row) {
        const int order = CompareDecimals({left[row], left_scale, right[row], right_scale});
        out[row] = Op::template Apply<int>(order, 0);
      });
    });
  };
}

template <typename Op>
Kernel KernelFor(const DataType& left, const DataType& right) {
  switch (left.id) {
    case TypeId::kBool:
      return &CompareKernel<Op, uint8_t>;
    case TypeId::kInt32:
    case TypeId::kDate:
      return &CompareKernel<Op, int32_t>;
    case TypeId::kInt64:
    case TypeId::kTimestamp:
      return &CompareKernel<Op, int64_t>;
    case TypeId::kDouble:
      return &CompareKernel<Op, double>;
    case TypeId::kDecimal:
      if (left.scale == right.scale) return &CompareKernel<Op, Int128>;
      return DecimalCompareKernel<Op>(left.scale, right.scale);
    case TypeId::kString:
    case TypeId::kBytes:
      return &CompareKernel<Op, std::string_view>;
  }
  return nullptr;
}

Kernel KernelFor(std::string_view op, const DataType& left, const DataType& right) {
  if (op == "equal") return KernelFor<EqualOp>(left, right);
  if (op == "not_equal") return KernelFor<NotEqualOp>(left, right);
  if (op == "less") return KernelFor<LessOp>(left, right);
  if (op == "less_equal") return KernelFor<LessEqualOp>(left, right);
  if (op == "greater") return KernelFor<GreaterOp>(left, right);
  return KernelFor<GreaterEqualOp>(left, right);
}

std::string Advice(const DataType& a, const DataType& b) {
  const auto either = [&](TypeId id) { return a.id == id || b.id == id; };
  if (either(TypeId::kString) && either(TypeId::kTimestamp)) {
    return "write the time as TimestampLit(\"2025-01-02T10:15:22Z\"), or convert the column with "
           "Cast(..., DataType::Timestamp())";
  }
  if (either(TypeId::kString) && either(TypeId::kDate)) {
    return "write the day as DateLit(\"2025-01-02\"), or convert the column with "
           "Cast(..., DataType::Date())";
  }
  return "convert one side with Cast";
}

}  // namespace

absl::StatusOr<BoundExpression> BindComparison(const CallSite& call) {
  const std::optional<DataType> common = CommonType(call.type(0), call.type(1));
  if (!common) {
    return BindError(call, fmt::format("cannot compare {}", ArgumentTypes(call)),
                     Advice(call.type(0), call.type(1)));
  }
  BoundExpression left = call.args[0];
  BoundExpression right = call.args[1];
  if (common->id == TypeId::kDecimal) {  // compared at their own scales
    if (left.type().is_integer()) left = ImplicitCast(left, DecimalOfInteger(left.type()));
    if (right.type().is_integer()) right = ImplicitCast(right, DecimalOfInteger(right.type()));
  } else {
    left = ImplicitCast(left, *common);
    right = ImplicitCast(right, *common);
  }
  Kernel kernel = KernelFor(call.function(), left.type(), right.type());
  return BinaryCall(DataType::Bool(), std::move(left), std::move(right), std::move(kernel));
}

}  // namespace tidemark
