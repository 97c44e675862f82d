#ifndef TIDEMARK_TESTS_FAULTS_FAULTY_FILE_SYSTEM_H_
#define TIDEMARK_TESTS_FAULTS_FAULTY_FILE_SYSTEM_H_

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "rocksdb/file_system.h"

namespace tidemark::testing {

enum class DiskFault {
  kIoError,     ///< EIO, from any operation
  kNoSpace,     ///< ENOSPC, from those that take space
  kShortWrite,  ///< half of an append is written, then EIO
  kPowerLoss,   ///< from then on nothing that changes the disk does
};

/// A disk that fails when it is told to. It knows what of the files and names under `root` was
/// synced, so that LosePower can drop the rest, and that no handle is used on after its sync
/// failed. To be quick it syncs nothing really.
///
/// One at a time: while it lives, the calls of mkdir, rename and fsync that the program itself (not
/// a library) makes under `root` pass through it too; for that the program is linked with
/// --wrap=mkdir and so on. Names that std::filesystem makes or removes, and the lock files, are not
/// seen: they are taken for durable at once. Thread-safe.
class FaultyFileSystem : public rocksdb::FileSystemWrapper {
 public:
  /// `graveyard` is an empty folder on the same disk, outside of `root`: names that were removed,
  /// but not durably, are kept there.
  FaultyFileSystem(std::string root, std::string graveyard);
  ~FaultyFileSystem() override;

  /// The n-th operation from now (0: the next) that `fault` can meet meets it; if `sticky`, all
  /// later ones too.
  void FailAt(int64_t n, DiskFault fault, bool sticky);
  /// No more faults. After a power loss: only once LosePower was called.
  void Heal();
  /// The first operation that failed since FailAt: `append state/000004.log`; empty: none.
  std::string failed() const;
  /// Uses of a handle whose sync had failed before.
  std::vector<std::string> misuses() const;

  /// Brings `root` to what a disk without power could hold: of each file what was synced and a
  /// random part of what was written after (then zeros, at times), of each folder the names synced
  /// and some of the later changes, in their order. Nobody has a file open.
  void LosePower(std::mt19937_64& random);

  // For the files it makes and for the wrapped calls.
  enum class Operation { kRead, kAppend, kSync, kName, kDelete, kSyncFolder };
  struct FileState;
  /// OK, or the failure that is due.
  rocksdb::IOStatus Pass(Operation operation, std::string_view path);
  rocksdb::IOStatus Append(FileState& file, const std::string& path, uint64_t size,
                           bool* half_only);
  rocksdb::IOStatus Sync(FileState& file, const std::string& path);
  void Misused(std::string what);
  bool Watches(std::string_view path) const { return path.starts_with(root_); }
  rocksdb::IOStatus SyncFolder(const std::string& path);
  rocksdb::IOStatus MakeFolder(const std::string& path, int mode);

  const char* Name() const override { return "FaultyFileSystem"; }
  rocksdb::IOStatus NewSequentialFile(const std::string& path, const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSSequentialFile>* file,
                                      rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewRandomAccessFile(const std::string& path,
                                        const rocksdb::FileOptions& options,
                                        std::unique_ptr<rocksdb::FSRandomAccessFile>* file,
                                        rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus ReopenWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                       std::unique_ptr<rocksdb::FSWritableFile>* file,
                                       rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus ReuseWritableFile(const std::string& path, const std::string& old_path,
                                      const rocksdb::FileOptions& options,
                                      std::unique_ptr<rocksdb::FSWritableFile>* file,
                                      rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus NewDirectory(const std::string& path, const rocksdb::IOOptions& options,
                                 std::unique_ptr<rocksdb::FSDirectory>* folder,
                                 rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus FileExists(const std::string& path, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus GetChildren(const std::string& path, const rocksdb::IOOptions& options,
                                std::vector<std::string>* names,
                                rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus GetFileSize(const std::string& path, const rocksdb::IOOptions& options,
                                uint64_t* size, rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus DeleteFile(const std::string& path, const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus CreateDir(const std::string& path, const rocksdb::IOOptions& options,
                              rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus CreateDirIfMissing(const std::string& path, const rocksdb::IOOptions& options,
                                       rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus RenameFile(const std::string& from, const std::string& to,
                               const rocksdb::IOOptions& options,
                               rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus LinkFile(const std::string& from, const std::string& to,
                             const rocksdb::IOOptions& options,
                             rocksdb::IODebugContext* debug) override;
  rocksdb::IOStatus LockFile(const std::string& path, const rocksdb::IOOptions& options,
                             rocksdb::FileLock** lock, rocksdb::IODebugContext* debug) override;

 private:
  /// A change of a folder's names that is not durable yet.
  struct NameChange {
    std::string made = {};     ///< the name that appeared; empty: none
    std::string removed = {};  ///< the name that went; empty: none
    std::string buried = {};   ///< where the file that went, or was replaced, is kept; empty: none
    bool renamed = false;      ///< `removed` became `made`
  };

  rocksdb::IOStatus Failure(Operation operation, std::string_view path) const;
  bool Meets(Operation operation) const;
  rocksdb::IOStatus PassLocked(Operation operation, std::string_view path);
  std::string Bury(const std::string& path);
  void Note(const std::string& path_in_folder, NameChange change);
  std::shared_ptr<FileState> StateOf(const std::string& path, bool made);
  void Undo(const std::string& folder, const NameChange& change);

  const std::string root_;
  const std::string graveyard_;
  mutable std::mutex mutex_;
  // Guarded by mutex_:
  int64_t until_fault_ = -1;  ///< operations to pass; -1: no fault is due
  bool failing_ = false;
  DiskFault fault_ = DiskFault::kIoError;
  bool sticky_ = false;
  std::string failed_;
  std::vector<std::string> misuses_;
  int64_t graves_ = 0;
  std::map<ino_t, std::shared_ptr<FileState>> files_;  ///< shared with their open handles
  std::map<ino_t, std::vector<NameChange>> folders_;
};

}  // namespace tidemark::testing

#endif  // TIDEMARK_TESTS_FAULTS_FAULTY_FILE_SYSTEM_H_
