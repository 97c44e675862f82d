#ifndef TIDEMARK_OPERATORS_SINKS_FILES_ADDRESS_H_
#define TIDEMARK_OPERATORS_SINKS_FILES_ADDRESS_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace tidemark {

/// Where a file sink writes, as a person spells it: `DIR` or `DIR?partition_by=a,b`.
struct FilesAddress {
  std::string folder;
  std::vector<std::string> partition_by;
};

/// InvalidArgument: no folder, an unknown or repeated option, an empty column name.
absl::StatusOr<FilesAddress> ParseFilesAddress(std::string_view text);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_FILES_ADDRESS_H_
