#ifndef TIDEMARK_OPERATORS_SINKS_MYSQL_ROWS_H_
#define TIDEMARK_OPERATORS_SINKS_MYSQL_ROWS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "tidemark/operators/clients/mysql_client.h"
#include "tidemark/operators/rows/row_batch.h"

namespace tidemark {

/// The rows of one batch that a MySQL sink writes: one a key, the last that came, in the order of
/// the key. Add all batches, Settle, then read. Keeps the columns of what it is given alive; one
/// thread.
class MySqlRows {
 public:
  /// Which columns of the rows are what; indexes into their schema.
  struct Layout {
    std::vector<size_t> columns;  ///< written
    std::vector<size_t> key;      ///< in the order of the table's index
    std::optional<size_t> delete_when;
    bool skip_null_keys = false;
  };
  struct Row {
    uint32_t batch;
    uint32_t row;
  };

  explicit MySqlRows(const Layout& layout) : layout_(layout) {}

  /// InvalidArgument, naming the row: a null in the key, unless those are skipped.
  absl::Status Add(const RowBatch& batch);
  /// InvalidArgument, naming the row: a value that no MySQL column holds (NaN, infinity, a time
  /// outside the years 1000 to 9999).
  absl::Status Settle();

  const std::vector<Row>& writes() const { return writes_; }
  const std::vector<Row>& deletes() const { return deletes_; }
  int64_t superseded_rows() const { return superseded_rows_; }
  int64_t skipped_rows() const { return skipped_rows_; }

  /// `store_id=7, day=2025-01-02`: the row's key, for messages.
  std::string NameOf(Row row) const;
  /// At most so many bytes go into the request of ExecuteArray for this row.
  size_t ArrayBytes(Row row, const std::vector<size_t>& columns) const;
  /// Sets `parameters[i]` to the values of `columns[i]` in rows [begin, end). They are valid until
  /// the next call.
  void FillParameters(const Row* begin, const Row* end, const std::vector<size_t>& columns,
                      std::vector<MySqlParameter>* parameters);
  /// Appends the value as a literal.
  void AppendLiteral(Row row, size_t column, std::string* sql) const;

 private:
  struct Entry {
    uint64_t prefix;  // the first 8 bytes of the key, big-endian
    uint64_t key_at;
    uint32_t key_size;
    Row row;
    bool remove;
  };

  const Column& column(Row row, size_t i) const { return batches_[row.batch].column(i); }
  bool KeyLess(const Entry& a, const Entry& b) const;
  bool SameKey(const Entry& a, const Entry& b) const;
  absl::Status CheckValues(size_t column) const;
  void FillTexts(const Row* begin, const Row* end, size_t column, std::string* buffer,
                 MySqlParameter* parameter) const;

  const Layout layout_;
  std::vector<RowBatch> batches_;
  std::string key_bytes_;  // memcmp order is the index's order
  std::vector<Entry> entries_;
  std::vector<Row> writes_;
  std::vector<Row> deletes_;
  int64_t superseded_rows_ = 0;
  int64_t skipped_rows_ = 0;
  std::vector<std::string> text_buffers_;  // one a parameter, for values that are sent as text
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_MYSQL_ROWS_H_
