#include "tidemark/state/checkpoint_store.h"

#include <algorithm>
#include <charconv>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "rocksdb/cache.h"
#include "rocksdb/convenience.h"
#include "rocksdb/db.h"
#include "rocksdb/env.h"
#include "rocksdb/filter_policy.h"
#include "rocksdb/listener.h"
#include "rocksdb/options.h"
#include "rocksdb/sst_file_reader.h"
#include "rocksdb/table.h"
#include "rocksdb/utilities/checkpoint.h"
#include "rocksdb/write_batch.h"
#include "rocksdb/write_buffer_manager.h"
#include "tidemark/state/checkpoint_folder.h"
#include "tidemark/state/checkpoint_rewind.h"
#include "tidemark/state/crash_point.h"
#include "tidemark/state/log_tail.h"
#include "tidemark/state/rocksdb_env.h"

namespace tidemark {
namespace {

// Rows in the one column family: the format row, meta rows and state rows, told apart by their
// first byte, and the link row: each commit replaces the one before by its own, so that a second
// one is left where commits are missing in between.
constexpr std::string_view kFormatKey = "f";
constexpr char kLinkPrefix = 'l';
constexpr char kMetaPrefix = 'm';
constexpr char kStatePrefix = 's';
constexpr std::string_view kFormatName = "tidemark checkpoint ";
constexpr int kFormatVersion = 1;

constexpr size_t kMinMemoryBytes = size_t{4} << 20;

rocksdb::Slice ToSlice(std::string_view bytes) { return {bytes.data(), bytes.size()}; }
std::string_view ToView(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

std::string Prefixed(char prefix, std::string_view key) {
  std::string result(1, prefix);
  result.append(key);
  return result;
}

/// Takes RocksDB's log lines and keeps only the log file of the write-ahead log that it calls
/// damaged, which its statuses do not name. Not its own file log: that one aborts the process when
/// the disk is full and a second line cannot be written.
class DatabaseLog : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char* format, va_list arguments) override {
    if (std::string_view(format).find("dropping %d bytes") == std::string_view::npos) return;
    char line[1024];
    std::vsnprintf(line, sizeof(line), format, arguments);
    const std::lock_guard lock(mutex_);
    damaged_ = line;
  }
  std::string damaged() const {
    const std::lock_guard lock(mutex_);
    return damaged_;
  }

 private:
  mutable std::mutex mutex_;
  std::string damaged_;
};

/// The first error of a write, whoever made it: a commit, a flush, a compaction. From then on the
/// database is not used, but opened again. So it must not mend itself meanwhile either: with a disk
/// that was full, 7.8.3 would go on writing behind what could not be written, or abort
/// ("!IsFragmentedRangeTombstonesConstructed").
class FirstError : public rocksdb::EventListener {
 public:
  void OnBackgroundError(rocksdb::BackgroundErrorReason, rocksdb::Status* error) override {
    Note(*error);
  }
  void OnErrorRecoveryBegin(rocksdb::BackgroundErrorReason, rocksdb::Status,
                            bool* auto_recovery) override {
    *auto_recovery = false;
  }
  void Note(const rocksdb::Status& error) {
    const std::lock_guard lock(mutex_);
    if (error_.ok()) error_ = error;
  }
  rocksdb::Status Get() const {
    const std::lock_guard lock(mutex_);
    return error_;
  }

 private:
  mutable std::mutex mutex_;
  rocksdb::Status error_;
};

std::string LinkKey(uint64_t commit) {
  std::string key(1, kLinkPrefix);
  for (int shift = 56; shift >= 0; shift -= 8) key.push_back(static_cast<char>(commit >> shift));
  return key;
}

uint64_t CommitOf(std::string_view link_key) {
  uint64_t commit = 0;
  for (const char byte : link_key.substr(1)) commit = commit << 8 | static_cast<uint8_t>(byte);
  return commit;
}

/// `000012.sst` out of a message of RocksDB's, or nothing.
std::string FileNamedIn(std::string_view message) {
  for (std::string_view ending : {".sst", ".log"}) {
    const size_t end = message.find(ending);
    if (end == std::string_view::npos) continue;
    size_t begin = end;
    while (begin > 0 && message[begin - 1] >= '0' && message[begin - 1] <= '9') --begin;
    if (begin < end) return std::string(message.substr(begin, end - begin + ending.size()));
  }
  return {};
}

absl::Status DataLoss(const CheckpointFolder& folder, std::string what) {
  // A missing table file is looked for under its old ending last.
  if (const size_t old_ending = what.find(".ldb"); old_ending != std::string::npos) {
    what.replace(old_ending, 4, ".sst");
  }
  return absl::DataLossError(fmt::format("checkpoint {} is damaged: {}; {}", folder.database(),
                                         what, folder.RestoreAdvice(FileNamedIn(what))));
}

/// RocksDB calls corrupt or invalid also what is there, but could not be looked at: a table, or
/// CURRENT, opened for a try (we never ask for direct I/O).
bool OnlyFailed(std::string_view text) {
  return text.find("No such file") == std::string_view::npos &&
         (text.find("IO error") != std::string_view::npos ||
          text.find("Direct I/O is not supported") != std::string_view::npos);
}

/// What RocksDB says while the database is read or written.
absl::Status ToStatus(const CheckpointFolder& folder, std::string_view doing,
                      const rocksdb::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const std::string text = status.ToString();
  if (status.IsCorruption() && !OnlyFailed(text)) return DataLoss(folder, text);
  if (status.IsNoSpace() || text.find("No space left") != std::string::npos ||
      text.find("Disk quota exceeded") != std::string::npos) {
    return absl::ResourceExhaustedError(
        fmt::format("cannot {} checkpoint {}: {}; free some space on its disk", doing,
                    folder.database(), text));
  }
  return absl::UnavailableError(
      fmt::format("cannot {} checkpoint {}: {}", doing, folder.database(), text));
}

/// A table file of the database that does not read, or nothing.
std::string DamagedTable(const CheckpointFolder& folder, rocksdb::Env* env) {
  rocksdb::Options options;
  options.env = env;
  std::error_code error;
  std::filesystem::directory_iterator files(folder.database(), error);
  for (; !error && files != std::filesystem::directory_iterator(); files.increment(error)) {
    if (files->path().extension() != ".sst") continue;
    rocksdb::SstFileReader table(options);
    rocksdb::Status status = table.Open(files->path());
    if (status.ok()) status = table.VerifyChecksum();
    if (status.IsCorruption()) return files->path().filename();
  }
  return {};
}

/// The same while it is opened, when a missing file is damage and a forbidden one the user's to
/// mend.
absl::Status ToOpenStatus(const CheckpointFolder& folder, rocksdb::Env* env, const DatabaseLog& log,
                          const rocksdb::Status& status) {
  const std::string text = status.ToString();
  if (text.find("Permission denied") != std::string::npos ||
      text.find("Read-only file system") != std::string::npos) {
    return absl::FailedPreconditionError(
        fmt::format("cannot open checkpoint {}: {}; make all of its files readable and writable "
                    "for this user",
                    folder.database(), text));
  }
  if (OnlyFailed(text)) return ToStatus(folder, "open", status);
  if (status.IsPathNotFound() && text.find("MANIFEST-") != std::string::npos) {
    return DataLoss(folder,
                    fmt::format("the file CURRENT names a manifest that is missing: {}", text));
  }
  if (status.IsPathNotFound() || status.IsInvalidArgument() || status.IsNotFound()) {
    return DataLoss(folder, text);
  }
  if (status.IsCorruption() && !log.damaged().empty()) {
    return DataLoss(folder, fmt::format("{} ({})", text, log.damaged()));
  }
  // Of a table that it opens, it names only the manifest that lists it.
  if (status.IsCorruption() && FileNamedIn(text).empty()) {
    const std::string table = DamagedTable(folder, env);
    return DataLoss(folder, table.empty() ? text : fmt::format("{}: {}", table, text));
  }
  return ToStatus(folder, "open", status);
}

/// Files of the database whose names begin and end so.
std::vector<std::string> FileNames(const CheckpointFolder& folder, std::string_view begin,
                                   std::string_view end) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator files(folder.database(), error);
  for (; !error && files != std::filesystem::directory_iterator(); files.increment(error)) {
    std::string name = files->path().filename().string();
    if (name.starts_with(begin) && name.ends_with(end)) names.push_back(std::move(name));
  }
  return names;
}

/// Whether all rows of [lower, upper) can be read: asked when an iterator is through, before what
/// it gave is used. An iterator of 7.8.3 that is sent on by a tombstone forgets that a newer table
/// could not be read, and ends as if that had no more rows (facebook/rocksdb #11785, mended
/// in 8.5.2); one that does not look at tombstones does not.
absl::Status CheckReadable(const CheckpointFolder& folder, rocksdb::DB* db,
                           const rocksdb::Slice& lower, const rocksdb::Slice& upper) {
  rocksdb::ReadOptions options;
  options.iterate_lower_bound = &lower;
  options.iterate_upper_bound = &upper;
  options.fill_cache = false;
  options.ignore_range_deletions = true;
  const std::unique_ptr<rocksdb::Iterator> row(db->NewIterator(options));
  row->SeekToFirst();
  while (row->Valid()) row->Next();
  return ToStatus(folder, "read", row->status());
}

/// The number of the last commit; 0: none, or made by a version that did not number them. DataLoss
/// if some are missing before it: the database reads over zeros in its log, and over a manifest
/// that ends early.
absl::StatusOr<uint64_t> LastCommit(const CheckpointFolder& folder, rocksdb::DB* db) {
  const std::string begin(1, kLinkPrefix);
  const std::string end(1, kLinkPrefix + 1);
  const rocksdb::Slice upper = end;
  rocksdb::ReadOptions options;
  options.iterate_upper_bound = &upper;
  const std::unique_ptr<rocksdb::Iterator> links(db->NewIterator(options));
  std::vector<uint64_t> commits;
  for (links->Seek(begin); links->Valid(); links->Next()) {
    commits.push_back(CommitOf(ToView(links->key())));
  }
  if (!links->status().ok()) return ToStatus(folder, "read", links->status());
  const absl::Status readable = CheckReadable(folder, db, begin, upper);
  if (!readable.ok()) return readable;
  if (commits.size() <= 1) return commits.empty() ? 0 : commits.back();
  return DataLoss(folder,
                  fmt::format("the {} commits after number {} are missing before number {}: "
                              "there is a hole in its log ({}) or its manifest ({})",
                              commits[1] - commits[0] - 1, commits[0], commits[1],
                              fmt::join(FileNames(folder, "", ".log"), ", "),
                              fmt::join(FileNames(folder, "MANIFEST-", ""), ", ")));
}

/// A database that is ours, in a format that we read, without holes: looks without writing. The
/// number of its last commit.
absl::StatusOr<uint64_t> CheckDatabase(const CheckpointFolder& folder, rocksdb::Env* env) {
  const auto foreign = [&folder](std::string_view why) {
    return absl::FailedPreconditionError(
        fmt::format("checkpoint folder {}: {} is not a Tidemark checkpoint ({}), so nothing was "
                    "written there; use an empty or a new folder",
                    folder.path(), folder.database(), why));
  };
  std::error_code error;
  if (!std::filesystem::exists(folder.database() + "/CURRENT", error)) {
    if (error) return foreign(error.message());
    if (!FileNames(folder, "MANIFEST-", "").empty()) {
      return DataLoss(folder, "the file CURRENT is missing");
    }
    return foreign("no database in it");
  }
  rocksdb::Options options;
  options.env = env;
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  // As it was written: 7.8.3 aborts ("recovery_ctx != nullptr") if it is not told to look where the
  // manifest names a log, as it does while a flush has not ended.
  options.track_and_verify_wals_in_manifest = true;
  const auto log = std::make_shared<DatabaseLog>();
  options.info_log = log;
  options.max_open_files = 64;
  options.max_file_opening_threads = 1;
  rocksdb::DB* opened = nullptr;
  rocksdb::Status status = rocksdb::DB::OpenForReadOnly(options, folder.database(), &opened);
  if (!status.ok()) return ToOpenStatus(folder, env, *log, status);
  const std::unique_ptr<rocksdb::DB> db(opened);
  std::string format;
  status = db->Get(rocksdb::ReadOptions(), ToSlice(kFormatKey), &format);
  if (status.IsNotFound()) return foreign("a database of something else");
  if (!status.ok()) return ToOpenStatus(folder, env, *log, status);
  int version = 0;
  const char* digits = format.data() + std::min(kFormatName.size(), format.size());
  const auto parsed = std::from_chars(digits, format.data() + format.size(), version);
  if (!format.starts_with(kFormatName) || parsed.ec != std::errc()) {
    return foreign("a database of something else");
  }
  if (version > kFormatVersion) {
    return absl::FailedPreconditionError(
        fmt::format("checkpoint {} has format {}, made by a newer version of Tidemark; this one "
                    "reads formats up to {}: run the newer version, or use another folder",
                    folder.path(), version, kFormatVersion));
  }
  return LastCommit(folder, db.get());
}

/// Whether the database still has the commits that it is known to have had. RocksDB takes a log
/// that was cut, emptied or filled with zeros for one that ended there.
absl::Status CheckNothingMissing(const CheckpointFolder& folder, uint64_t last_commit) {
  const uint64_t noted = folder.NotedCommit().value_or(0);
  const bool begun = last_commit == 0 && folder.has_begun();
  if (noted <= last_commit && !begun) return absl::OkStatus();
  const std::string what =
      noted > last_commit
          ? fmt::format("its last commit is number {}, but number {} was durable (by the file {})",
                        last_commit, noted, folder.commit_note())
          : "it holds no commit, but a query has begun";
  const std::vector<std::string> logs = FileNames(folder, "", ".log");
  return DataLoss(folder, fmt::format("{}: {}, or its manifest ({}) was cut", what,
                                      logs.empty() ? "its log is missing"
                                                   : fmt::format("its log ({}) was cut or emptied",
                                                                 fmt::join(logs, ", ")),
                                      fmt::join(FileNames(folder, "MANIFEST-", ""), ", ")));
}

/// The name of the newest file that ends with `extension`; empty: there is none.
std::string NewestFile(const CheckpointFolder& folder, std::string_view extension) {
  const auto number = [](const std::string& name) {
    return std::strtoull(name.c_str(), nullptr, 10);
  };
  std::string newest;
  for (std::string& name : FileNames(folder, "", extension)) {
    if (newest.empty() || number(newest) < number(name)) newest = std::move(name);
  }
  return newest;
}

/// Cuts the record off the file that a power cut left half written. False: it has none.
bool DropTornTail(const std::string& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return false;
  std::ifstream file(path, std::ios::binary);
  const std::string log((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file) return false;
  const std::optional<uint64_t> tail = FindTornTail(log);
  if (!tail.has_value()) return false;
  std::filesystem::resize_file(path, *tail, error);
  return !error;
}

/// Cuts off what a power cut left half written: of the newest log a commit, of the manifest a
/// change of the files, both not acknowledged (whatever a change of the files makes superfluous is
/// deleted after it is durable). False: there is nothing of that kind.
bool DropTornTails(const CheckpointFolder& folder) {
  std::string manifest;
  std::ifstream(folder.database() + "/CURRENT") >> manifest;
  const bool in_manifest = DropTornTail(folder.database() + "/" + manifest);
  return DropTornTail(folder.database() + "/" + NewestFile(folder, ".log")) || in_manifest;
}

class RocksWrites : public StoreWrites {
 public:
  explicit RocksWrites(size_t bytes) : batch_(bytes) {}
  void PutMeta(std::string_view name, std::string_view value) override {
    Put(kMetaPrefix, name, value);
  }
  void DeleteMeta(std::string_view name) override {
    Keep(batch_.Delete(Prefixed(kMetaPrefix, name)));
  }
  void PutState(std::string_view key, std::string_view value) override {
    Put(kStatePrefix, key, value);
  }
  void DeleteState(std::string_view key) override {
    Keep(batch_.Delete(Prefixed(kStatePrefix, key)));
  }
  void DeleteStateRange(std::string_view begin, std::string_view end) override {
    if (begin >= end) return;
    Keep(batch_.DeleteRange(Prefixed(kStatePrefix, begin), Prefixed(kStatePrefix, end)));
  }
  size_t byte_size() const override { return batch_.GetDataSize(); }

  /// The commit after `last_commit`.
  void Link(uint64_t last_commit) {
    Keep(batch_.Delete(LinkKey(last_commit)));
    Keep(batch_.Put(LinkKey(last_commit + 1), ""));
  }
  rocksdb::WriteBatch& batch() { return batch_; }
  /// The first row that could not be taken (past 4 GiB).
  const rocksdb::Status& status() const { return status_; }

 private:
  void Put(char prefix, std::string_view key, std::string_view value) {
    const rocksdb::Slice key_parts[] = {rocksdb::Slice(&prefix, 1), ToSlice(key)};
    const rocksdb::Slice value_part = ToSlice(value);
    Keep(batch_.Put(rocksdb::SliceParts(key_parts, 2), rocksdb::SliceParts(&value_part, 1)));
  }
  void Keep(const rocksdb::Status& status) {
    if (status_.ok()) status_ = status;
  }

  rocksdb::WriteBatch batch_;
  rocksdb::Status status_;
};

class RocksCursor : public StateCursor {
 public:
  RocksCursor(rocksdb::DB* db, const CheckpointFolder& folder, std::string_view begin,
              std::string_view end, RangeDeletes deletes)
      : db_(db),
        folder_(folder),
        begin_(Prefixed(kStatePrefix, begin)),
        end_(Prefixed(kStatePrefix, end)) {
    lower_ = begin_;
    upper_ = end_;
    rocksdb::ReadOptions options;
    options.iterate_lower_bound = &lower_;
    options.iterate_upper_bound = &upper_;
    options.fill_cache = false;  // a walk over everything would drive out what look-ups need
    if (deletes == RangeDeletes::kNone) {
      options.ignore_range_deletions = true;
      readable_ = absl::OkStatus();  // such an iterator says itself what it could not read
    }
    iterator_.reset(db->NewIterator(options));
  }

  absl::StatusOr<bool> Next() override {
    if (!started_) {
      started_ = true;
      iterator_->SeekToFirst();
    } else if (iterator_->Valid()) {
      iterator_->Next();
    }
    if (iterator_->Valid()) return true;
    if (!iterator_->status().ok()) return ToStatus(folder_, "read", iterator_->status());
    if (!readable_.has_value()) readable_ = CheckReadable(folder_, db_, lower_, upper_);
    if (!readable_->ok()) return *readable_;
    return false;
  }
  std::string_view key() const override { return ToView(iterator_->key()).substr(1); }
  std::string_view value() const override { return ToView(iterator_->value()); }

 private:
  rocksdb::DB* const db_;
  const CheckpointFolder& folder_;
  std::string begin_;
  std::string end_;
  rocksdb::Slice lower_;
  rocksdb::Slice upper_;
  std::unique_ptr<rocksdb::Iterator> iterator_;
  bool started_ = false;
  std::optional<absl::Status> readable_;  // once it is through
};

/// A cursor that can say only why there is none.
class FailedCursor : public StateCursor {
 public:
  explicit FailedCursor(absl::Status status) : status_(std::move(status)) {}
  absl::StatusOr<bool> Next() override { return status_; }
  std::string_view key() const override { return {}; }
  std::string_view value() const override { return {}; }

 private:
  absl::Status status_;
};

rocksdb::Options DatabaseOptions(const std::shared_ptr<rocksdb::Cache>& cache,
                                 const std::shared_ptr<DatabaseLog>& log, size_t memory_bytes) {
  rocksdb::BlockBasedTableOptions table;
  table.block_cache = cache;
  table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  table.format_version = 5;
  table.cache_index_and_filter_blocks = true;
  table.cache_index_and_filter_blocks_with_high_priority = true;
  table.pin_l0_filter_and_index_blocks_in_cache = true;

  rocksdb::Options options;
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  options.write_buffer_manager =
      std::make_shared<rocksdb::WriteBufferManager>(memory_bytes / 4 * 3, cache);
  options.write_buffer_size = std::clamp(memory_bytes / 2, size_t{1} << 20, size_t{64} << 20);
  options.target_file_size_base = size_t{32} << 20;
  // Most rows are in the last level, and most that are looked up are there: filters of it would
  // only drive everything else out of a small cache.
  options.optimize_filters_for_hits = true;
  options.max_bytes_for_level_base = size_t{128} << 20;
  options.level_compaction_dynamic_level_bytes = true;
  options.max_open_files = 256;
  options.max_file_opening_threads =
      2;  // it makes as many at each start, whatever there is to open
  options.max_background_jobs = 2;
  options.bytes_per_sync = size_t{1} << 20;
  options.avoid_unnecessary_blocking_io = true;
  // One writer. (No insert hints: with them 7.8.3 now and then loses its place among a commit's
  // rows and aborts, "KeyIsAfterNode(key, before)".)
  options.allow_concurrent_memtable_write = false;

  const auto supported = rocksdb::GetSupportedCompressions();
  const bool has_lz4 =
      std::find(supported.begin(), supported.end(), rocksdb::kLZ4Compression) != supported.end();
  options.compression = has_lz4 ? rocksdb::kLZ4Compression : rocksdb::kNoCompression;
  // What was just written mostly goes before it is compacted: its window closes.
  options.compression_per_level.assign(static_cast<size_t>(options.num_levels),
                                       options.compression);
  options.compression_per_level[0] = rocksdb::kNoCompression;

  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  options.track_and_verify_wals_in_manifest = true;
  options.paranoid_checks = true;
  options.max_bgerror_resume_count = 0;  // after a failed write it is opened again

  options.info_log = log;
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  return options;
}

class RocksStore : public CheckpointCopy {
 public:
  RocksStore(std::unique_ptr<CheckpointFolder> folder, std::shared_ptr<rocksdb::Cache> cache,
             std::shared_ptr<FirstError> first_error, std::unique_ptr<rocksdb::DB> db,
             uint64_t last_commit, bool read_only)
      : folder_(std::move(folder)),
        cache_(std::move(cache)),
        first_error_(std::move(first_error)),
        db_(std::move(db)),
        last_commit_(last_commit) {
    if (!read_only) return;
    read_only_ = absl::FailedPreconditionError(
        fmt::format("checkpoint {} was opened to read", folder_->database()));
  }

  absl::StatusOr<std::optional<std::string>> GetMeta(std::string_view name) override {
    if (const absl::Status failed = failure(); !failed.ok()) return failed;
    std::string value;
    const rocksdb::Status status =
        db_->Get(rocksdb::ReadOptions(), Prefixed(kMetaPrefix, name), &value);
    if (status.IsNotFound()) return std::nullopt;
    if (!status.ok()) return ToStatus(*folder_, "read", status);
    return value;
  }

  using CheckpointStore::NewWrites;
  std::unique_ptr<StoreWrites> NewWrites(size_t bytes) override {
    return std::make_unique<RocksWrites>(bytes);
  }

  absl::Status Commit(std::unique_ptr<StoreWrites> writes) override {
    if (!read_only_.ok()) return read_only_;
    if (const absl::Status failed = failure(); !failed.ok()) return failed;
    auto& rocks_writes = static_cast<RocksWrites&>(*writes);
    rocksdb::WriteOptions options;
    options.sync = true;
    rocks_writes.Link(last_commit_);
    rocksdb::Status status = rocks_writes.status();
    if (status.ok()) status = db_->Write(options, &rocks_writes.batch());
    if (status.ok()) {
      ++last_commit_;
      folder_->NoteCommit(last_commit_);
      return last_commit_ == 1 ? KeepFirst() : absl::OkStatus();
    }
    // Whether the rows are there is known only after the log has been read again.
    first_error_->Note(status);
    return ToStatus(*folder_, "write", status);
  }

  absl::Status MultiGetState(const std::vector<std::string_view>& sorted_keys,
                             std::vector<std::optional<std::string>>* values) override;

  using CheckpointStore::NewStateCursor;
  std::unique_ptr<StateCursor> NewStateCursor(std::string_view begin, std::string_view end,
                                              RangeDeletes deletes) override {
    if (const absl::Status failed = failure(); !failed.ok()) {
      return std::make_unique<FailedCursor>(failed);
    }
    return std::make_unique<RocksCursor>(db_.get(), *folder_, begin, end, deletes);
  }

  absl::Status failure() const override {
    const rocksdb::Status error = first_error_->Get();
    if (error.ok()) return absl::OkStatus();
    // Often the first that anybody hears of it: it was a flush or a compaction that failed.
    return ToStatus(*folder_, "go on after a failed write to", error);
  }

  absl::Status Snapshot(int64_t batch_id, int keep) override;
  size_t memory_bytes() const override { return cache_->GetUsage(); }

  absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ReadAllMeta() override;
  absl::Status VerifyChecksums() override;
  int64_t disk_bytes() const override;

 private:
  /// What a query begins with is not left to the log alone: whatever becomes of that, it is the
  /// same query.
  absl::Status KeepFirst() {
    const rocksdb::Status status = db_->Flush(rocksdb::FlushOptions());
    if (!status.ok()) first_error_->Note(status);
    return status.ok() ? folder_->MarkBegun() : ToStatus(*folder_, "write", status);
  }

  std::unique_ptr<CheckpointFolder> folder_;  // outlives db_: it holds the lock
  std::shared_ptr<rocksdb::Cache> cache_;
  std::shared_ptr<FirstError> first_error_;  // shared with db_
  std::unique_ptr<rocksdb::DB> db_;
  uint64_t last_commit_;
  absl::Status read_only_;  // why nothing is written; OK: it may be
};

absl::Status RocksStore::MultiGetState(const std::vector<std::string_view>& sorted_keys,
                                       std::vector<std::optional<std::string>>* values) {
  if (const absl::Status failed = failure(); !failed.ok()) return failed;
  const size_t count = sorted_keys.size();
  size_t key_bytes = 0;
  for (std::string_view key : sorted_keys) key_bytes += 1 + key.size();
  std::string key_text;
  key_text.reserve(key_bytes);
  std::vector<rocksdb::Slice> keys;
  keys.reserve(count);
  for (std::string_view key : sorted_keys) {
    const char* begin = key_text.data() + key_text.size();
    key_text.push_back(kStatePrefix);
    key_text.append(key);
    keys.emplace_back(begin, 1 + key.size());
  }
  std::vector<rocksdb::PinnableSlice> found(count);
  std::vector<rocksdb::Status> statuses(count);
  db_->MultiGet(rocksdb::ReadOptions(), db_->DefaultColumnFamily(), count, keys.data(),
                found.data(), statuses.data(), /*sorted_input=*/true);
  values->resize(count);
  for (size_t i = 0; i < count; ++i) {
    std::optional<std::string>& value = (*values)[i];
    if (statuses[i].IsNotFound()) {
      value.reset();
    } else if (statuses[i].ok()) {
      if (!value.has_value()) value.emplace();
      value->assign(found[i].data(), found[i].size());
    } else {
      return ToStatus(*folder_, "read", statuses[i]);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::pair<std::string, std::string>>> RocksStore::ReadAllMeta() {
  std::vector<std::pair<std::string, std::string>> rows;
  const std::unique_ptr<rocksdb::Iterator> row(db_->NewIterator(rocksdb::ReadOptions()));
  for (row->Seek(rocksdb::Slice(&kMetaPrefix, 1)); row->Valid(); row->Next()) {
    if (!row->key().starts_with(rocksdb::Slice(&kMetaPrefix, 1))) break;
    rows.emplace_back(ToView(row->key()).substr(1), ToView(row->value()));
  }
  if (!row->status().ok()) return ToStatus(*folder_, "read", row->status());
  const std::string end(1, kMetaPrefix + 1);
  const absl::Status readable =
      CheckReadable(*folder_, db_.get(), rocksdb::Slice(&kMetaPrefix, 1), end);
  if (!readable.ok()) return readable;
  return rows;
}

absl::Status RocksStore::VerifyChecksums() {
  rocksdb::ReadOptions options;
  options.fill_cache = false;
  rocksdb::Status status = db_->VerifyChecksum(options);
  if (!status.ok()) return ToStatus(*folder_, "read", status);
  const std::unique_ptr<rocksdb::Iterator> row(db_->NewIterator(options));
  for (row->SeekToFirst(); row->Valid(); row->Next()) {
    const std::string_view key = ToView(row->key());
    if (key == kFormatKey) continue;
    if (!key.empty() &&
        (key[0] == kMetaPrefix || key[0] == kStatePrefix || key[0] == kLinkPrefix)) {
      continue;
    }
    return DataLoss(*folder_,
                    fmt::format("a row whose key of {} bytes is none of ours", key.size()));
  }
  return ToStatus(*folder_, "read", row->status());
}

int64_t RocksStore::disk_bytes() const {
  int64_t bytes = 0;
  std::error_code error;
  std::filesystem::directory_iterator files(folder_->database(), error);
  for (; !error && files != std::filesystem::directory_iterator(); files.increment(error)) {
    std::error_code ignored;
    const uintmax_t size = files->file_size(ignored);
    if (!ignored) bytes += static_cast<int64_t>(size);
  }
  return bytes;
}

absl::Status RocksStore::Snapshot(int64_t batch_id, int keep) {
  if (!read_only_.ok()) return read_only_;
  if (const absl::Status failed = failure(); !failed.ok()) return failed;
  absl::Status status = folder_->MakeSnapshots();
  if (status.ok()) status = folder_->RemoveUnfinishedSnapshots();
  if (!status.ok()) return status;

  rocksdb::Checkpoint* made = nullptr;
  rocksdb::Status result = rocksdb::Checkpoint::Create(db_.get(), &made);
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
  const std::string unfinished = folder_->snapshot(batch_id) + ".new";
  // log_size_for_flush = 0: memtables go to files first, so that no log needs to be copied.
  if (result.ok()) result = checkpoint->CreateCheckpoint(unfinished, /*log_size_for_flush=*/0);
  if (!result.ok()) return ToStatus(*folder_, "take a snapshot of", result);
  CrashPoint("snapshot middle");

  std::vector<int64_t> batch_ids = folder_->ListSnapshots();
  const auto same = std::find(batch_ids.begin(), batch_ids.end(), batch_id);
  if (same != batch_ids.end()) {
    status = folder_->RemoveSnapshot(batch_id);
    if (!status.ok()) return status;
  }
  status = folder_->FinishSnapshot(batch_id);
  if (!status.ok()) return status;

  batch_ids = folder_->ListSnapshots();
  const size_t kept = std::min(batch_ids.size(), static_cast<size_t>(std::max(keep, 1)));
  for (size_t i = 0; i + kept < batch_ids.size(); ++i) {
    status = folder_->RemoveSnapshot(batch_ids[i]);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

/// Makes an empty database with the format row under another name and renames it, so that a process
/// that dies on the way leaves nothing that looks like a checkpoint.
absl::Status MakeDatabase(CheckpointFolder* folder, const DatabaseLog& log,
                          rocksdb::Options options) {
  const absl::Status removed = folder->RemoveUnfinishedDatabase();
  if (!removed.ok()) return removed;
  options.create_if_missing = true;
  options.error_if_exists = true;
  rocksdb::DB* opened = nullptr;
  rocksdb::Status status = rocksdb::DB::Open(options, folder->unfinished_database(), &opened);
  if (!status.ok()) return ToOpenStatus(*folder, options.env, log, status);
  std::unique_ptr<rocksdb::DB> db(opened);
  rocksdb::WriteOptions write_options;
  write_options.sync = true;
  rocksdb::WriteBatch first;
  status = first.Put(ToSlice(kFormatKey), fmt::format("{}{}", kFormatName, kFormatVersion));
  if (status.ok()) status = first.Put(LinkKey(0), "");
  if (status.ok()) status = db->Write(write_options, &first);
  if (status.ok()) status = db->Flush(rocksdb::FlushOptions());
  if (status.ok()) status = db->Close();
  if (!status.ok()) return ToStatus(*folder, "make", status);
  db.reset();
  return folder->FinishDatabase();
}

/// A database that is there, as it is: neither made nor locked.
absl::StatusOr<std::unique_ptr<RocksStore>> OpenAsItIs(std::unique_ptr<CheckpointFolder> folder,
                                                       size_t memory_bytes, bool read_only) {
  rocksdb::Env* const env = rocksdb::Env::Default();
  const absl::StatusOr<uint64_t> last_commit = CheckDatabase(*folder, env);
  if (!last_commit.ok()) return last_commit.status();
  if (folder->database() == folder->path() + "/state") {
    const absl::Status complete = CheckNothingMissing(*folder, *last_commit);
    if (!complete.ok()) return complete;
  }
  memory_bytes = std::max(memory_bytes, kMinMemoryBytes);
  const std::shared_ptr<rocksdb::Cache> cache = rocksdb::NewLRUCache(memory_bytes);
  const auto log = std::make_shared<DatabaseLog>();
  rocksdb::Options options = DatabaseOptions(cache, log, memory_bytes);
  const auto first_error = std::make_shared<FirstError>();
  options.listeners = {first_error};
  // What it would put off, a database opened to read never does: it aborts.
  options.avoid_unnecessary_blocking_io = !read_only;
  rocksdb::DB* opened = nullptr;
  const rocksdb::Status result =
      read_only ? rocksdb::DB::OpenForReadOnly(options, folder->database(), &opened)
                : rocksdb::DB::Open(options, folder->database(), &opened);
  if (!result.ok()) return ToOpenStatus(*folder, env, *log, result);
  return std::make_unique<RocksStore>(std::move(folder), cache, first_error,
                                      std::unique_ptr<rocksdb::DB>(opened), *last_commit,
                                      read_only);
}

}  // namespace

absl::StatusOr<std::unique_ptr<CheckpointStore>> OpenCheckpointStore(
    const std::string& folder, const CheckpointStoreOptions& options, bool* created) {
  return OpenCheckpointStoreIn(rocksdb::Env::Default(), folder, options, created);
}

absl::StatusOr<std::unique_ptr<CheckpointStore>> OpenCheckpointStoreIn(
    rocksdb::Env* env, const std::string& path, const CheckpointStoreOptions& store_options,
    bool* created) {
  *created = false;
  auto folder = std::make_unique<CheckpointFolder>(path);
  absl::StatusOr<CheckpointFolder::Content> content = folder->Inspect();
  if (!content.ok()) return content.status();
  if (*content == CheckpointFolder::Content::kDatabase && !folder->has_lock_file()) {
    // Perhaps somebody else's: not even a lock file before we know.
    const auto checked = CheckDatabase(*folder, env);
    if (!checked.ok()) return checked.status();
  }
  absl::Status status = folder->Make();
  if (status.ok()) status = folder->Lock();
  if (status.ok()) status = SettleRewinds(*folder);
  if (!status.ok()) return status;
  content = folder->Inspect();  // again: now nobody changes it
  if (!content.ok()) return content.status();

  const size_t memory_bytes = std::max(store_options.memory_bytes, kMinMemoryBytes);
  const std::shared_ptr<rocksdb::Cache> cache = rocksdb::NewLRUCache(memory_bytes);
  const auto log = std::make_shared<DatabaseLog>();
  rocksdb::Options options = DatabaseOptions(cache, log, memory_bytes);
  options.env = env;
  const auto first_error = std::make_shared<FirstError>();
  options.listeners = {first_error};
  const bool is_new = *content == CheckpointFolder::Content::kNothing;
  uint64_t last_commit = 0;
  if (is_new) {
    status = MakeDatabase(folder.get(), *log, options);
  } else {
    // Its name may not be durable yet, if the process that made it died or its disk failed.
    status = folder->Sync();
    auto checked = status.ok() ? CheckDatabase(*folder, env) : status;
    if (absl::IsDataLoss(checked.status()) && DropTornTails(*folder)) {
      checked = CheckDatabase(*folder, env);
    }
    status = checked.status();
    if (status.ok()) last_commit = *checked;
    if (status.ok()) status = CheckNothingMissing(*folder, last_commit);
    // Made by a version that had no such mark, or by a process that died before it.
    if (status.ok() && last_commit > 0 && !folder->has_begun()) status = folder->MarkBegun();
  }
  if (!status.ok()) return status;

  rocksdb::DB* opened = nullptr;
  const rocksdb::Status result = rocksdb::DB::Open(options, folder->database(), &opened);
  if (!result.ok()) return ToOpenStatus(*folder, env, *log, result);
  *created = is_new;
  return std::make_unique<RocksStore>(std::move(folder), cache, first_error,
                                      std::unique_ptr<rocksdb::DB>(opened), last_commit,
                                      /*read_only=*/false);
}

absl::StatusOr<std::unique_ptr<CheckpointCopy>> OpenCheckpointCopy(
    const std::string& path, const std::string& database,
    const CheckpointStoreOptions& store_options) {
  auto folder = std::make_unique<CheckpointFolder>(path, database);
  std::error_code error;
  if (!std::filesystem::is_directory(folder->database(), error)) {
    return absl::NotFoundError(fmt::format("checkpoint {}: there is no {}", path, database));
  }
  return OpenAsItIs(std::move(folder), store_options.memory_bytes, /*read_only=*/true);
}

absl::StatusOr<std::unique_ptr<CheckpointStore>> OpenDatabase(const std::string& path,
                                                              const std::string& database) {
  return OpenAsItIs(std::make_unique<CheckpointFolder>(path, database), kMinMemoryBytes,
                    /*read_only=*/false);
}

}  // namespace tidemark
