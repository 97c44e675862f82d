#ifndef TIDEMARK_TESTS_OPERATORS_AGGREGATES_CELLS_H_
#define TIDEMARK_TESTS_OPERATORS_AGGREGATES_CELLS_H_

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "tidemark/operators/aggregates/aggregation.h"
#include "tidemark/operators/rows/row_batch.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {

/// One value of a row, for tests: nothing is null; bool, int32, int64, date and timestamp are all
/// int64_t.
using Cell = std::variant<std::monostate, int64_t, double, Int128, std::string>;
using CellRow = std::vector<Cell>;

inline const Cell kNull{};

inline bool IsNull(const Cell& cell) { return std::holds_alternative<std::monostate>(cell); }

/// The order of groups: null first, NaN last, -0.0 and 0.0 the same.
inline int Compare(const Cell& a, const Cell& b) {
  if (IsNull(a) || IsNull(b)) return static_cast<int>(IsNull(b)) - static_cast<int>(IsNull(a));
  if (const double* x = std::get_if<double>(&a)) {
    const double y = std::get<double>(b);
    if (std::isnan(*x) || std::isnan(y)) {
      return static_cast<int>(std::isnan(*x)) - static_cast<int>(std::isnan(y));
    }
    return *x < y ? -1 : *x > y ? 1 : 0;
  }
  return a < b ? -1 : b < a ? 1 : 0;
}

struct CellRowLess {
  bool operator()(const CellRow& a, const CellRow& b) const {
    for (size_t i = 0; i < a.size(); ++i) {
      const int order = Compare(a[i], b[i]);
      if (order != 0) return order < 0;
    }
    return false;
  }
};

/// Bit for bit, so that doubles summed in another order differ and -0.0 is not 0.0; any NaN is any
/// other.
inline bool Identical(const Cell& a, const Cell& b) {
  if (a.index() != b.index()) return false;
  if (const double* x = std::get_if<double>(&a)) {
    const double y = std::get<double>(b);
    if (std::isnan(*x) || std::isnan(y)) return std::isnan(*x) && std::isnan(y);
    return std::bit_cast<uint64_t>(*x) == std::bit_cast<uint64_t>(y);
  }
  return a == b;
}

inline bool Identical(const std::vector<CellRow>& a, const std::vector<CellRow>& b) {
  const auto same = [](const Cell& x, const Cell& y) { return Identical(x, y); };
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [&](const CellRow& x, const CellRow& y) {
                      return std::equal(x.begin(), x.end(), y.begin(), y.end(), same);
                    });
}

inline std::string ToText(const Cell& cell) {
  std::string text;
  switch (cell.index()) {
    case 0:
      return "NULL";
    case 1:
      return std::to_string(std::get<int64_t>(cell));
    case 2:
      AppendDouble(std::get<double>(cell), &text);
      return text;
    case 3:
      AppendDecimal(std::get<Int128>(cell), 0, &text);
      return text;
    default:
      AppendBase64(std::get<std::string>(cell), &text);
      return "base64:" + text;
  }
}

inline std::string ToText(const CellRow& row) {
  std::string text;
  for (const Cell& cell : row) {
    if (&cell != &row.front()) text += '|';
    text += ToText(cell);
  }
  return text;
}

/// A column of these values, which die with it.
inline ColumnPtr MakeColumn(DataType type, const std::vector<Cell>& cells) {
  auto column = std::make_shared<Column>(type, cells.size());
  auto arena = std::make_shared<Arena>();
  for (size_t i = 0; i < cells.size(); ++i) {
    if (IsNull(cells[i])) {
      column->SetNull(i);
      // What is under a null must never matter.
      if (!type.is_text())
        std::memset(column->mutable_values<char>() + i * type.width(), 0xa5, type.width());
      continue;
    }
    switch (type.id) {
      case TypeId::kBool:
        column->mutable_values<uint8_t>()[i] = static_cast<uint8_t>(std::get<int64_t>(cells[i]));
        break;
      case TypeId::kInt32:
      case TypeId::kDate:
        column->mutable_values<int32_t>()[i] = static_cast<int32_t>(std::get<int64_t>(cells[i]));
        break;
      case TypeId::kInt64:
      case TypeId::kTimestamp:
        column->mutable_values<int64_t>()[i] = std::get<int64_t>(cells[i]);
        break;
      case TypeId::kDouble:
        column->mutable_values<double>()[i] = std::get<double>(cells[i]);
        break;
      case TypeId::kDecimal:
        column->mutable_values<Int128>()[i] = std::get<Int128>(cells[i]);
        break;
      case TypeId::kString:
      case TypeId::kBytes:
        column->mutable_values<std::string_view>()[i] =
            arena->Copy(std::get<std::string>(cells[i]));
        break;
    }
  }
  column->AddStorage(arena);
  return column;
}

inline Cell CellAt(const Column& column, size_t row) {
  if (column.IsNull(row)) return kNull;
  switch (column.type().id) {
    case TypeId::kBool:
      return int64_t{column.values<uint8_t>()[row]};
    case TypeId::kInt32:
    case TypeId::kDate:
      return int64_t{column.values<int32_t>()[row]};
    case TypeId::kInt64:
    case TypeId::kTimestamp:
      return column.values<int64_t>()[row];
    case TypeId::kDouble:
      return column.values<double>()[row];
    case TypeId::kDecimal:
      return column.values<Int128>()[row];
    case TypeId::kString:
    case TypeId::kBytes:
      return std::string(column.text(row));
  }
  return kNull;
}

inline RowBatch MakeBatch(const std::shared_ptr<const Schema>& schema,
                          const std::vector<CellRow>& rows) {
  std::vector<ColumnPtr> columns;
  for (size_t c = 0; c < schema->size(); ++c) {
    std::vector<Cell> cells;
    for (const CellRow& row : rows) cells.push_back(row[c]);
    columns.push_back(MakeColumn(schema->field(c).type, cells));
  }
  return RowBatch(schema, std::move(columns), rows.size());
}

/// All rows of a cursor.
inline absl::StatusOr<std::vector<CellRow>> ReadAll(std::unique_ptr<ResultCursor> cursor) {
  std::vector<CellRow> rows;
  while (true) {
    absl::StatusOr<const RowBatch*> batch = cursor->Next();
    if (!batch.ok()) return batch.status();
    if (*batch == nullptr) return rows;
    for (size_t i = 0; i < (*batch)->num_rows(); ++i) {
      CellRow row;
      for (const ColumnPtr& column : (*batch)->columns()) row.push_back(CellAt(*column, i));
      rows.push_back(std::move(row));
    }
  }
}

}  // namespace tidemark

#endif  // TIDEMARK_TESTS_OPERATORS_AGGREGATES_CELLS_H_
