#include "tidemark/operators/sinks/parquet_sink.h"

#include <utility>

#include "tidemark/operators/sinks/files_sink.h"
#include "tidemark/operators/sinks/parquet_file.h"
#include "tidemark/operators/sinks/parquet_library.h"

namespace tidemark {
namespace {

class ParquetPartsWriter : public PartsWriter {
 public:
  ParquetPartsWriter(const ParquetLibrary& library, const Schema& schema,
                     const ParquetOptions& options, BatchParts* parts, std::string below)
      : library_(library),
        schema_(schema),
        options_(options),
        parts_(parts),
        below_(std::move(below)) {
    for (size_t i = 0; i < schema.size(); ++i) {
      row_bytes_ += static_cast<int64_t>(schema.field(i).type.width());
      if (schema.field(i).type.is_text()) text_columns_.push_back(i);
    }
  }

  absl::Status Write(const RowBatch& rows) override {
    const size_t count = rows.selection().size();
    absl::Status status = absl::OkStatus();
    for (size_t first = 0; first < count && status.ok();) {
      const size_t end = TakeRows(rows, first);
      if (file_ == nullptr) status = BeginPart();
      if (status.ok()) status = file_->Append(rows, first, end - first);
      if (status.ok() && is_full()) status = Flush();
      first = end;
    }
    return status;
  }

  size_t buffered_bytes() const override { return static_cast<size_t>(group_bytes_); }

  absl::Status Flush() override {
    part_->part.rows += std::exchange(group_rows_, 0);
    group_bytes_ = 0;
    absl::Status status = file_->EndRowGroup();
    if (status.ok() && part_->file.bytes() >= options_.max_part_bytes) status = Finish();
    return status;
  }

  absl::Status Finish() override {
    if (file_ == nullptr) return absl::OkStatus();
    part_->part.rows += std::exchange(group_rows_, 0);
    group_bytes_ = 0;
    absl::Status status = file_->Finish();
    file_.reset();
    return status.ok() ? parts_->End(part_) : status;
  }

 private:
  bool is_full() const {
    return group_rows_ >= options_.max_row_group_rows ||
           group_bytes_ >= options_.max_row_group_bytes;
  }

  // Counts the rows from the `first` selected one on into the row group until it is full, and
  // returns the end of those.
  size_t TakeRows(const RowBatch& rows, size_t first) {
    const Selection& selected = rows.selection();
    while (first < selected.size() && !is_full()) {
      const uint32_t row = selected[first++];
      ++group_rows_;
      group_bytes_ += row_bytes_;
      for (size_t column : text_columns_) {
        group_bytes_ += static_cast<int64_t>(rows.column(column).text(row).size());
      }
    }
    return first;
  }

  absl::Status BeginPart() {
    absl::StatusOr<OpenPart*> part = parts_->Begin(below_);
    if (!part.ok()) return part.status();
    part_ = *part;
    absl::StatusOr<std::unique_ptr<ParquetFile>> file = library_.NewFile(
        schema_, [out = &part_->file](std::string_view bytes) { return out->Append(bytes); });
    if (!file.ok()) return file.status();
    file_ = *std::move(file);
    return absl::OkStatus();
  }

  const ParquetLibrary& library_;
  const Schema& schema_;
  const ParquetOptions& options_;
  BatchParts* const parts_;
  const std::string below_;
  std::vector<size_t> text_columns_;
  int64_t row_bytes_ = 0;  // of a row in memory, without its text
  OpenPart* part_ = nullptr;
  std::unique_ptr<ParquetFile> file_;  // of part_
  int64_t group_rows_ = 0;             // in the open row group
  int64_t group_bytes_ = 0;
};

class ParquetFormat : public FileFormat {
 public:
  explicit ParquetFormat(ParquetOptions options) : options_(std::move(options)) {}

  absl::Status Open(const Schema& schema) override {
    absl::StatusOr<const ParquetLibrary*> library = LoadParquetLibrary();
    if (!library.ok()) return library.status();
    library_ = *library;
    schema_ = schema;
    return absl::OkStatus();
  }
  std::string ending() const override { return "parquet"; }
  std::unique_ptr<PartsWriter> MakeWriter(BatchParts* parts, std::string below) override {
    return std::make_unique<ParquetPartsWriter>(*library_, schema_, options_, parts,
                                                std::move(below));
  }

 private:
  const ParquetOptions options_;
  const ParquetLibrary* library_ = nullptr;  // set once open
  Schema schema_;
};

}  // namespace

std::unique_ptr<Sink> MakeParquetSink(std::string folder, ParquetOptions options) {
  FilesSinkOptions files;
  files.kind = "Parquet";
  files.folder = std::move(folder);
  files.partition_by = options.partition_by;
  files.append_only = true;
  return MakeFilesSink(std::move(files), std::make_unique<ParquetFormat>(std::move(options)));
}

}  // namespace tidemark
