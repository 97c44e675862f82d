#include "tidemark/operators/sinks/json_files_sink.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include "tidemark/operators/formats/json_encoder.h"
#include "tidemark/operators/rows/text.h"
#include "tidemark/operators/sinks/durable_file.h"

namespace tidemark {
namespace {

constexpr std::string_view kSuccess = "_SUCCESS";

struct Part {
  std::string name;
  int64_t rows = 0;
  int64_t bytes = 0;
};

struct Manifest {
  SinkMarker marker;
  std::vector<Part> parts;
};

std::string ManifestName(int64_t batch_id) { return fmt::format("{:05}.json", batch_id); }

std::string PartName(int64_t batch_id, int64_t seq, std::string_view query_id) {
  return fmt::format("part-{:05}-{:03}-{}.json", batch_id, seq, query_id.substr(0, 8));
}

// Takes `word` off the front of `*text`.
bool Take(std::string_view word, std::string_view* text) {
  if (!text->starts_with(word)) return false;
  text->remove_prefix(word.size());
  return true;
}

template <typename T>
bool TakeNumber(std::string_view* text, T* number, int base = 10) {
  const char* end = text->data() + text->size();
  const auto [stop, error] = std::from_chars(text->data(), end, *number, base);
  if (error != std::errc()) return false;
  text->remove_prefix(static_cast<size_t>(stop - text->data()));
  return true;
}

bool TakeUntil(char stop, std::string_view* text, std::string* taken) {
  const size_t end = text->find(stop);
  if (end == std::string_view::npos) return false;
  *taken = text->substr(0, end);
  text->remove_prefix(end);
  return true;
}

// The batch whose manifest has this name.
std::optional<int64_t> ManifestBatch(std::string_view name) {
  std::string_view rest = name;
  int64_t batch_id = 0;
  if (!TakeNumber(&rest, &batch_id) || name != ManifestName(batch_id)) return std::nullopt;
  return batch_id;
}

// The batch of one of this query's parts, if `name` is one.
std::optional<int64_t> PartBatch(std::string_view name, std::string_view query_id) {
  std::string_view rest = name;
  int64_t batch_id = 0;
  int64_t seq = 0;
  if (!Take("part-", &rest) || !TakeNumber(&rest, &batch_id) || !Take("-", &rest) ||
      !TakeNumber(&rest, &seq) || name != PartName(batch_id, seq, query_id)) {
    return std::nullopt;
  }
  return batch_id;
}

std::string ManifestText(const Manifest& manifest) {
  const SinkMarker& marker = manifest.marker;
  std::string sink;
  AppendJsonString(marker.sink, &sink);
  std::string text = fmt::format(
      "{{\n  \"version\": 1,\n  \"query_id\": \"{}\",\n  \"sink\": {},\n  \"epoch\": {},\n"
      "  \"batch\": {},\n  \"plan_hash\": \"{:016x}\",\n  \"row_count\": {},\n"
      "  \"rows_hash\": \"{:016x}\",\n  \"files\": [",
      marker.query_id, sink, marker.epoch, marker.batch_id, marker.plan_hash, marker.row_count,
      marker.rows_hash);
  const char* separator = "\n";
  for (const Part& part : manifest.parts) {
    text += fmt::format("{}    {{\"name\": \"{}\", \"rows\": {}, \"bytes\": {}}}", separator,
                        part.name, part.rows, part.bytes);
    separator = ",\n";
  }
  text += manifest.parts.empty() ? "]\n}\n" : "\n  ]\n}\n";
  return text;
}

// Reads what ManifestText wrote, for the sink of this name. A manifest of another sink reads as one
// whose sink is empty; nothing if it is not a whole manifest.
std::optional<Manifest> ParseManifest(std::string_view text, const std::string& sink) {
  Manifest manifest;
  SinkMarker& marker = manifest.marker;
  std::string sink_text;
  if (!Take("{\n  \"version\": 1,\n  \"query_id\": \"", &text) ||
      !TakeUntil('"', &text, &marker.query_id) || !Take("\",\n  \"sink\": ", &text) ||
      !TakeUntil('\n', &text, &sink_text) || !Take("\n  \"epoch\": ", &text) ||
      !TakeNumber(&text, &marker.epoch) || !Take(",\n  \"batch\": ", &text) ||
      !TakeNumber(&text, &marker.batch_id) || !Take(",\n  \"plan_hash\": \"", &text) ||
      !TakeNumber(&text, &marker.plan_hash, 16) || !Take("\",\n  \"row_count\": ", &text) ||
      !TakeNumber(&text, &marker.row_count) || !Take(",\n  \"rows_hash\": \"", &text) ||
      !TakeNumber(&text, &marker.rows_hash, 16) || !Take("\",\n  \"files\": [", &text)) {
    return std::nullopt;
  }
  std::string own_sink;
  AppendJsonString(sink, &own_sink);
  if (sink_text == own_sink + ",") marker.sink = sink;
  while (Take(manifest.parts.empty() ? "\n    {\"name\": \"" : ",\n    {\"name\": \"", &text)) {
    Part part;
    if (!TakeUntil('"', &text, &part.name) || !Take("\", \"rows\": ", &text) ||
        !TakeNumber(&text, &part.rows) || !Take(", \"bytes\": ", &text) ||
        !TakeNumber(&text, &part.bytes) || !Take("}", &text)) {
      return std::nullopt;
    }
    manifest.parts.push_back(std::move(part));
  }
  if (text != (manifest.parts.empty() ? "]\n}\n" : "\n  ]\n}\n")) return std::nullopt;
  return manifest;
}

// Writes the parts of one batch, one after the other, under hidden names.
class PartWriter {
 public:
  PartWriter(const std::string& folder, const SinkContext& context, int64_t batch_id,
             int64_t max_part_bytes)
      : folder_(folder),
        query_id_(context.query_id),
        batch_id_(batch_id),
        max_part_bytes_(max_part_bytes) {}

  absl::Status Write(const RowBatch& batch, Encoder* encoder) {
    bytes_.clear();
    ends_.clear();
    absl::Status status = encoder->Encode(batch, &bytes_, &ends_);
    size_t begin = 0;
    for (size_t i = 0; i < ends_.size() && status.ok(); begin = ends_[i++]) {
      status = WriteLine(std::string_view(bytes_).substr(begin, ends_[i] - begin));
    }
    return status;
  }

  // Syncs every part and gives them their names.
  absl::StatusOr<std::vector<Part>> Publish() {
    absl::Status status = files_.empty() ? absl::OkStatus() : files_.back().Sync();
    for (DurableFile& file : files_) {
      if (status.ok()) status = file.Publish();
    }
    if (status.ok() && !files_.empty()) status = SyncFolder(folder_);
    if (!status.ok()) return status;
    return parts_;
  }

 private:
  absl::Status WriteLine(std::string_view line) {
    absl::Status status = absl::OkStatus();
    if (files_.empty() || files_.back().bytes() >= max_part_bytes_) status = NextPart();
    if (status.ok()) status = files_.back().Append(line);
    if (status.ok()) status = files_.back().Append("\n");
    if (!status.ok()) return status;
    ++parts_.back().rows;
    parts_.back().bytes = files_.back().bytes();
    return absl::OkStatus();
  }

  absl::Status NextPart() {
    if (!files_.empty()) {
      absl::Status status = files_.back().Sync();
      if (!status.ok()) return status;
    }
    std::string name = PartName(batch_id_, static_cast<int64_t>(files_.size()), query_id_);
    absl::StatusOr<DurableFile> file = DurableFile::Create(folder_, name);
    if (!file.ok()) return file.status();
    files_.push_back(*std::move(file));
    parts_.push_back({std::move(name), 0, 0});
    return absl::OkStatus();
  }

  const std::string& folder_;
  const std::string& query_id_;
  const int64_t batch_id_;
  const int64_t max_part_bytes_;
  std::string bytes_;               // the rows of one Write
  std::vector<size_t> ends_;        // of each in bytes_
  std::vector<DurableFile> files_;  // the last one is open, the others are synced
  std::vector<Part> parts_;         // one a file
};

class JsonFilesSink : public Sink {
 public:
  JsonFilesSink(std::string folder, JsonFilesOptions options)
      : folder_(std::move(folder)), manifests_(folder_ + "/_tidemark"), options_(options) {}

  std::string description() const override { return fmt::format("JsonFiles[{}]", folder_); }
  bool exactly_once() const override { return true; }

  absl::Status Open(const SinkContext& context) override {
    context_ = context;
    absl::StatusOr<std::unique_ptr<Encoder>> encoder = MakeJsonEncoder({}, context.schema);
    if (!encoder.ok()) return encoder.status();
    encoder_ = *std::move(encoder);
    absl::Status status = MakeFolder(manifests_);
    // What is read here must not be lost by a crash of the machine later.
    if (status.ok()) status = SyncFolder(manifests_);
    if (status.ok()) status = ReadNewestManifest();
    if (status.ok()) status = RemoveUncommittedParts();
    if (status.ok()) unpublished_ = false;
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
    return WriteManifest({wanted, here ? newest_->parts : std::vector<Part>()});
  }

  absl::StatusOr<SinkMarker> Commit(const SinkBatch& batch, RowStream& rows) override {
    const absl::StatusOr<bool> holds = HoldsBatch(marker(), batch, description());
    if (!holds.ok()) return holds.status();
    if (*holds) return newest_->marker;
    absl::Status status = RemoveBatchesFrom(batch.batch_id);
    if (status.ok() && unpublished_) status = RemoveFailedBatch(batch.batch_id);
    if (!status.ok()) return status;

    unpublished_ = true;
    PartWriter writer(folder_, context_, batch.batch_id, options_.max_part_bytes);
    while (true) {
      const absl::StatusOr<const RowBatch*> next = rows.Next();
      if (!next.ok()) return next.status();
      if (*next == nullptr) break;
      status = writer.Write(**next, encoder_.get());
      if (!status.ok()) return status;
    }
    absl::StatusOr<std::vector<Part>> parts = writer.Publish();
    if (!parts.ok()) return parts.status();
    status = WriteManifest({MarkerOf(context_, batch, rows), *std::move(parts)});
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
    const SinkMarker found = newest_->marker;
    if (found.query_id == context_.query_id && found.sink == context_.sink) return absl::OkStatus();
    newest_.reset();
    return absl::FailedPreconditionError(fmt::format(
        "the folder '{}' holds the results of another query: its manifest '{}' names query {}, "
        "this is query {} (sink '{}'); give another folder, or use the checkpoint of that query",
        folder_, ManifestName(*newest), found.query_id, context_.query_id, context_.sink));
  }

  // Removes this query's parts, hidden ones too, of batches after the newest manifest.
  absl::Status RemoveUncommittedParts() {
    const absl::StatusOr<std::vector<std::string>> names = ListFolder(folder_);
    if (!names.ok()) return names.status();
    const int64_t committed = newest_.has_value() ? newest_->marker.batch_id : -1;
    for (const std::string& name : *names) {
      const std::string shown = DurableFile::ShownName(name);
      const std::optional<int64_t> batch_id =
          PartBatch(shown.empty() ? name : shown, context_.query_id);
      if (!batch_id.has_value() || (shown.empty() && *batch_id <= committed)) continue;
      absl::Status status = RemoveFile(PathOf(name));
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  // Takes back what an earlier epoch wrote from `batch_id` on, newest first and each manifest
  // before its parts: a part without a manifest is removed whenever the folder is opened.
  absl::Status RemoveBatchesFrom(int64_t batch_id) {
    while (newest_.has_value() && newest_->marker.batch_id >= batch_id) {
      absl::Status status = RemoveFile(ManifestPath(newest_->marker.batch_id));
      if (status.ok()) status = SyncFolder(manifests_);
      for (const Part& part : newest_->parts) {
        if (status.ok()) status = RemoveFile(PathOf(part.name));
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
    return status.ok() ? RemoveUncommittedParts() : status;
  }

  absl::Status WriteManifest(Manifest manifest) {
    absl::StatusOr<DurableFile> file =
        DurableFile::Create(manifests_, ManifestName(manifest.marker.batch_id));
    if (!file.ok()) return file.status();
    absl::Status status = file->Append(ManifestText(manifest));
    if (status.ok()) status = file->Sync();
    if (status.ok()) status = file->Publish();
    if (status.ok()) status = SyncFolder(manifests_);
    if (!status.ok()) return status;
    newest_ = std::move(manifest);
    return absl::OkStatus();
  }

  const std::string folder_;
  const std::string manifests_;
  const JsonFilesOptions options_;
  SinkContext context_;
  std::unique_ptr<Encoder> encoder_;  // set once open
  std::optional<Manifest> newest_;
  bool unpublished_ = false;  // a Commit failed and may have left parts
};

}  // namespace

std::unique_ptr<Sink> MakeJsonFilesSink(std::string folder, JsonFilesOptions options) {
  return std::make_unique<JsonFilesSink>(std::move(folder), options);
}

}  // namespace tidemark
