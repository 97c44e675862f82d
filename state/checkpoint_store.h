#ifndef TIDEMARK_STATE_CHECKPOINT_STORE_H_
#define TIDEMARK_STATE_CHECKPOINT_STORE_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tidemark {

/// Ordered walk over the state rows of a key range. Views live until the next call.
class StateCursor {
 public:
  virtual ~StateCursor() = default;
  /// Moves to the next row (the first call: the first row); false at the end. DataLoss if a row
  /// cannot be read.
  virtual absl::StatusOr<bool> Next() = 0;
  virtual std::string_view key() const = 0;
  virtual std::string_view value() const = 0;
};

/// Changes applied together or not at all.
class StoreWrites {
 public:
  virtual ~StoreWrites() = default;
  virtual void PutMeta(std::string_view name, std::string_view value) = 0;
  virtual void DeleteMeta(std::string_view name) = 0;
  virtual void PutState(std::string_view key, std::string_view value) = 0;
  virtual void DeleteState(std::string_view key) = 0;
  /// Removes the state rows in [begin, end): one tombstone, whatever their number.
  virtual void DeleteStateRange(std::string_view begin, std::string_view end) = 0;
  virtual size_t byte_size() const = 0;
};

/// Whether rows that a cursor walks over may have been deleted by DeleteStateRange. If it is known
/// that none was, each is read once instead of twice (checkpoint_store.cc, CheckReadable); rows
/// that were deleted all the same would come back.
enum class RangeDeletes { kPossible, kNone };

/// The durable rows of one checkpoint: meta rows by name and state rows by key, bytes in and bytes
/// out. It knows nothing of rows, operators or the batch protocol. Called by one thread, but: any
/// number of threads may call MultiGetState, NewStateCursor and NewWrites at any time, also while a
/// Commit runs. Errors: FailedPrecondition = locked by another process, not
/// ours, not writable, made by a newer version; DataLoss = damaged (the message names the file and
/// what to do); ResourceExhausted = disk full; Unavailable = other I/O error that may pass.
class CheckpointStore {
 public:
  virtual ~CheckpointStore() = default;

  virtual absl::StatusOr<std::optional<std::string>> GetMeta(std::string_view name) = 0;
  /// `bytes`: about how many they will be, if that is known; then they need not be moved as they
  /// grow.
  virtual std::unique_ptr<StoreWrites> NewWrites(size_t bytes) = 0;
  std::unique_ptr<StoreWrites> NewWrites() { return NewWrites(0); }
  /// Applies the writes atomically; they are on the disk when it returns OK. After an error the
  /// store must be opened again.
  virtual absl::Status Commit(std::unique_ptr<StoreWrites> writes) = 0;

  /// values[i] = the state row of sorted_keys[i] (ascending), or nothing.
  virtual absl::Status MultiGetState(const std::vector<std::string_view>& sorted_keys,
                                     std::vector<std::optional<std::string>>* values) = 0;
  /// State rows in [begin, end), ascending.
  virtual std::unique_ptr<StateCursor> NewStateCursor(std::string_view begin, std::string_view end,
                                                      RangeDeletes deletes) = 0;
  std::unique_ptr<StateCursor> NewStateCursor(std::string_view begin, std::string_view end) {
    return NewStateCursor(begin, end, RangeDeletes::kPossible);
  }

  /// Why it is of no use until it is opened again, whoever met the error; OK: it is. Any thread.
  virtual absl::Status failure() const { return absl::OkStatus(); }

  /// Keeps a copy of the store as of now under `batch_id` (hard links) and removes all but the
  /// newest `keep`.
  virtual absl::Status Snapshot(int64_t batch_id, int keep) = 0;
  /// Bytes of memory the store uses: block cache, memtables.
  virtual size_t memory_bytes() const = 0;
};

struct CheckpointStoreOptions {
  size_t memory_bytes = size_t{64} << 20;  ///< for block cache and memtables together
};

/// Opens the RocksDB store in `folder`, made if it is missing (then *created is true), and locks it
/// for this process until the store is destroyed: a second process is refused with
/// FailedPrecondition naming the holder's process id. A folder that holds anything else than a
/// Tidemark checkpoint is refused, never emptied. WAL recovery tolerates a torn tail and nothing
/// else.
absl::StatusOr<std::unique_ptr<CheckpointStore>> OpenCheckpointStore(
    const std::string& folder, const CheckpointStoreOptions& options, bool* created);

/// One of a checkpoint's databases, to look at: the present one, a snapshot, or one that a rewind
/// set aside. Nothing is ever written to it: Commit and Snapshot answer FailedPrecondition.
class CheckpointCopy : public CheckpointStore {
 public:
  /// All meta rows, name and value, by name.
  virtual absl::StatusOr<std::vector<std::pair<std::string, std::string>>> ReadAllMeta() = 0;
  /// Compares the checksum of every block of every file, then reads every row. DataLoss names the
  /// damaged file.
  virtual absl::Status VerifyChecksums() = 0;
  /// Of its files on the disk; snapshots share files with each other and with the database.
  virtual int64_t disk_bytes() const = 0;
};

/// Opens a database of the checkpoint in `folder`: `database` is `state`, `snapshots/12`, ... The
/// present one is opened only by who holds the folder's lock. Errors as OpenCheckpointStore; a
/// database that is not there is NotFound.
absl::StatusOr<std::unique_ptr<CheckpointCopy>> OpenCheckpointCopy(
    const std::string& folder, const std::string& database, const CheckpointStoreOptions& options);

/// A store in memory, for tests: what was committed survives the CheckpointStore object as long as
/// the handle lives.
class MemoryCheckpoint {
 public:
  MemoryCheckpoint();
  ~MemoryCheckpoint();
  /// As OpenCheckpointStore: a second open store at the same time is refused.
  absl::StatusOr<std::unique_ptr<CheckpointStore>> Open(bool* created);

 private:
  struct Data;
  class Store;
  std::shared_ptr<Data> data_;  ///< shared with the store that is open
};

}  // namespace tidemark

#endif  // TIDEMARK_STATE_CHECKPOINT_STORE_H_
