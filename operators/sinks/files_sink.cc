#include "tidemark/operators/sinks/files_sink.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "tidemark/operators/rows/text.h"
#include "tidemark/state/crash_point.h"

namespace tidemark {
namespace {

constexpr std::string_view kSuccess = "_SUCCESS";

std::string PartitionByText(const std::vector<std::string>& columns) {
  std::string text;
  for (const std::string& column : columns) {
    text += text.empty() ? "[" : ", ";
    AppendJsonString(column, &text);
  }
  return text.empty() ? text : text + "]";
}

class FilesSink : public Sink {
 public:
  FilesSink(FilesSinkOptions options, std::unique_ptr<FileFormat> format)
      : options_(std::move(options)),
        folder_(options_.folder),
        manifests_(folder_ + "/_tidemark"),
        partition_by_(PartitionByText(options_.partition_by)),
        format_(std::move(format)) {}

  ~FilesSink() override {
    if (lock_fd_ >= 0) close(lock_fd_);
  }

  std::string description() const override { return fmt::format("{}[{}]", options_.kind, folder_); }
  bool exactly_once() const override { return true; }

  absl::Status Open(const SinkContext& context) override {
    context_ = context;
    if (options_.append_only && context.mode != OutputMode::kAppend) {
      return absl::InvalidArgumentError(fmt::format(
          "{} takes rows in append mode only: a row in a file is never changed; use append mode "
          "(with a watermark, if the query groups), or a sink that updates, such as a table",
          description()));
    }
    absl::StatusOr<FilesPartitions> partitions =
        FilesPartitions::Make(context.schema, options_.partition_by);
    if (!partitions.ok()) return partitions.status();
    partitions_ = *std::move(partitions);
    absl::Status status = format_->Open(partitions_.file_schema());
    if (status.ok()) status = MakeFolder(manifests_);
    // What is read here must not be lost by a crash of the machine later.
    if (status.ok()) status = SyncFolder(manifests_);
    if (status.ok()) status = Lock();
    if (status.ok()) status = ReadNewestManifest();
    // What a killed process left goes with the next batch: only then is it known that no manifests
    // were lost, whose parts would look the same.
    if (status.ok()) unpublished_ = true;
    if (status.ok()) status = RemoveFile(PathOf(kSuccess));
    // Also shows now, not at the first batch, that the folder cannot be written.
    if (status.ok()) status = DurableFile::Create(manifests_, "open").status();
    return status;
  }

  absl::StatusOr<std::optional<SinkMarker>> ReadMarker() override { return marker(); }

  absl::Status WriteMarker(const SinkMarker& wanted) override {
    const absl::StatusOr<bool> holds =
        HoldsBatch(marker(), {wanted.batch_id, wanted.epoch, wanted.plan_hash}, description());
    if (!holds.ok()) return holds.status();
    if (*holds) return absl::OkStatus();
    absl::Status status = RemoveBatchesFrom(wanted.batch_id + 1);
    if (!status.ok()) return status;
    // After a rewind the marked batch may still be here: its parts stay its own.
    const bool here = newest_.has_value() && newest_->marker.batch_id == wanted.batch_id;
    return WriteManifest({wanted, partition_by_, here ? newest_->parts : std::vector<FilePart>()});
  }

  absl::StatusOr<SinkMarker> Commit(const SinkBatch& batch, RowStream& rows) override {
    const absl::StatusOr<bool> holds = HoldsBatch(marker(), batch, description());
    if (!holds.ok()) return holds.status();
    if (*holds) return newest_->marker;
    absl::Status status = RemoveBatchesFrom(batch.batch_id);
    if (status.ok() && unpublished_) status = RemoveFailedBatch(batch.batch_id);
    if (!status.ok()) return status;

    unpublished_ = true;
    BatchParts parts(folder_, batch.batch_id, context_.query_id, format_->ending());
    status = WriteFilesBatch(partitions_, options_.limits, format_.get(), &parts, &rows);
    if (!status.ok()) return status;
    absl::StatusOr<std::vector<FilePart>> published = parts.Publish();
    if (!published.ok()) return published.status();
    status = WriteManifest({MarkerOf(context_, batch, rows), partition_by_, *std::move(published)});
    if (!status.ok()) return status;
    unpublished_ = false;
    return newest_->marker;
  }

  absl::Status Finish() override {
    absl::StatusOr<DurableFile> file = DurableFile::Create(folder_, std::string(kSuccess));
    if (!file.ok()) return file.status();
    absl::Status status = file->Sync();
    if (status.ok()) status = file->Publish();
    return status.ok() ? SyncFolder(folder_) : status;
  }

 private:
  std::string PathOf(std::string_view name) const { return fmt::format("{}/{}", folder_, name); }
  std::string ManifestPath(int64_t batch_id) const {
    return fmt::format("{}/{}", manifests_, ManifestName(batch_id));
  }

  std::optional<SinkMarker> marker() const {
    return newest_.has_value() ? std::optional(newest_->marker) : std::nullopt;
  }

  // Two copies of one checkpoint would write files of the same names.
  absl::Status Lock() {
    if (lock_fd_ >= 0) return absl::OkStatus();
    const int fd = open(manifests_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return FileError(errno, "cannot open", manifests_);
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
      lock_fd_ = fd;
      return absl::OkStatus();
    }
    const int error = errno;
    close(fd);
    if (error != EWOULDBLOCK) return FileError(error, "cannot lock", manifests_);
    return absl::FailedPreconditionError(
        fmt::format("the folder '{}' is being written by another process; stop that one, or give "
                    "another folder and another checkpoint",
                    folder_));
  }

  // Sets newest_ to the manifest of the highest batch.
  absl::Status ReadNewestManifest() {
    const absl::StatusOr<std::vector<std::string>> names = ListFolder(manifests_);
    if (!names.ok()) return names.status();
    std::optional<int64_t> newest;
    for (const std::string& name : *names) {
      const std::optional<int64_t> batch_id = ManifestBatch(name);
      if (batch_id.has_value()) newest = std::max(newest.value_or(*batch_id), *batch_id);
    }
    if (!newest.has_value()) {
      newest_.reset();
      return absl::OkStatus();
    }
    const std::string path = ManifestPath(*newest);
    const absl::StatusOr<std::string> text = ReadSmallFile(path);
    if (!text.ok()) return text.status();
    newest_ = ParseManifest(*text, context_.sink);
    if (!newest_.has_value() || newest_->marker.batch_id != *newest) {
      newest_.reset();
      return absl::FailedPreconditionError(fmt::format(
          "the manifest '{}' is damaged: it is the record of what batch {} wrote; restore it, or "
          "start with a new folder and a new checkpoint",
          path, *newest));
    }
    const FilesManifest found = *newest_;
    const SinkMarker& marker = found.marker;
    newest_.reset();
    if (marker.query_id != context_.query_id || marker.sink != context_.sink) {
      return absl::FailedPreconditionError(fmt::format(
          "the folder '{}' holds the results of another query: its manifest '{}' names query {}, "
          "this is query {} (sink '{}'); give another folder, or use the checkpoint of that query",
          folder_, ManifestName(*newest), marker.query_id, context_.query_id, context_.sink));
    }
    if (found.partition_by != partition_by_) {
      return absl::FailedPreconditionError(fmt::format(
          "the folder '{}' is partitioned by {}, and partition_by is {} now; keep it as it was, or "
          "start with a new folder and a new checkpoint",
          folder_, found.partition_by.empty() ? "nothing" : found.partition_by,
          partition_by_.empty() ? "nothing" : partition_by_));
    }
    newest_ = found;
    return absl::OkStatus();
  }

  // Removes this query's parts, hidden ones too, of batches after the newest manifest, from the
  // folder `below` ours ("" or with a slash at its end) and the partition folders under it.
  absl::Status RemoveUncommittedParts(const std::string& below, size_t depth) {
    const absl::StatusOr<std::vector<std::string>> names = ListFolder(PathOf(below));
    if (!names.ok()) return names.status();
    const bool has_folders = depth < options_.partition_by.size();
    const int64_t committed = newest_.has_value() ? newest_->marker.batch_id : -1;
    absl::Status status = absl::OkStatus();
    for (const std::string& name : *names) {
      const std::string path = below + name;
      if (has_folders && name.starts_with(partitions_.prefix(depth)) && IsFolder(PathOf(path))) {
        status = RemoveUncommittedParts(path + "/", depth + 1);
      } else {
        const std::string shown = DurableFile::ShownName(name);
        const std::optional<int64_t> batch_id =
            PartBatch(shown.empty() ? name : shown, context_.query_id);
        const bool counts = batch_id.has_value() && shown.empty() && *batch_id <= committed;
        if (batch_id.has_value() && !counts) status = RemovePart(path);
      }
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  // Also removes the partition folders that the part leaves empty.
  absl::Status RemovePart(const std::string& name) {
    absl::Status status = RemoveFile(PathOf(name));
    for (size_t slash = name.rfind('/'); status.ok() && slash != std::string::npos && slash > 0;
         slash = name.rfind('/', slash - 1)) {
      if (rmdir(PathOf(name.substr(0, slash)).c_str()) != 0) break;  // not empty
    }
    return status;
  }

  // Takes back what an earlier epoch wrote from `batch_id` on, newest first and each manifest
  // before its parts: a part without a manifest is removed whenever the folder is opened.
  absl::Status RemoveBatchesFrom(int64_t batch_id) {
    while (newest_.has_value() && newest_->marker.batch_id >= batch_id) {
      absl::Status status = RemoveFile(ManifestPath(newest_->marker.batch_id));
      if (status.ok()) status = SyncFolder(manifests_);
      for (const FilePart& part : newest_->parts) {
        if (status.ok()) status = RemovePart(part.name);
      }
      if (status.ok()) status = ReadNewestManifest();
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  // Takes back what a failed Commit left. Its manifest may have its name already (when only the
  // sync of the folder failed), and must never name parts that are gone.
  absl::Status RemoveFailedBatch(int64_t batch_id) {
    absl::Status status = RemoveFile(ManifestPath(batch_id));
    if (status.ok()) status = SyncFolder(manifests_);
    return status.ok() ? RemoveUncommittedParts("", 0) : status;
  }

  absl::Status WriteManifest(FilesManifest manifest) {
    absl::StatusOr<DurableFile> file =
        DurableFile::Create(manifests_, ManifestName(manifest.marker.batch_id));
    if (!file.ok()) return file.status();
    absl::Status status = file->Append(ManifestText(manifest));
    if (status.ok()) status = file->Sync();
    CrashPoint("sink before commit");
    if (status.ok()) status = file->Publish();
    CrashPoint("sink commit sent");
    if (status.ok()) status = SyncFolder(manifests_);
    CrashPoint("sink after commit");
    if (!status.ok()) return status;
    newest_ = std::move(manifest);
    return absl::OkStatus();
  }

  const FilesSinkOptions options_;
  const std::string& folder_;
  const std::string manifests_;
  const std::string partition_by_;  // as manifests say it
  const std::unique_ptr<FileFormat> format_;
  SinkContext context_;
  FilesPartitions partitions_;  // set once open
  std::optional<FilesManifest> newest_;
  bool unpublished_ = false;  // a Commit that failed, or a killed process, may have left parts
  int lock_fd_ = -1;          // holds the lock of manifests_
};

}  // namespace

std::unique_ptr<Sink> MakeFilesSink(FilesSinkOptions options, std::unique_ptr<FileFormat> format) {
  return std::make_unique<FilesSink>(std::move(options), std::move(format));
}

}  // namespace tidemark
