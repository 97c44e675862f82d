#include "tidemark/operators/rows/row_batch.h"

namespace tidemark {
namespace {

template <typename T>
void CopyValues(const Column& from, const Selection& rows, Column* to) {
  const T* source = from.values<T>();
  T* target = to->mutable_values<T>();
  size_t next = 0;
  rows.ForEach([&](uint32_t row) { target[next++] = source[row]; });
}

void CopyTexts(const Column& from, const Selection& rows, Arena* arena, Column* to) {
  const std::string_view* source = from.values<std::string_view>();
  std::string_view* target = to->mutable_values<std::string_view>();
  size_t next = 0;
  rows.ForEach([&](uint32_t row) {
    target[next++] = from.IsNull(row) ? std::string_view() : arena->Copy(source[row]);
  });
}

}  // namespace

size_t RowBatch::memory_bytes() const {
  size_t bytes = 0;
  for (const ColumnPtr& column : columns_) bytes += column->memory_bytes();
  return bytes;
}

RowBatch Compact(const RowBatch& batch) {
  const Selection& rows = batch.selection();
  std::shared_ptr<Arena> arena;
  std::vector<ColumnPtr> columns;
  for (const ColumnPtr& column : batch.columns()) {
    auto copy = std::make_shared<Column>(column->type(), rows.size());
    switch (column->type().width()) {
      case 1:
        CopyValues<uint8_t>(*column, rows, copy.get());
        break;
      case 4:
        CopyValues<int32_t>(*column, rows, copy.get());
        break;
      case 8:
        CopyValues<int64_t>(*column, rows, copy.get());
        break;
      default:
        if (column->type().is_text()) {
          if (arena == nullptr) arena = std::make_shared<Arena>();
          CopyTexts(*column, rows, arena.get(), copy.get());
          copy->AddStorage(arena);
        } else {
          CopyValues<Int128>(*column, rows, copy.get());
        }
    }
    if (column->has_nulls()) {
      size_t next = 0;
      rows.ForEach([&](uint32_t row) {
        if (column->IsNull(row)) copy->SetNull(next);
        ++next;
      });
    }
    columns.push_back(std::move(copy));
  }
  return RowBatch(batch.schema_ptr(), std::move(columns), rows.size());
}

}  // namespace tidemark
