#ifndef TIDEMARK_OPERATORS_SINKS_FILES_PARTITIONS_H_
#define TIDEMARK_OPERATORS_SINKS_FILES_PARTITIONS_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "tidemark/operators/rows/row_batch.h"

namespace tidemark {

/// The folder of each row, by the values of some of its columns, in Hive's spelling:
/// `date=2025-01-02/shop=7`. A value is its text (semantics, section 4), null is
/// `__HIVE_DEFAULT_PARTITION__`, an empty string is `shop=`; what a path or a reader of such paths
/// takes for something else (`/ % = : ...`, control characters) is percent-encoded. Those columns
/// are left out of the files. No columns: one folder, named "". Immutable.
class FilesPartitions {
 public:
  FilesPartitions() = default;
  /// InvalidArgument: a column that is not there or is named twice, or no column left for the
  /// files.
  static absl::StatusOr<FilesPartitions> Make(const Schema& rows,
                                              const std::vector<std::string>& columns);

  bool empty() const { return columns_.empty(); }
  /// Of the rows' schema, in the order of the folders.
  const std::vector<size_t>& columns() const { return columns_; }
  /// The columns of the files.
  const Schema& file_schema() const { return *file_schema_; }
  /// `date=`: what the names of the folders at this depth begin with.
  const std::string& prefix(size_t depth) const { return prefixes_[depth]; }

  /// The same rows without the partition columns.
  RowBatch FileRows(const RowBatch& rows) const;
  /// Appends bytes that are the same for two rows exactly if their folders are.
  void AppendKey(const RowBatch& rows, uint32_t row, std::string* key) const;
  /// The folder of a row, without a slash at its end. InvalidArgument: a value too long for a name.
  absl::StatusOr<std::string> FolderOf(const RowBatch& rows, uint32_t row) const;

 private:
  std::vector<size_t> columns_;
  std::vector<size_t> file_columns_;
  std::vector<std::string> prefixes_;
  std::shared_ptr<const Schema> file_schema_;
};

/// `text` as a part of a path that Hive, Spark, pyarrow and DuckDB read back as it was.
std::string PercentEncoded(std::string_view text);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_FILES_PARTITIONS_H_
