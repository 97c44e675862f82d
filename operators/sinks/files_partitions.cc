#include "tidemark/operators/sinks/files_partitions.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

constexpr std::string_view kNull = "__HIVE_DEFAULT_PARTITION__";
constexpr size_t kMaxNameBytes = 255;  // of a file or folder, on every file system we know

// What Hive and Spark encode in partition values, and what is not text.
bool MustEncode(unsigned char byte) {
  constexpr std::string_view kSpecial = "\"#%'*/:=?\\{[]^\x7F";
  return byte < 0x20 || kSpecial.find(static_cast<char>(byte)) != std::string_view::npos;
}

std::string FolderName(const std::string& prefix, const Column& column, uint32_t row) {
  if (column.IsNull(row)) return prefix + std::string(kNull);
  std::string text;
  if (column.type().id == TypeId::kString) {
    text = column.text(row);
  } else {
    AppendValueText(column, row, &text);
  }
  std::string encoded = PercentEncoded(text);
  // The word for null as a value: spelled so that it stays one.
  if (encoded == kNull) encoded.replace(0, 1, "%5F");
  return prefix + encoded;
}

}  // namespace

std::string PercentEncoded(std::string_view text) {
  const bool is_utf8 = IsValidUtf8(text);
  std::string encoded;
  for (const char character : text) {
    const auto byte = static_cast<unsigned char>(character);
    if (MustEncode(byte) || (byte >= 0x80 && !is_utf8)) {
      encoded += fmt::format("%{:02X}", byte);
    } else {
      encoded += character;
    }
  }
  return encoded;
}

absl::StatusOr<FilesPartitions> FilesPartitions::Make(const Schema& rows,
                                                      const std::vector<std::string>& columns) {
  FilesPartitions result;
  for (const std::string& name : columns) {
    const std::optional<size_t> index = rows.Find(name);
    if (!index.has_value()) {
      const std::string nearest = rows.Nearest(name);
      return absl::InvalidArgumentError(fmt::format(
          "partition_by names the column '{}', which the result has not; it has {}{}", name,
          rows.ToString(), nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest)));
    }
    if (std::ranges::count(result.columns_, *index) > 0) {
      return absl::InvalidArgumentError(
          fmt::format("partition_by names the column '{}' twice; name it once", name));
    }
    result.columns_.push_back(*index);
    result.prefixes_.push_back(PercentEncoded(name) + "=");
  }
  Schema file_schema;
  for (size_t i = 0; i < rows.size(); ++i) {
    if (std::ranges::count(result.columns_, i) > 0) continue;
    result.file_columns_.push_back(i);
    file_schema.Add(rows.field(i));
  }
  if (result.file_columns_.empty()) {
    return absl::InvalidArgumentError(
        fmt::format("partition_by names every column of the result {}, and none is left for the "
                    "files; partition by fewer",
                    rows.ToString()));
  }
  result.file_schema_ = std::make_shared<const Schema>(std::move(file_schema));
  return result;
}

RowBatch FilesPartitions::FileRows(const RowBatch& rows) const {
  if (empty()) return rows;
  std::vector<ColumnPtr> columns;
  for (size_t i : file_columns_) columns.push_back(rows.column_ptr(i));
  return rows.WithColumns(file_schema_, std::move(columns));
}

void FilesPartitions::AppendKey(const RowBatch& rows, uint32_t row, std::string* key) const {
  for (size_t i : columns_) {
    const Column& column = rows.column(i);
    if (column.IsNull(row)) {
      key->push_back('\0');
      continue;
    }
    key->push_back('\1');
    if (column.type().is_text()) {
      const std::string_view text = column.text(row);
      const size_t size = text.size();
      key->append(reinterpret_cast<const char*>(&size), sizeof(size));
      key->append(text);
    } else {
      const size_t width = column.type().width();
      key->append(column.values<char>() + row * width, width);
    }
  }
}

absl::StatusOr<std::string> FilesPartitions::FolderOf(const RowBatch& rows, uint32_t row) const {
  std::string folder;
  for (size_t depth = 0; depth < columns_.size(); ++depth) {
    const std::string name = FolderName(prefixes_[depth], rows.column(columns_[depth]), row);
    if (name.size() > kMaxNameBytes) {
      return absl::InvalidArgumentError(fmt::format(
          "a value of the partition column '{}' needs a folder name of {} bytes, and {} are the "
          "most there can be: '{}...'; partition by a column of shorter values",
          rows.schema().field(columns_[depth]).name, name.size(), kMaxNameBytes,
          name.substr(0, 60)));
    }
    if (depth > 0) folder += '/';
    folder += name;
  }
  return folder;
}

}  // namespace tidemark
