#include "tidemark/operators/sinks/json_files_sink.h"

#include <utility>
#include <vector>

#include "tidemark/operators/formats/json_encoder.h"
#include "tidemark/operators/sinks/files_sink.h"

namespace tidemark {
namespace {

class JsonPartsWriter : public PartsWriter {
 public:
  JsonPartsWriter(BatchParts* parts, std::string below, int64_t max_part_bytes, Encoder* encoder)
      : parts_(parts),
        below_(std::move(below)),
        max_part_bytes_(max_part_bytes),
        encoder_(encoder) {}

  absl::Status Write(const RowBatch& rows) override {
    bytes_.clear();
    ends_.clear();
    absl::Status status = encoder_->Encode(rows, &bytes_, &ends_);
    size_t begin = 0;
    for (size_t i = 0; i < ends_.size() && status.ok(); begin = ends_[i++]) {
      status = WriteLine(std::string_view(bytes_).substr(begin, ends_[i] - begin));
    }
    return status;
  }

  absl::Status Finish() override {
    return part_ == nullptr ? absl::OkStatus() : parts_->End(std::exchange(part_, nullptr));
  }

 private:
  absl::Status WriteLine(std::string_view line) {
    absl::Status status = absl::OkStatus();
    if (part_ != nullptr && part_->file.bytes() >= max_part_bytes_) status = Finish();
    if (status.ok() && part_ == nullptr) {
      absl::StatusOr<OpenPart*> part = parts_->Begin(below_);
      if (!part.ok()) return part.status();
      part_ = *part;
    }
    if (status.ok()) status = part_->file.Append(line);
    if (status.ok()) status = part_->file.Append("\n");
    if (status.ok()) ++part_->part.rows;
    return status;
  }

  BatchParts* const parts_;
  const std::string below_;
  const int64_t max_part_bytes_;
  Encoder* const encoder_;
  std::string bytes_;         // the rows of one Write
  std::vector<size_t> ends_;  // of each in bytes_
  OpenPart* part_ = nullptr;
};

class JsonLines : public FileFormat {
 public:
  explicit JsonLines(int64_t max_part_bytes) : max_part_bytes_(max_part_bytes) {}

  absl::Status Open(const Schema& schema) override {
    absl::StatusOr<std::unique_ptr<Encoder>> encoder = MakeJsonEncoder({}, schema);
    if (!encoder.ok()) return encoder.status();
    encoder_ = *std::move(encoder);
    return absl::OkStatus();
  }
  std::string ending() const override { return "json"; }
  std::unique_ptr<PartsWriter> MakeWriter(BatchParts* parts, std::string below) override {
    return std::make_unique<JsonPartsWriter>(parts, std::move(below), max_part_bytes_,
                                             encoder_.get());
  }

 private:
  const int64_t max_part_bytes_;
  std::unique_ptr<Encoder> encoder_;
};

}  // namespace

std::unique_ptr<Sink> MakeJsonFilesSink(std::string folder, JsonFilesOptions options) {
  FilesSinkOptions files;
  files.kind = "JsonFiles";
  files.folder = std::move(folder);
  files.partition_by = std::move(options.partition_by);
  return MakeFilesSink(std::move(files), std::make_unique<JsonLines>(options.max_part_bytes));
}

}  // namespace tidemark
