#include "tidemark/operators/sinks/files_batch.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "tidemark/state/crash_point.h"

namespace tidemark {
namespace {

struct KeyHash {
  using is_transparent = void;
  size_t operator()(std::string_view key) const { return std::hash<std::string_view>()(key); }
};

// The rows of one folder.
struct Folder {
  std::unique_ptr<PartsWriter> writer;  // null: written in an earlier pass
  std::vector<uint32_t> rows;           // of the batch of rows at hand
};

class PartitionedBatch {
 public:
  PartitionedBatch(const FilesPartitions& partitions, const FilesBatchLimits& limits,
                   FileFormat* format, BatchParts* parts)
      : partitions_(partitions), limits_(limits), format_(format), parts_(parts) {}

  absl::Status Write(const RowBatch& rows) {
    if (partitions_.empty()) return WriteUndivided(rows);
    absl::Status status = Divide(rows);
    if (!status.ok()) return status;
    RowBatch folder_rows = partitions_.FileRows(rows);
    for (Folder* folder : touched_) {
      folder_rows.set_selection(Selection::Rows(std::exchange(folder->rows, {})));
      status = folder->writer->Write(folder_rows);
      if (status.ok()) status = KeepWithinMemory();
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  // Ends what the pass has begun. `*more`: rows of other folders are left for another pass.
  absl::Status EndPass(bool* more) {
    for (Folder* folder : open_) {
      absl::Status status = folder->writer->Finish();
      if (!status.ok()) return status;
      folder->writer.reset();
    }
    open_.clear();
    last_ = nullptr;
    *more = std::exchange(more_, false);
    return absl::OkStatus();
  }

 private:
  absl::Status WriteUndivided(const RowBatch& rows) {
    const absl::StatusOr<Folder*> folder = FolderOf(rows, 0);
    if (!folder.ok()) return folder.status();
    absl::Status status = (*folder)->writer->Write(rows);
    return status.ok() ? KeepWithinMemory() : status;
  }

  // Gives each row to its folder, if that is open in this pass, and sets touched_.
  absl::Status Divide(const RowBatch& rows) {
    touched_.clear();
    const Selection& selected = rows.selection();
    for (size_t i = 0; i < selected.size(); ++i) {
      const uint32_t row = selected[i];
      key_.clear();
      partitions_.AppendKey(rows, row, &key_);
      // Rows of one folder often come together.
      if (last_ == nullptr || key_ != last_key_) {
        absl::StatusOr<Folder*> folder = FolderOf(rows, row);
        if (!folder.ok()) return folder.status();
        last_ = *folder;
        last_key_ = key_;
        if (last_ == nullptr) {
          more_ = true;
          continue;
        }
      }
      if (last_->writer == nullptr) continue;
      if (last_->rows.empty()) touched_.push_back(last_);
      last_->rows.push_back(row);
    }
    return absl::OkStatus();
  }

  // The folder of key_; null if it has to wait for another pass.
  absl::StatusOr<Folder*> FolderOf(const RowBatch& rows, uint32_t row) {
    const auto found = folders_.find(std::string_view(key_));
    if (found != folders_.end()) return &found->second;
    if (open_.size() == limits_.max_open_folders) return nullptr;
    if (folders_.size() == limits_.max_folders) {
      return absl::InvalidArgumentError(fmt::format(
          "the rows of one batch belong into more than {} folders by partition_by; partition by "
          "columns of fewer values, or take fewer rows a batch with max-offsets-per-trigger",
          limits_.max_folders));
    }
    absl::StatusOr<std::string> below = partitions_.FolderOf(rows, row);
    if (!below.ok()) return below.status();
    Folder* folder = &folders_[key_];
    folder->writer = format_->MakeWriter(parts_, *std::move(below));
    open_.push_back(folder);
    return folder;
  }

  absl::Status KeepWithinMemory() {
    size_t bytes = 0;
    for (const Folder* folder : open_) bytes += folder->writer->buffered_bytes();
    while (bytes > limits_.max_buffered_bytes) {
      Folder* largest = *std::ranges::max_element(
          open_, {}, [](const Folder* folder) { return folder->writer->buffered_bytes(); });
      bytes -= largest->writer->buffered_bytes();
      absl::Status status = largest->writer->Flush();
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  const FilesPartitions& partitions_;
  const FilesBatchLimits& limits_;
  FileFormat* const format_;
  BatchParts* const parts_;
  std::unordered_map<std::string, Folder, KeyHash, std::equal_to<>> folders_;
  std::vector<Folder*> open_;     // in this pass, in the order of their first rows
  std::vector<Folder*> touched_;  // by the batch of rows at hand
  bool more_ = false;
  std::string key_;
  std::string last_key_;
  Folder* last_ = nullptr;  // the folder of last_key_
};

}  // namespace

BatchParts::BatchParts(std::string folder, int64_t batch_id, std::string query_id,
                       std::string ending)
    : folder_(std::move(folder)),
      batch_id_(batch_id),
      query_id_(std::move(query_id)),
      ending_(std::move(ending)) {}

absl::StatusOr<OpenPart*> BatchParts::Begin(const std::string& below) {
  CrashPoint("sink between writes");
  std::string folder = folder_;
  std::string name = PartName(batch_id_, static_cast<int64_t>(parts_.size()), query_id_, ending_);
  std::string shown = name;
  if (!below.empty()) {
    folder += "/" + below;
    shown = below + "/" + name;
    absl::Status status = MakeFolder(folder);
    if (!status.ok()) return status;
  }
  absl::StatusOr<DurableFile> file = DurableFile::Create(folder, name);
  if (!file.ok()) return file.status();
  parts_.push_back({*std::move(file), {std::move(shown), 0, 0}});
  return &parts_.back();
}

absl::Status BatchParts::End(OpenPart* part) {
  part->part.bytes = part->file.bytes();
  return part->file.Sync();
}

absl::StatusOr<std::vector<FilePart>> BatchParts::Publish() {
  std::vector<FilePart> published;
  std::set<std::string> folders;
  for (OpenPart& part : parts_) {
    absl::Status status = part.file.Publish();
    if (!status.ok()) return status;
    folders.insert(part.file.folder());
    published.push_back(part.part);
  }
  for (const std::string& folder : folders) {
    absl::Status status = SyncFolder(folder);
    if (!status.ok()) return status;
  }
  return published;
}

absl::Status WriteFilesBatch(const FilesPartitions& partitions, const FilesBatchLimits& limits,
                             FileFormat* format, BatchParts* parts, RowStream* rows) {
  PartitionedBatch batch(partitions, limits, format, parts);
  for (bool more = true; more;) {
    while (true) {
      const absl::StatusOr<const RowBatch*> next = rows->Next();
      if (!next.ok()) return next.status();
      if (*next == nullptr) break;
      absl::Status status = batch.Write(**next);
      if (!status.ok()) return status;
    }
    absl::Status status = batch.EndPass(&more);
    if (status.ok() && more) status = rows->Rewind();
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace tidemark
