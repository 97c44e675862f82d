#include "tidemark/state/checkpoint_store.h"

#include <algorithm>
#include <charconv>
#include <cstdarg>
#include <cstdio>
#include <filesystem>
#include <mutex>
#include <utility>

#include "fmt/format.h"
#include "rocksdb/cache.h"
#include "rocksdb/convenience.h"
#include "rocksdb/db.h"
#include "rocksdb/env.h"
#include "rocksdb/filter_policy.h"
#include "rocksdb/options.h"
#include "rocksdb/table.h"
#include "rocksdb/utilities/checkpoint.h"
#include "rocksdb/write_batch.h"
#include "rocksdb/write_buffer_manager.h"
#include "tidemark/state/checkpoint_folder.h"
#include "tidemark/state/rocksdb_env.h"

namespace tidemark {
namespace {

// Rows in the one column family: the format row, meta rows and state rows, told apart by their
// first byte.
constexpr std::string_view kFormatKey = "f";
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

/// What RocksDB says while the database is read or written.
absl::Status ToStatus(const CheckpointFolder& folder, std::string_view doing,
                      const rocksdb::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const std::string text = status.ToString();
  if (status.IsCorruption()) return DataLoss(folder, text);
  if (status.IsNoSpace() || text.find("No space left") != std::string::npos ||
      text.find("Disk quota exceeded") != std::string::npos) {
    return absl::ResourceExhaustedError(
        fmt::format("cannot {} checkpoint {}: {}; free some space on its disk", doing,
                    folder.database(), text));
  }
  return absl::UnavailableError(
      fmt::format("cannot {} checkpoint {}: {}", doing, folder.database(), text));
}

/// The same while it is opened, when a missing file is damage and a forbidden one the user's to
/// mend.
absl::Status ToOpenStatus(const CheckpointFolder& folder, const DatabaseLog& log,
                          const rocksdb::Status& status) {
  std::string text = status.ToString();
  if (text.find("Permission denied") != std::string::npos ||
      text.find("Read-only file system") != std::string::npos) {
    return absl::FailedPreconditionError(
        fmt::format("cannot open checkpoint {}: {}; make all of its files readable and writable "
                    "for this user",
                    folder.database(), text));
  }
  if (status.IsPathNotFound() || status.IsInvalidArgument() || status.IsNotFound()) {
    return DataLoss(folder, text);
  }
  if (status.IsCorruption() && !log.damaged().empty()) {
    return DataLoss(folder, fmt::format("{} ({})", text, log.damaged()));
  }
  return ToStatus(folder, "open", status);
}

/// A database that is ours, in a format that we read: looks without writing.
absl::Status CheckFormat(const CheckpointFolder& folder) {
  const auto foreign = [&folder](std::string_view why) {
    return absl::FailedPreconditionError(
        fmt::format("checkpoint folder {}: {} is not a Tidemark checkpoint ({}), so nothing was "
                    "written there; use an empty or a new folder",
                    folder.path(), folder.database(), why));
  };
  std::error_code error;
  if (!std::filesystem::exists(folder.database() + "/CURRENT", error)) {
    if (error) return foreign(error.message());
    std::filesystem::directory_iterator files(folder.database(), error);
    for (; !error && files != std::filesystem::directory_iterator(); files.increment(error)) {
      if (files->path().filename().string().starts_with("MANIFEST-")) {
        return DataLoss(folder, "the file CURRENT is missing");
      }
    }
    return foreign("no database in it");
  }
  rocksdb::Options options;
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  const auto log = std::make_shared<DatabaseLog>();
  options.info_log = log;
  options.max_open_files = 64;
  rocksdb::DB* opened = nullptr;
  rocksdb::Status status = rocksdb::DB::OpenForReadOnly(options, folder.database(), &opened);
  if (!status.ok()) return ToOpenStatus(folder, *log, status);
  const std::unique_ptr<rocksdb::DB> db(opened);
  std::string format;
  status = db->Get(rocksdb::ReadOptions(), ToSlice(kFormatKey), &format);
  if (status.IsNotFound()) return foreign("a database of something else");
  if (!status.ok()) return ToOpenStatus(folder, *log, status);
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
  return absl::OkStatus();
}

class RocksWrites : public StoreWrites {
 public:
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
              std::string_view end)
      : folder_(folder), begin_(Prefixed(kStatePrefix, begin)), end_(Prefixed(kStatePrefix, end)) {
    lower_ = begin_;
    upper_ = end_;
    rocksdb::ReadOptions options;
    options.iterate_lower_bound = &lower_;
    options.iterate_upper_bound = &upper_;
    options.fill_cache = false;  // a walk over everything would drive out what look-ups need
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
    if (iterator_->status().ok()) return false;
    return ToStatus(folder_, "read", iterator_->status());
  }
  std::string_view key() const override { return ToView(iterator_->key()).substr(1); }
  std::string_view value() const override { return ToView(iterator_->value()); }

 private:
  const CheckpointFolder& folder_;
  std::string begin_;
  std::string end_;
  rocksdb::Slice lower_;
  rocksdb::Slice upper_;
  std::unique_ptr<rocksdb::Iterator> iterator_;
  bool started_ = false;
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
      std::make_shared<rocksdb::WriteBufferManager>(memory_bytes / 2, cache);
  options.write_buffer_size = std::clamp(memory_bytes / 4, size_t{1} << 20, size_t{64} << 20);
  options.target_file_size_base = size_t{32} << 20;
  options.max_bytes_for_level_base = size_t{128} << 20;
  options.level_compaction_dynamic_level_bytes = true;
  options.max_open_files = 256;
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

class RocksStore : public CheckpointStore {
 public:
  RocksStore(std::unique_ptr<CheckpointFolder> folder, std::shared_ptr<rocksdb::Cache> cache,
             std::unique_ptr<rocksdb::DB> db)
      : folder_(std::move(folder)), cache_(std::move(cache)), db_(std::move(db)) {}

  absl::StatusOr<std::optional<std::string>> GetMeta(std::string_view name) override {
    if (const absl::Status failed = failure(); !failed.ok()) return failed;
    std::string value;
    const rocksdb::Status status =
        db_->Get(rocksdb::ReadOptions(), Prefixed(kMetaPrefix, name), &value);
    if (status.IsNotFound()) return std::nullopt;
    if (!status.ok()) return ToStatus(*folder_, "read", status);
    return value;
  }

  std::unique_ptr<StoreWrites> NewWrites() override { return std::make_unique<RocksWrites>(); }

  absl::Status Commit(std::unique_ptr<StoreWrites> writes) override {
    if (const absl::Status failed = failure(); !failed.ok()) return failed;
    auto& rocks_writes = static_cast<RocksWrites&>(*writes);
    rocksdb::WriteOptions options;
    options.sync = true;
    rocksdb::Status status = rocks_writes.status();
    if (status.ok()) status = db_->Write(options, &rocks_writes.batch());
    if (status.ok()) return absl::OkStatus();
    const absl::Status result = ToStatus(*folder_, "write", status);
    // Whether the rows are there is known only after the log has been read again.
    const std::lock_guard lock(failure_mutex_);
    failure_ = absl::UnavailableError(
        fmt::format("checkpoint {} must be opened again after a failed write: {}",
                    folder_->database(), status.ToString()));
    return result;
  }

  absl::Status MultiGetState(const std::vector<std::string_view>& sorted_keys,
                             std::vector<std::optional<std::string>>* values) override;

  std::unique_ptr<StateCursor> NewStateCursor(std::string_view begin,
                                              std::string_view end) override {
    if (const absl::Status failed = failure(); !failed.ok()) {
      return std::make_unique<FailedCursor>(failed);
    }
    return std::make_unique<RocksCursor>(db_.get(), *folder_, begin, end);
  }

  absl::Status Snapshot(int64_t batch_id, int keep) override;
  size_t memory_bytes() const override { return cache_->GetUsage(); }

 private:
  absl::Status failure() const {
    const std::lock_guard lock(failure_mutex_);
    return failure_;
  }

  std::unique_ptr<CheckpointFolder> folder_;  // outlives db_: it holds the lock
  std::shared_ptr<rocksdb::Cache> cache_;
  std::unique_ptr<rocksdb::DB> db_;
  mutable std::mutex failure_mutex_;
  absl::Status failure_;  // guarded by failure_mutex_
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

absl::Status RocksStore::Snapshot(int64_t batch_id, int keep) {
  if (const absl::Status failed = failure(); !failed.ok()) return failed;
  std::error_code error;
  std::filesystem::create_directory(folder_->snapshots(), error);
  if (error) {
    return absl::UnavailableError(
        fmt::format("cannot make {}: {}", folder_->snapshots(), error.message()));
  }
  absl::Status status = folder_->RemoveUnfinishedSnapshots();
  if (!status.ok()) return status;

  rocksdb::Checkpoint* made = nullptr;
  rocksdb::Status result = rocksdb::Checkpoint::Create(db_.get(), &made);
  const std::unique_ptr<rocksdb::Checkpoint> checkpoint(made);
  const std::string unfinished = folder_->snapshot(batch_id) + ".new";
  // log_size_for_flush = 0: memtables go to files first, so that no log needs to be copied.
  if (result.ok()) result = checkpoint->CreateCheckpoint(unfinished, /*log_size_for_flush=*/0);
  if (!result.ok()) return ToStatus(*folder_, "take a snapshot of", result);

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
  if (!status.ok()) return ToOpenStatus(*folder, log, status);
  std::unique_ptr<rocksdb::DB> db(opened);
  rocksdb::WriteOptions write_options;
  write_options.sync = true;
  status =
      db->Put(write_options, ToSlice(kFormatKey), fmt::format("{}{}", kFormatName, kFormatVersion));
  if (status.ok()) status = db->Flush(rocksdb::FlushOptions());
  if (status.ok()) status = db->Close();
  if (!status.ok()) return ToStatus(*folder, "make", status);
  db.reset();
  return folder->FinishDatabase();
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
    const absl::Status status = CheckFormat(*folder);
    if (!status.ok()) return status;
  }
  absl::Status status = folder->Make();
  if (status.ok()) status = folder->Lock();
  if (!status.ok()) return status;
  content = folder->Inspect();  // again: now nobody changes it
  if (!content.ok()) return content.status();

  const size_t memory_bytes = std::max(store_options.memory_bytes, kMinMemoryBytes);
  const std::shared_ptr<rocksdb::Cache> cache = rocksdb::NewLRUCache(memory_bytes);
  const auto log = std::make_shared<DatabaseLog>();
  rocksdb::Options options = DatabaseOptions(cache, log, memory_bytes);
  options.env = env;
  const bool is_new = *content == CheckpointFolder::Content::kNothing;
  status = is_new ? MakeDatabase(folder.get(), *log, options) : CheckFormat(*folder);
  if (!status.ok()) return status;

  rocksdb::DB* opened = nullptr;
  const rocksdb::Status result = rocksdb::DB::Open(options, folder->database(), &opened);
  if (!result.ok()) return ToOpenStatus(*folder, *log, result);
  *created = is_new;
  return std::make_unique<RocksStore>(std::move(folder), cache,
                                      std::unique_ptr<rocksdb::DB>(opened));
}

}  // namespace tidemark
