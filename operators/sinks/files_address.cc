#include "tidemark/operators/sinks/files_address.h"

#include <fmt/format.h>

namespace tidemark {

absl::StatusOr<FilesAddress> ParseFilesAddress(std::string_view text) {
  constexpr std::string_view kPartitionBy = "partition_by=";
  FilesAddress address;
  const size_t question = text.find('?');
  address.folder = text.substr(0, question);
  if (address.folder.empty()) {
    return absl::InvalidArgumentError(
        "no folder is named; write DIR or DIR?partition_by=COLUMN,...");
  }
  if (question == std::string_view::npos) return address;
  std::string_view option = text.substr(question + 1);
  if (!option.starts_with(kPartitionBy) || option.find('&') != std::string_view::npos) {
    return absl::InvalidArgumentError(fmt::format(
        "'{}' is no option of a folder; there is one, partition_by=COLUMN,...", option));
  }
  std::string_view columns = option.substr(kPartitionBy.size());
  while (true) {
    const size_t comma = columns.find(',');
    address.partition_by.emplace_back(columns.substr(0, comma));
    if (address.partition_by.back().empty()) {
      return absl::InvalidArgumentError(fmt::format(
          "'{}' has an empty column name; write partition_by=COLUMN or partition_by=A,B", option));
    }
    if (comma == std::string_view::npos) return address;
    columns.remove_prefix(comma + 1);
  }
}

}  // namespace tidemark
