#ifndef TIDEMARK_TESTS_OPERATORS_EXPRESSIONS_EVALUATE_H_
#define TIDEMARK_TESTS_OPERATORS_EXPRESSIONS_EVALUATE_H_

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "tidemark/operators/expressions/bound_expression.h"
#include "tidemark/operators/expressions/functions.h"
#include "tidemark/operators/rows/row_batch.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {

/// Builds a batch column by column, for tests. T is what a Column of the type holds, or
/// std::string.
class TestRows {
 public:
  template <typename T>
  TestRows& Add(std::string name, DataType type, const std::vector<std::optional<T>>& values) {
    std::shared_ptr<Column> column = std::make_shared<Column>(type, values.size());
    auto storage = std::make_shared<std::vector<std::string>>(values.size());
    for (size_t i = 0; i < values.size(); ++i) {
      if (!values[i]) {
        column->SetNull(i);
        // What lies under a null must not matter: make it something that overflows.
        if constexpr (!std::is_same_v<T, std::string>) {
          std::memset(&column->mutable_values<T>()[i], 0x7F, sizeof(T));
        }
      } else if constexpr (std::is_same_v<T, std::string>) {
        (*storage)[i] = *values[i];
        column->mutable_values<std::string_view>()[i] = (*storage)[i];
      } else {
        column->mutable_values<T>()[i] = *values[i];
      }
    }
    column->AddStorage(storage);
    schema_.Add(std::move(name), type);
    columns_.push_back(std::move(column));
    num_rows_ = values.size();
    return *this;
  }
  TestRows& Bools(std::string name, const std::vector<std::optional<uint8_t>>& values) {
    return Add(std::move(name), DataType::Bool(), values);
  }
  TestRows& Int32s(std::string name, const std::vector<std::optional<int32_t>>& values) {
    return Add(std::move(name), DataType::Int32(), values);
  }
  TestRows& Int64s(std::string name, const std::vector<std::optional<int64_t>>& values) {
    return Add(std::move(name), DataType::Int64(), values);
  }
  TestRows& Doubles(std::string name, const std::vector<std::optional<double>>& values) {
    return Add(std::move(name), DataType::Double(), values);
  }
  TestRows& Strings(std::string name, const std::vector<std::optional<std::string>>& values) {
    return Add(std::move(name), DataType::String(), values);
  }
  TestRows& Timestamps(std::string name, const std::vector<std::optional<int64_t>>& values) {
    return Add(std::move(name), DataType::Timestamp(), values);
  }

  const Schema& schema() const { return schema_; }
  RowBatch batch() const {
    return RowBatch(std::make_shared<const Schema>(schema_), columns_, num_rows_);
  }

 private:
  Schema schema_;
  std::vector<ColumnPtr> columns_;
  size_t num_rows_ = 1;
};

/// The text of each selected row's value: `null` if it is null, `!why` if the expression failed.
inline std::vector<std::string> Texts(const Column& column, const Selection& rows,
                                      const std::vector<ExpressionError>& errors) {
  std::vector<std::string> texts;
  rows.ForEach([&](uint32_t row) {
    std::string text;
    if (column.IsNull(row)) {
      text = "null";
    } else {
      AppendValueText(column, row, &text);
    }
    for (const ExpressionError& error : errors) {
      if (error.row == row)
        text = (column.IsNull(row) ? "!" : "not null!") + std::string(error.what);
    }
    texts.push_back(text);
  });
  return texts;
}

inline std::vector<std::string> Evaluate(const Expr& expr, const TestRows& rows,
                                         const Selection& selection) {
  const absl::StatusOr<BoundExpression> bound = Bind(expr, rows.schema());
  if (!bound.ok()) return {std::string(bound.status().message())};
  std::vector<ExpressionError> errors;
  const ColumnPtr column = bound->Evaluate(rows.batch(), selection, &errors);
  EXPECT_EQ(column->size(), rows.batch().num_rows());
  EXPECT_EQ(column->type(), bound->type());
  return Texts(*column, selection, errors);
}

inline std::vector<std::string> Evaluate(const Expr& expr, const TestRows& rows) {
  return Evaluate(expr, rows, rows.batch().selection());
}

/// The one value of an expression of literals (`!why` if it fails).
inline std::string Value(const Expr& expr) { return Evaluate(expr, TestRows())[0]; }

/// The type of an expression, or the message of Bind.
inline std::string TypeOf(const Expr& expr, const Schema& schema = Schema()) {
  const absl::StatusOr<BoundExpression> bound = Bind(expr, schema);
  return bound.ok() ? bound->type().ToString() : std::string(bound.status().message());
}

}  // namespace tidemark

#endif  // TIDEMARK_TESTS_OPERATORS_EXPRESSIONS_EVALUATE_H_
