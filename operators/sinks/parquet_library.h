#ifndef TIDEMARK_OPERATORS_SINKS_PARQUET_LIBRARY_H_
#define TIDEMARK_OPERATORS_SINKS_PARQUET_LIBRARY_H_

#include "absl/status/statusor.h"
#include "tidemark/operators/sinks/parquet_file.h"

namespace tidemark {

/// Loads libtidemark_parquet, where the program's rpath or the system finds it. It is loaded on
/// use and not linked: Arrow is 60 MB, and the Arrow of Python's wheels shows an OpenSSL and a
/// simdjson of its own to whoever is linked with it. InvalidArgument: it is not there.
absl::StatusOr<const ParquetLibrary*> LoadParquetLibrary();

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_PARQUET_LIBRARY_H_
