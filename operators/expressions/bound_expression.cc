#include "tidemark/operators/expressions/bound_expression.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "tidemark/operators/expressions/function_table.h"
#include "tidemark/operators/expressions/kernels.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

constexpr size_t kAnyNumber = SIZE_MAX;
constexpr int kMaxDepth = 1000;

constexpr FunctionEntry kFunctions[] = {
    {"add", 2, 2, &BindArithmetic},
    {"subtract", 2, 2, &BindArithmetic},
    {"multiply", 2, 2, &BindArithmetic},
    {"divide", 2, 2, &BindArithmetic},
    {"remainder", 2, 2, &BindArithmetic},
    {"try_add", 2, 2, &BindArithmetic},
    {"try_subtract", 2, 2, &BindArithmetic},
    {"try_multiply", 2, 2, &BindArithmetic},
    {"try_divide", 2, 2, &BindArithmetic},
    {"negate", 1, 1, &BindNegate},
    {"equal", 2, 2, &BindComparison},
    {"not_equal", 2, 2, &BindComparison},
    {"less", 2, 2, &BindComparison},
    {"less_equal", 2, 2, &BindComparison},
    {"greater", 2, 2, &BindComparison},
    {"greater_equal", 2, 2, &BindComparison},
    {"and", 2, 2, &BindAndOr},
    {"or", 2, 2, &BindAndOr},
    {"not", 1, 1, &BindNot},
    {"if", 3, 3, &BindIf},
    {"coalesce", 1, kAnyNumber, &BindCoalesce},
    {"is_null", 1, 1, &BindNullTest},
    {"is_not_null", 1, 1, &BindNullTest},
    {"cast", 1, 1, &BindCast},
    {"try_cast", 1, 1, &BindCast},
    {"upper", 1, 1, &BindChangeCase},
    {"lower", 1, 1, &BindChangeCase},
    {"concat", 1, kAnyNumber, &BindConcat},
    {"substring", 3, 3, &BindSubstring},
    {"length", 1, 1, &BindLength},
    {"date_format", 2, 2, &BindDateFormat},
    {"date_trunc", 2, 2, &BindDateTrunc},
    {"hash", 1, kAnyNumber, &BindHash},
    {"row_key", 1, kAnyNumber, &BindRowKey},
};

class ColumnNode : public BoundNode {
 public:
  explicit ColumnNode(size_t index) : index_(index) {}
  ColumnPtr Evaluate(const RowBatch& batch, const Selection&,
                     std::vector<ExpressionError>*) const override {
    return batch.column_ptr(index_);
  }

 private:
  size_t index_;
};

/// The root of an expression: a row that failed anywhere inside is listed once and is null, also
/// where a function around the failure would have made a value of the null.
class RootNode : public BoundNode {
 public:
  explicit RootNode(BoundExpression inner) : inner_(std::move(inner)) {}

  ColumnPtr Evaluate(const RowBatch& batch, const Selection& rows,
                     std::vector<ExpressionError>* errors) const override {
    std::vector<ExpressionError> found;
    ColumnPtr result = inner_.Evaluate(batch, rows, &found);
    if (found.empty()) return result;
    const auto by_row = [](const ExpressionError& a, const ExpressionError& b) {
      return a.row < b.row;
    };
    std::stable_sort(found.begin(), found.end(), by_row);
    const auto same_row = [](const ExpressionError& a, const ExpressionError& b) {
      return a.row == b.row;
    };
    found.erase(std::unique(found.begin(), found.end(), same_row), found.end());
    errors->insert(errors->end(), found.begin(), found.end());

    auto marked = std::make_shared<Column>(inner_.type(), batch.num_rows());
    CopyRows(*result, rows, marked.get());
    for (const ExpressionError& error : found) {
      marked->SetNull(error.row);
      if (inner_.type().is_text()) marked->mutable_values<std::string_view>()[error.row] = {};
    }
    return marked;
  }
  const Column* constant() const override { return inner_.constant(); }

 private:
  BoundExpression inner_;
};

absl::StatusOr<BoundExpression> BindColumn(const ExprNode& node, const Schema& schema) {
  if (const std::optional<size_t> index = schema.Find(node.name)) {
    return BoundExpression(schema.field(*index).type, std::make_shared<const ColumnNode>(*index));
  }
  const std::string nearest = schema.Nearest(node.name);
  return absl::InvalidArgumentError(fmt::format(
      "unknown column '{}'{}; the columns are {}", node.name,
      nearest.empty() ? "" : fmt::format(", did you mean '{}'?", nearest), schema.ToString()));
}

absl::StatusOr<BoundExpression> BindLiteral(const Literal& literal) {
  if (literal.unreadable) {
    return absl::InvalidArgumentError(fmt::format(
        "the {} literal '{}' is not one; write {}", literal.type.ToString(),
        std::get<std::string>(literal.value),
        literal.type.id == TypeId::kTimestamp ? "TimestampLit(\"2025-01-02T10:15:22Z\")"
        : literal.type.id == TypeId::kDate    ? "DateLit(\"2025-01-02\")"
                                              : "DecimalLit(\"12.30\"), with at most 38 digits"));
  }
  auto column = std::make_shared<Column>(literal.type, 1);
  if (std::holds_alternative<std::monostate>(literal.value)) {
    column->SetNull(0);
    return Constant(std::move(column));
  }
  switch (literal.type.id) {
    case TypeId::kBool:
      column->mutable_values<uint8_t>()[0] = std::get<bool>(literal.value);
      break;
    case TypeId::kInt32:
    case TypeId::kDate:
      column->mutable_values<int32_t>()[0] = static_cast<int32_t>(std::get<int64_t>(literal.value));
      break;
    case TypeId::kInt64:
    case TypeId::kTimestamp:
      column->mutable_values<int64_t>()[0] = std::get<int64_t>(literal.value);
      break;
    case TypeId::kDouble:
      column->mutable_values<double>()[0] = std::get<double>(literal.value);
      break;
    case TypeId::kDecimal:
      column->mutable_values<Int128>()[0] =
          ParseDecimal(std::get<std::string>(literal.value), 38, 0).value_or(0);
      break;
    case TypeId::kString:
    case TypeId::kBytes: {
      auto storage = std::make_shared<const std::string>(std::get<std::string>(literal.value));
      column->mutable_values<std::string_view>()[0] = *storage;
      column->AddStorage(std::move(storage));
      break;
    }
  }
  return Constant(std::move(column));
}

absl::StatusOr<BoundExpression> BindNode(const Expr& expr, const Schema& schema, int depth) {
  const ExprNode& node = expr.node();
  if (node.kind == ExprKind::kColumn) return BindColumn(node, schema);
  if (node.kind == ExprKind::kLiteral) return BindLiteral(node.literal);
  if (depth > kMaxDepth) {
    return absl::InvalidArgumentError(fmt::format(
        "an expression is nested more than {} deep; split it with a column in between", kMaxDepth));
  }
  const FunctionEntry* function = FindFunction(node.name);
  if (function == nullptr) {
    return absl::InvalidArgumentError(fmt::format("unknown function '{}'", node.name));
  }
  if (node.args.size() < function->min_args || node.args.size() > function->max_args) {
    return absl::InvalidArgumentError(
        fmt::format("{} has {} arguments; it takes {}{}", node.name, node.args.size(),
                    function->min_args, function->max_args == kAnyNumber ? " or more" : ""));
  }
  CallSite call{expr, {}};
  for (const Expr& arg : node.args) {
    absl::StatusOr<BoundExpression> bound = BindNode(arg, schema, depth + 1);
    if (!bound.ok()) return bound.status();
    call.args.push_back(*std::move(bound));
  }
  absl::StatusOr<BoundExpression> bound = function->bind(call);
  if (!bound.ok()) return bound.status();
  return Folded(*std::move(bound), call.args);
}

void CollectColumns(const ExprNode& node, std::vector<std::string>* names) {
  if (node.kind == ExprKind::kColumn &&
      std::find(names->begin(), names->end(), node.name) == names->end()) {
    names->push_back(node.name);
  }
  for (const Expr& arg : node.args) CollectColumns(arg.node(), names);
}

}  // namespace

const FunctionEntry* FindFunction(std::string_view name) {
  for (const FunctionEntry& entry : kFunctions) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

absl::Status BindError(const CallSite& call, std::string_view problem, std::string_view advice) {
  return absl::InvalidArgumentError(
      fmt::format("{}: {} {}; {}", call.expr.Name(), call.function(), problem, advice));
}

std::string ArgumentTypes(const CallSite& call) {
  std::string text;
  for (size_t i = 0; i < call.args.size(); ++i) {
    if (i > 0) text += i + 1 == call.args.size() ? " and " : ", ";
    text += call.type(i).ToString();
  }
  return text;
}

absl::StatusOr<BoundExpression> Bind(const Expr& expr, const Schema& schema) {
  absl::StatusOr<BoundExpression> bound = BindNode(expr, schema, 0);
  if (!bound.ok() || expr.node().kind != ExprKind::kCall) return bound;
  const DataType type = bound->type();
  return BoundExpression(type, std::make_shared<const RootNode>(*std::move(bound)));
}

std::vector<std::string> ReferencedColumns(const Expr& expr) {
  std::vector<std::string> names;
  CollectColumns(expr.node(), &names);
  return names;
}

Selection SelectTrue(const Column& condition, const Selection& rows) {
  const uint8_t* is_true = condition.values<uint8_t>();
  // Branch-free: writes every row's index and moves on only past those that are kept.
  std::vector<uint32_t> kept(rows.size() + 1);
  size_t count = 0;
  if (condition.has_nulls()) {
    ForEachRow(rows, [&](size_t row) {
      kept[count] = static_cast<uint32_t>(row);
      count += is_true[row] != 0 && !condition.IsNull(row);
    });
  } else {
    ForEachRow(rows, [&, to = kept.data()](size_t row) {
      to[count] = static_cast<uint32_t>(row);
      count += is_true[row] != 0;
    });
  }
  if (count == rows.size()) return rows;
  kept.resize(count);
  return Selection::Rows(std::move(kept));
}

}  // namespace tidemark
