#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tidemark/operators/rows/text.h"
#include "tidemark/operators/sinks/dead_letters.h"
#include "tidemark/operators/sinks/durable_file.h"

namespace tidemark {
namespace {

constexpr int64_t kMaxFileBytes = int64_t{128} << 20;

std::string LettersName(int64_t batch_id, int64_t seq) {
  return fmt::format("dead-{:05}-{:03}.jsonl", batch_id, seq);
}

// The batch whose dead letters a file of this name holds.
std::optional<int64_t> BatchOf(std::string_view name) {
  constexpr std::string_view kPrefix = "dead-";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const char* const end = name.data() + name.size();
  int64_t batch_id = 0;
  int64_t seq = 0;
  const char* at = name.data() + kPrefix.size();
  at = std::from_chars(at, end, batch_id).ptr;
  if (at == end || *at != '-') return std::nullopt;
  std::from_chars(at + 1, end, seq);
  return name == LettersName(batch_id, seq) ? std::optional(batch_id) : std::nullopt;
}

// A JSON string of bytes that may not be UTF-8: then each byte past ASCII becomes U+FFFD.
void AppendJsonBytes(std::string_view bytes, std::string* out) {
  if (IsValidUtf8(bytes)) return AppendJsonString(bytes, out);
  std::string text;
  for (char c : bytes) {
    if (static_cast<unsigned char>(c) < 0x80) {
      text += c;
    } else {
      text += "\xEF\xBF\xBD";
    }
  }
  AppendJsonString(text, out);
}

void AppendBase64OrNull(bool present, std::string_view bytes, std::string* out) {
  if (!present) {
    *out += "null";
    return;
  }
  *out += '"';
  AppendBase64(bytes, out);
  *out += '"';
}

std::string LetterLine(const RawRecords& records, const BadRecord& bad, absl::Time time) {
  const RawRecord& record = records.records[bad.index];
  std::string line = "{\"topic\":";
  AppendJsonBytes(records.topic, &line);
  line += fmt::format(",\"partition\":{},\"offset\":{},\"timestamp\":", records.partition,
                      record.offset);
  if (record.timestamp_us == RawRecord::kNoTimestamp) {
    line += "null";
  } else {
    line += '"';
    AppendTimestamp(record.timestamp_us, &line);
    line += '"';
  }
  line += ",\"key\":";
  AppendBase64OrNull(record.has_key, record.key, &line);
  line += ",\"headers\":[";
  const char* separator = "";
  for (const auto& [key, value] : records.Headers(bad.index)) {
    line += separator;
    line += "{\"key\":";
    AppendJsonBytes(key, &line);
    line += ",\"value\":";
    AppendBase64OrNull(value.has_value(), value.value_or(""), &line);
    line += '}';
    separator = ",";
  }
  line += "],\"value\":";
  AppendBase64OrNull(record.has_value, record.value, &line);
  line += fmt::format(",\"reason\":\"{}\",\"detail\":", BadReasonName(bad.reason));
  AppendJsonBytes(bad.detail, &line);
  line += ",\"time\":\"";
  AppendTimestamp(absl::ToUnixMicros(time), &line);
  line += "\"}\n";
  return line;
}

class FileDeadLetters : public DeadLetterWriter {
 public:
  FileDeadLetters(std::string folder, int64_t max_bytes)
      : folder_(std::move(folder)), max_bytes_(max_bytes) {}

  // Finds what earlier runs left; hidden files are of no use to anybody.
  absl::Status Scan() {
    const absl::StatusOr<std::vector<std::string>> names = ListFolder(folder_);
    if (!names.ok()) return names.status();
    for (const std::string& name : *names) {
      const std::string shown = DurableFile::ShownName(name);
      const std::optional<int64_t> batch_id = BatchOf(shown.empty() ? name : shown);
      if (!batch_id.has_value()) continue;
      if (shown.empty()) {
        const absl::StatusOr<int64_t> bytes = FileBytes(PathOf(name));
        if (!bytes.ok()) return bytes.status();
        AddFile(*batch_id, name, *bytes);
      } else {
        absl::Status status = RemoveFile(PathOf(name));
        if (!status.ok()) return status;
      }
    }
    return absl::OkStatus();
  }

  absl::Status Begin(int64_t /*epoch*/, int64_t batch_id) override {
    file_.reset();
    batch_id_ = batch_id;
    next_seq_ = 0;
    const auto earlier = files_.find(batch_id);
    if (earlier == files_.end()) return absl::OkStatus();
    for (const File& file : earlier->second) {
      absl::Status status = RemoveFile(PathOf(file.name));
      if (!status.ok()) return status;
    }
    for (const File& file : earlier->second) total_bytes_ -= file.bytes;
    files_.erase(earlier);
    return SyncFolder(folder_);
  }

  absl::Status Write(const RawRecords& records, const BadRecord& bad, absl::Time time) override {
    const std::string line = LetterLine(records, bad, time);
    const int64_t open_bytes = file_.has_value() ? file_->bytes() : 0;
    const int64_t bytes = static_cast<int64_t>(line.size());
    if (total_bytes_ + open_bytes + bytes > max_bytes_) {
      return absl::FailedPreconditionError(
          fmt::format("the dead letters in '{}' reach their limit of {} bytes at {}-{} offset {} "
                      "({}); see what "
                      "is wrong with the records, move the files away and start the query again",
                      folder_, max_bytes_, records.topic, records.partition,
                      records.records[bad.index].offset, BadReasonName(bad.reason)));
    }
    absl::Status status = absl::OkStatus();
    if (file_.has_value() && open_bytes >= kMaxFileBytes) status = Flush();
    if (status.ok() && !file_.has_value()) status = NextFile();
    return status.ok() ? file_->Append(line) : status;
  }

  absl::Status Flush() override {
    if (!file_.has_value()) return absl::OkStatus();
    absl::Status status = file_->Sync();
    if (status.ok()) status = file_->Publish();
    if (status.ok()) AddFile(batch_id_, file_->name(), file_->bytes());
    file_.reset();
    return status.ok() ? SyncFolder(folder_) : status;
  }

 private:
  struct File {
    std::string name;
    int64_t bytes;
  };

  std::string PathOf(std::string_view name) const { return fmt::format("{}/{}", folder_, name); }

  void AddFile(int64_t batch_id, const std::string& name, int64_t bytes) {
    files_[batch_id].push_back({name, bytes});
    total_bytes_ += bytes;
  }

  absl::Status NextFile() {
    absl::Status status = MakeFolder(folder_);
    if (!status.ok()) return status;
    absl::StatusOr<DurableFile> file =
        DurableFile::Create(folder_, LettersName(batch_id_, next_seq_));
    if (!file.ok()) return file.status();
    file_.emplace(*std::move(file));
    ++next_seq_;
    return absl::OkStatus();
  }

  const std::string folder_;
  const int64_t max_bytes_;
  std::map<int64_t, std::vector<File>> files_;  // published, by batch
  int64_t total_bytes_ = 0;                     // of files_
  std::optional<DurableFile> file_;             // being written
  int64_t batch_id_ = 0;
  int64_t next_seq_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DeadLetterWriter>> MakeFileDeadLetters(const std::string& folder,
                                                                      int64_t max_bytes) {
  auto writer = std::make_unique<FileDeadLetters>(folder, max_bytes);
  absl::Status status = writer->Scan();
  if (!status.ok()) return status;
  return writer;
}

}  // namespace tidemark
