#include "tidemark/operators/sinks/parquet_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

namespace tidemark {

absl::StatusOr<const ParquetLibrary*> LoadParquetLibrary() {
  // Local: what it brings along stays unseen by the rest of the program. Never unloaded.
  void* const library = dlopen(TIDEMARK_PARQUET_LIBRARY, RTLD_LAZY | RTLD_LOCAL);
  void* const symbol = library == nullptr ? nullptr : dlsym(library, "TidemarkParquetLibrary");
  if (symbol == nullptr) {
    return absl::InvalidArgumentError(
        fmt::format("Parquet files cannot be written: {}; Tidemark was built without Arrow (see "
                    "TIDEMARK_PARQUET in the README), or the library was moved away from where it "
                    "was installed",
                    dlerror()));
  }
  return reinterpret_cast<const ParquetLibrary* (*)()>(symbol)();
}

}  // namespace tidemark
