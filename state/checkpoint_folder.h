#ifndef TIDEMARK_STATE_CHECKPOINT_FOLDER_H_
#define TIDEMARK_STATE_CHECKPOINT_FOLDER_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tidemark {

/// The folder of one checkpoint: `lock` (the owner's process id), `begun` (once a query has),
/// `state` (the database), `state.new` (the database while it is being made), `snapshots/<batch>`,
/// `rewound/<epoch>` (what a rewind set aside: checkpoint_rewind.h); `dead_letters` belongs to
/// others. Used by the store that is opened in it, by one thread. Errors are FailedPrecondition.
class CheckpointFolder {
 public:
  enum class Content {
    kNothing,   ///< missing, empty, or left by a process that died while it made the checkpoint
    kDatabase,  ///< there is a `state`: whether it is a checkpoint, the database must tell
  };

  /// `database`: which of the folder's databases database() is.
  explicit CheckpointFolder(std::string path, std::string_view database = "state");
  ~CheckpointFolder();
  CheckpointFolder(const CheckpointFolder&) = delete;
  CheckpointFolder& operator=(const CheckpointFolder&) = delete;

  /// Looks without changing anything. FailedPrecondition: not a folder, not readable, or it holds
  /// somebody's files; DataLoss: no database, but snapshots, or a query that has begun.
  absl::StatusOr<Content> Inspect() const;
  /// Makes the folder and those above it as needed, durably.
  absl::Status Make();
  /// The names in the folder, and its own, are durable when it returns OK.
  absl::Status Sync();
  /// Locks the folder until this object goes; names the holder's process id if there is one.
  absl::Status Lock();
  /// The same for who only reads. Where there is no lock file, or one that may not be written, none
  /// is.
  absl::Status LockToRead();
  bool has_lock_file() const;
  /// From now on a missing or empty database is one that was lost. Durable when it returns OK.
  absl::Status MarkBegun();
  bool has_begun() const;

  const std::string& path() const { return path_; }
  const std::string& database() const { return database_; }
  std::string unfinished_database() const { return path_ + "/state.new"; }
  /// Removes what a dead process left of `unfinished_database`.
  absl::Status RemoveUnfinishedDatabase();
  /// The database is complete: gives it its name.
  absl::Status FinishDatabase();
  /// Notes beside the database's files that this commit is durable, so that a log that was cut or
  /// emptied is noticed. Neither synced nor needed: what could not be written is older than the
  /// log, or unreadable.
  void NoteCommit(uint64_t commit);
  std::optional<uint64_t> NotedCommit() const;
  std::string commit_note() const { return database_ + "/last_commit"; }

  std::string snapshots() const { return path_ + "/snapshots"; }
  std::string snapshot(int64_t batch_id) const;
  absl::Status MakeSnapshots();
  /// The copy `<batch>.new` is complete: gives it its name, which must be free.
  absl::Status FinishSnapshot(int64_t batch_id);
  /// Complete snapshots by batch, ascending.
  std::vector<int64_t> ListSnapshots() const;
  /// Removes a snapshot, so that a half removed one is never taken for a whole one.
  absl::Status RemoveSnapshot(int64_t batch_id);
  /// Removes what dead processes left of snapshots that they made or removed.
  absl::Status RemoveUnfinishedSnapshots();
  /// A sentence on how to go back to the newest snapshot that does not share `damaged_file` (a file
  /// name of the database; empty: any) with the database.
  std::string RestoreAdvice(std::string_view damaged_file) const;

 private:
  absl::Status TakeLock(int fd, bool write_holder);

  std::string path_;
  std::string database_;
  int lock_fd_ = -1;
  int note_fd_ = -1;
};

/// What could not be done in a checkpoint's folder, by errno.
absl::Status FolderError(std::string_view folder, std::string_view what, int error);
/// Makes the names in a folder durable (fsync).
absl::Status SyncNames(const std::string& path);
/// A number as the folder's names have it: digits only, no zeros in front.
std::optional<int64_t> ParseDigits(std::string_view text);

}  // namespace tidemark

#endif  // TIDEMARK_STATE_CHECKPOINT_FOLDER_H_
