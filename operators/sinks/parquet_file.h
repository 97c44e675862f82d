#ifndef TIDEMARK_OPERATORS_SINKS_PARQUET_FILE_H_
#define TIDEMARK_OPERATORS_SINKS_PARQUET_FILE_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "tidemark/operators/rows/row_batch.h"

namespace tidemark {

// What libtidemark_parquet gives to the program that loads it (parquet_library.h). Neither side
// sees the other but through these classes; only parquet_file.cc, which that library is made of,
// sees Arrow.

/// One Parquet file being written. One thread. Errors: what `write` failed with;
/// ResourceExhausted without memory; else Internal. After an error it can only be destroyed.
class ParquetFile {
 public:
  virtual ~ParquetFile() = default;
  /// Copies the selected rows [first, first + count) into the open row group.
  virtual absl::Status Append(const RowBatch& rows, size_t first, size_t count) = 0;
  /// Writes the open row group; none if it has no rows.
  virtual absl::Status EndRowGroup() = 0;
  /// Writes the open row group and the file's end.
  virtual absl::Status Finish() = 0;
};

/// Takes the file's next bytes.
using WriteBytes = std::function<absl::Status(std::string_view)>;

/// Thread-safe, lives as long as the process.
class ParquetLibrary {
 public:
  virtual ~ParquetLibrary() = default;
  /// A file of these columns, compressed with zstd: bool, int32, int64, double, decimal(p,s),
  /// string (UTF-8), bytes, date, timestamp (microseconds, UTC); each may be null.
  virtual absl::StatusOr<std::unique_ptr<ParquetFile>> NewFile(const Schema& schema,
                                                               WriteBytes write) const = 0;
};

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_PARQUET_FILE_H_
