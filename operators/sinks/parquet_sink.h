#ifndef TIDEMARK_OPERATORS_SINKS_PARQUET_SINK_H_
#define TIDEMARK_OPERATORS_SINKS_PARQUET_SINK_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tidemark/operators/sinks/sink.h"

namespace tidemark {

struct ParquetOptions {
  std::vector<std::string> partition_by = {};  ///< columns whose values name the files' folders
  /// A file past this is followed by the next one; it may be larger by one row group.
  int64_t max_part_bytes = int64_t{128} << 20;
  int64_t max_row_group_rows = int64_t{1} << 20;
  int64_t max_row_group_bytes = int64_t{32} << 20;  ///< in memory, before encoding
};

/// Parquet files in `folder`, one folder a value of the partition columns, compressed with zstd.
/// Append mode only. Exactly once; names, commit, what a kill leaves and errors as files_sink.h
/// says; partition folders as files_partitions.h says. Rows in memory: 64 MiB, and a row group
/// more while it is written. Open also fails with InvalidArgument in another mode than append, and
/// if Parquet was not built in.
std::unique_ptr<Sink> MakeParquetSink(std::string folder, ParquetOptions options = {});

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_PARQUET_SINK_H_
