#ifndef TIDEMARK_OPERATORS_ROWS_ROW_BATCH_H_
#define TIDEMARK_OPERATORS_ROWS_ROW_BATCH_H_

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "tidemark/operators/rows/column.h"
#include "tidemark/operators/rows/schema.h"

namespace tidemark {

struct RawRecords;

/// Which rows of a batch are meant: all of [0, n), or an ascending list of row indexes.
class Selection {
 public:
  static Selection All(size_t num_rows) { return Selection(num_rows); }
  static Selection Rows(std::vector<uint32_t> ascending) { return Selection(std::move(ascending)); }

  bool is_all() const { return all_; }
  size_t size() const { return all_ ? num_rows_ : rows_.size(); }
  bool empty() const { return size() == 0; }
  /// The index in the batch of the i-th selected row.
  uint32_t operator[](size_t i) const { return all_ ? static_cast<uint32_t>(i) : rows_[i]; }
  /// Calls fn(uint32_t row) for every selected row, ascending; the loop over all rows is free of
  /// look-ups.
  template <typename Fn>
  void ForEach(Fn&& fn) const {
    if (all_) {
      for (uint32_t row = 0; row < num_rows_; ++row) fn(row);
    } else {
      for (uint32_t row : rows_) fn(row);
    }
  }

 private:
  explicit Selection(size_t num_rows) : all_(true), num_rows_(num_rows) {}
  explicit Selection(std::vector<uint32_t> rows)
      : all_(false), num_rows_(0), rows_(std::move(rows)) {}

  bool all_;
  size_t num_rows_;
  std::vector<uint32_t> rows_;
};

/// What flows between operators: up to about 16,384 rows as columns, with a selection that filters
/// narrow (a filtered row stays where it is). Copying a batch copies pointers, not values.
/// Immutable once handed on, but for its selection.
class RowBatch {
 public:
  /// `columns[i]` has the type of schema's field i and `num_rows` values. `schema` is shared by all
  /// batches of one stage.
  RowBatch(std::shared_ptr<const Schema> schema, std::vector<ColumnPtr> columns, size_t num_rows)
      : schema_(std::move(schema)),
        columns_(std::move(columns)),
        num_rows_(num_rows),
        selection_(Selection::All(num_rows)) {}

  const Schema& schema() const { return *schema_; }
  const std::shared_ptr<const Schema>& schema_ptr() const { return schema_; }
  /// Rows stored, selected or not.
  size_t num_rows() const { return num_rows_; }
  const Selection& selection() const { return selection_; }
  void set_selection(Selection selection) { selection_ = std::move(selection); }

  const Column& column(size_t i) const { return *columns_[i]; }
  const ColumnPtr& column_ptr(size_t i) const { return columns_[i]; }
  const std::vector<ColumnPtr>& columns() const { return columns_; }

  /// The records that the rows were decoded from, if they come straight from a source: `records()`
  /// outlives the batch's way through the transforms, and row i came from
  /// `records()->records[source_record(i)]`. Null otherwise.
  const RawRecords* records() const { return records_; }
  uint32_t source_record(size_t row) const { return (*source_records_)[row]; }
  void set_origin(const RawRecords* records,
                  std::shared_ptr<const std::vector<uint32_t>> source_records) {
    records_ = records;
    source_records_ = std::move(source_records);
  }
  /// The same rows and origin with other columns (select, with-column).
  RowBatch WithColumns(std::shared_ptr<const Schema> schema, std::vector<ColumnPtr> columns) const {
    RowBatch result = *this;
    result.schema_ = std::move(schema);
    result.columns_ = std::move(columns);
    return result;
  }
  /// Bytes of the columns (not of the text behind views).
  size_t memory_bytes() const;

 private:
  std::shared_ptr<const Schema> schema_;
  std::vector<ColumnPtr> columns_;
  size_t num_rows_;
  Selection selection_;
  const RawRecords* records_ = nullptr;
  std::shared_ptr<const std::vector<uint32_t>> source_records_;
};

/// A copy of the selected rows only, text included, that depends on no other memory: for rows kept
/// past their chunk.
RowBatch Compact(const RowBatch& batch);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_ROWS_ROW_BATCH_H_
