#ifndef TIDEMARK_TESTS_OPERATORS_ROWS_MAKE_BATCH_H_
#define TIDEMARK_TESTS_OPERATORS_ROWS_MAKE_BATCH_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "tidemark/operators/rows/row_batch.h"
#include "tidemark/operators/rows/types.h"

namespace tidemark::testing {

/// A cell of a row written by hand: null, a number for every type that holds integers (bool, date,
/// timestamp and unscaled decimals too), or text.
struct Null {};
using Cell = std::variant<Null, int, int64_t, double, Int128, std::string>;
using Row = std::vector<Cell>;

inline void SetCell(const Cell& cell, size_t row, Arena* arena, Column* column) {
  const auto integer = [&]() -> Int128 {
    if (const int* small = std::get_if<int>(&cell)) return *small;
    if (const int64_t* large = std::get_if<int64_t>(&cell)) return *large;
    return std::get<Int128>(cell);
  };
  if (std::holds_alternative<Null>(cell)) {
    if (!column->type().is_text()) {
      std::memset(column->mutable_values<char>() + row * column->type().width(), 0x5A,
                  column->type().width());
    }
    column->SetNull(row);
    return;
  }
  switch (column->type().id) {
    case TypeId::kBool:
      column->mutable_values<uint8_t>()[row] = static_cast<uint8_t>(integer());
      break;
    case TypeId::kInt32:
    case TypeId::kDate:
      column->mutable_values<int32_t>()[row] = static_cast<int32_t>(integer());
      break;
    case TypeId::kInt64:
    case TypeId::kTimestamp:
      column->mutable_values<int64_t>()[row] = static_cast<int64_t>(integer());
      break;
    case TypeId::kDouble:
      column->mutable_values<double>()[row] = std::get<double>(cell);
      break;
    case TypeId::kDecimal:
      column->mutable_values<Int128>()[row] = integer();
      break;
    case TypeId::kString:
    case TypeId::kBytes:
      column->mutable_values<std::string_view>()[row] = arena->Copy(std::get<std::string>(cell));
      break;
  }
}

/// A batch of these rows; text lives in an arena of its own.
inline RowBatch MakeBatch(std::shared_ptr<const Schema> schema, const std::vector<Row>& rows) {
  auto arena = std::make_shared<Arena>();
  std::vector<ColumnPtr> columns;
  for (size_t i = 0; i < schema->size(); ++i) {
    auto column = std::make_shared<Column>(schema->field(i).type, rows.size());
    for (size_t row = 0; row < rows.size(); ++row) {
      SetCell(rows[row].at(i), row, arena.get(), column.get());
    }
    column->AddStorage(arena);
    columns.push_back(std::move(column));
  }
  return RowBatch(std::move(schema), std::move(columns), rows.size());
}

inline RowBatch MakeBatch(const Schema& schema, const std::vector<Row>& rows) {
  return MakeBatch(std::make_shared<const Schema>(schema), rows);
}

}  // namespace tidemark::testing

#endif  // TIDEMARK_TESTS_OPERATORS_ROWS_MAKE_BATCH_H_
