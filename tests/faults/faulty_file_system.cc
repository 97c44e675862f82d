#include "tests/faults/faulty_file_system.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <set>
#include <utility>

#include "fmt/format.h"

namespace tidemark::testing {

namespace fs = std::filesystem;
using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

/// What is known of a file's bytes, whatever its names are.
struct FaultyFileSystem::FileState {
  uint64_t size = 0;
  uint64_t synced = 0;
  bool sync_failed = false;  ///< what was not synced then is lost, whatever a later sync says
};

namespace {

// The wrapped calls have no other way to it.
std::atomic<FaultyFileSystem*> active = nullptr;

constexpr std::string_view kOperationNames[] = {"read", "append", "sync",
                                                "name", "delete", "sync folder"};

ino_t InodeOf(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 ? info.st_ino : 0;
}

class WritableFile : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  WritableFile(std::unique_ptr<rocksdb::FSWritableFile> file, std::string path,
               std::shared_ptr<FaultyFileSystem::FileState> state, FaultyFileSystem* system)
      : FSWritableFileOwnerWrapper(std::move(file)),
        path_(std::move(path)),
        state_(std::move(state)),
        system_(system) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* debug) override {
    CheckUse("append");
    bool half_only = false;
    const IOStatus status = system_->Append(*state_, path_, data.size(), &half_only);
    if (!status.ok() && !half_only) return status;
    const Slice part(data.data(), half_only ? data.size() / 2 : data.size());
    const IOStatus written = FSWritableFileOwnerWrapper::Append(part, options, debug);
    return status.ok() ? written : status;
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo&,
                  IODebugContext* debug) override {
    return Append(data, options, debug);
  }
  IOStatus Sync(const IOOptions& options, IODebugContext* debug) override {
    CheckUse("sync");
    const IOStatus status = system_->Sync(*state_, path_);
    if (!status.ok()) sync_failed_ = true;
    return status.ok() ? FSWritableFileOwnerWrapper::Flush(options, debug) : status;
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* debug) override {
    return Sync(options, debug);
  }
  IOStatus RangeSync(uint64_t, uint64_t, const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();  // it promises nothing
  }
  IOStatus Close(const IOOptions& options, IODebugContext* debug) override {
    const IOStatus status = system_->Pass(FaultyFileSystem::Operation::kRead, path_ + " (close)");
    const IOStatus closed = FSWritableFileOwnerWrapper::Close(options, debug);
    return status.ok() ? closed : status;
  }

 private:
  void CheckUse(std::string_view what) {
    if (sync_failed_) system_->Misused(fmt::format("{} {} after its sync failed", what, path_));
  }

  const std::string path_;
  const std::shared_ptr<FaultyFileSystem::FileState> state_;
  FaultyFileSystem* const system_;
  std::atomic<bool> sync_failed_ = false;
};

class SequentialFile : public rocksdb::FSSequentialFile {
 public:
  SequentialFile(std::unique_ptr<rocksdb::FSSequentialFile> file, std::string path,
                 FaultyFileSystem* system)
      : file_(std::move(file)), path_(std::move(path)), system_(system) {}
  IOStatus Read(size_t size, const IOOptions& options, Slice* result, char* scratch,
                IODebugContext* debug) override {
    const IOStatus status = system_->Pass(FaultyFileSystem::Operation::kRead, path_);
    return status.ok() ? file_->Read(size, options, result, scratch, debug) : status;
  }
  IOStatus Skip(uint64_t size) override { return file_->Skip(size); }

 private:
  const std::unique_ptr<rocksdb::FSSequentialFile> file_;
  const std::string path_;
  FaultyFileSystem* const system_;
};

// Its MultiRead and Prefetch are those of the base: one Read after the other.
class RandomAccessFile : public rocksdb::FSRandomAccessFile {
 public:
  RandomAccessFile(std::unique_ptr<rocksdb::FSRandomAccessFile> file, std::string path,
                   FaultyFileSystem* system)
      : file_(std::move(file)), path_(std::move(path)), system_(system) {}
  IOStatus Read(uint64_t offset, size_t size, const IOOptions& options, Slice* result,
                char* scratch, IODebugContext* debug) const override {
    const IOStatus status = system_->Pass(FaultyFileSystem::Operation::kRead, path_);
    return status.ok() ? file_->Read(offset, size, options, result, scratch, debug) : status;
  }

 private:
  const std::unique_ptr<rocksdb::FSRandomAccessFile> file_;
  const std::string path_;
  FaultyFileSystem* const system_;
};

class Directory : public rocksdb::FSDirectory {
 public:
  Directory(std::string path, FaultyFileSystem* system) : path_(std::move(path)), system_(system) {}
  IOStatus Fsync(const IOOptions&, IODebugContext*) override { return system_->SyncFolder(path_); }

 private:
  const std::string path_;
  FaultyFileSystem* const system_;
};

}  // namespace

FaultyFileSystem::FaultyFileSystem(std::string root, std::string graveyard)
    : FileSystemWrapper(rocksdb::FileSystem::Default()),
      root_(std::move(root)),
      graveyard_(std::move(graveyard)) {
  active = this;
}

FaultyFileSystem::~FaultyFileSystem() { active = nullptr; }

// ---- Faults

void FaultyFileSystem::FailAt(int64_t n, DiskFault fault, bool sticky) {
  const std::lock_guard lock(mutex_);
  until_fault_ = n;
  fault_ = fault;
  sticky_ = sticky;
  failing_ = false;
  failed_.clear();
}

void FaultyFileSystem::Heal() {
  const std::lock_guard lock(mutex_);
  until_fault_ = -1;
  failing_ = false;
}

std::string FaultyFileSystem::failed() const {
  const std::lock_guard lock(mutex_);
  return failed_;
}

std::vector<std::string> FaultyFileSystem::misuses() const {
  const std::lock_guard lock(mutex_);
  return misuses_;
}

void FaultyFileSystem::Misused(std::string what) {
  const std::lock_guard lock(mutex_);
  misuses_.push_back(std::move(what));
}

bool FaultyFileSystem::Meets(Operation operation) const {
  switch (fault_) {
    case DiskFault::kIoError:
      return true;
    case DiskFault::kNoSpace:
      return operation != Operation::kRead && operation != Operation::kDelete;
    case DiskFault::kPowerLoss:
      return operation != Operation::kRead;
    case DiskFault::kShortWrite:
      return operation == Operation::kAppend;
  }
  return true;
}

IOStatus FaultyFileSystem::Failure(Operation operation, std::string_view path) const {
  const std::string what =
      fmt::format("While trying to {} {}", kOperationNames[static_cast<size_t>(operation)], path);
  if (fault_ == DiskFault::kNoSpace) {
    IOStatus status = IOStatus::NoSpace(what, "No space left on device");
    status.SetRetryable(true);
    return status;
  }
  return IOStatus::IOError(what, "Input/output error");
}

IOStatus FaultyFileSystem::PassLocked(Operation operation, std::string_view path) {
  if (failing_ && fault_ == DiskFault::kPowerLoss) return Failure(operation, path);
  if (!Meets(operation)) return IOStatus::OK();
  if (!failing_) {
    if (until_fault_ < 0 || until_fault_-- > 0) return IOStatus::OK();
    failing_ = sticky_ || fault_ == DiskFault::kPowerLoss;
    failed_ = fmt::format("{} {}", kOperationNames[static_cast<size_t>(operation)],
                          path.substr(std::min(path.size(), root_.size() + 1)));
  }
  return Failure(operation, path);
}

IOStatus FaultyFileSystem::Pass(Operation operation, std::string_view path) {
  const std::lock_guard lock(mutex_);
  return PassLocked(operation, path);
}

// ---- Files

IOStatus FaultyFileSystem::Append(FileState& file, const std::string& path, uint64_t size,
                                  bool* half_only) {
  const std::lock_guard lock(mutex_);
  const bool was_off = failing_ && fault_ == DiskFault::kPowerLoss;
  const IOStatus status = PassLocked(Operation::kAppend, path);
  // Also what was on its way when the power went.
  *half_only = !status.ok() && !was_off &&
               (fault_ == DiskFault::kShortWrite || fault_ == DiskFault::kPowerLoss);
  if (status.ok()) file.size += size;
  if (*half_only) file.size += size / 2;
  return status;
}

IOStatus FaultyFileSystem::Sync(FileState& file, const std::string& path) {
  const std::lock_guard lock(mutex_);
  const IOStatus status = PassLocked(Operation::kSync, path);
  if (!status.ok()) {
    file.sync_failed = true;
  } else if (!file.sync_failed) {
    file.synced = file.size;
  }
  return status;
}

std::shared_ptr<FaultyFileSystem::FileState> FaultyFileSystem::StateOf(const std::string& path,
                                                                       bool made) {
  std::shared_ptr<FileState>& state = files_[InodeOf(path)];
  if (state == nullptr || made) state = std::make_shared<FileState>();
  return state;
}

IOStatus FaultyFileSystem::NewWritableFile(const std::string& path, const FileOptions& options,
                                           std::unique_ptr<rocksdb::FSWritableFile>* file,
                                           IODebugContext* debug) {
  const std::lock_guard lock(mutex_);
  IOStatus status = PassLocked(Operation::kName, path);
  if (!status.ok()) return status;
  const bool existed = fs::exists(path);
  status = FileSystemWrapper::NewWritableFile(path, options, file, debug);
  if (!status.ok()) return status;
  if (!existed) Note(path, {.made = fs::path(path).filename()});
  *file =
      std::make_unique<WritableFile>(std::move(*file), path, StateOf(path, /*made=*/true), this);
  return status;
}

IOStatus FaultyFileSystem::ReopenWritableFile(const std::string& path, const FileOptions&,
                                              std::unique_ptr<rocksdb::FSWritableFile>*,
                                              IODebugContext*) {
  return IOStatus::NotSupported("reopen", path);
}

IOStatus FaultyFileSystem::ReuseWritableFile(const std::string& path, const std::string&,
                                             const FileOptions&,
                                             std::unique_ptr<rocksdb::FSWritableFile>*,
                                             IODebugContext*) {
  return IOStatus::NotSupported("reuse", path);
}

IOStatus FaultyFileSystem::NewSequentialFile(const std::string& path, const FileOptions& options,
                                             std::unique_ptr<rocksdb::FSSequentialFile>* file,
                                             IODebugContext* debug) {
  IOStatus status = Pass(Operation::kRead, path);
  if (status.ok()) status = FileSystemWrapper::NewSequentialFile(path, options, file, debug);
  if (status.ok()) *file = std::make_unique<SequentialFile>(std::move(*file), path, this);
  return status;
}

IOStatus FaultyFileSystem::NewRandomAccessFile(const std::string& path, const FileOptions& options,
                                               std::unique_ptr<rocksdb::FSRandomAccessFile>* file,
                                               IODebugContext* debug) {
  IOStatus status = Pass(Operation::kRead, path);
  if (status.ok()) status = FileSystemWrapper::NewRandomAccessFile(path, options, file, debug);
  if (status.ok()) *file = std::make_unique<RandomAccessFile>(std::move(*file), path, this);
  return status;
}

IOStatus FaultyFileSystem::FileExists(const std::string& path, const IOOptions& options,
                                      IODebugContext* debug) {
  // RocksDB 7.8.3 aborts (an assertion about the wrong status) when this one look fails.
  const bool never_fails = path.ends_with("/archive");
  const IOStatus status = never_fails ? IOStatus::OK() : Pass(Operation::kRead, path);
  return status.ok() ? FileSystemWrapper::FileExists(path, options, debug) : status;
}

IOStatus FaultyFileSystem::GetFileSize(const std::string& path, const IOOptions& options,
                                       uint64_t* size, IODebugContext* debug) {
  const IOStatus status = Pass(Operation::kRead, path);
  return status.ok() ? FileSystemWrapper::GetFileSize(path, options, size, debug) : status;
}

IOStatus FaultyFileSystem::LockFile(const std::string& path, const IOOptions& options,
                                    rocksdb::FileLock** lock, IODebugContext* debug) {
  const IOStatus status = Pass(Operation::kRead, path);
  return status.ok() ? FileSystemWrapper::LockFile(path, options, lock, debug) : status;
}

// ---- Names

std::string FaultyFileSystem::Bury(const std::string& path) {
  std::string grave = fmt::format("{}/{}", graveyard_, graves_++);
  std::error_code error;
  fs::create_hard_link(path, grave, error);
  return error ? std::string() : grave;
}

void FaultyFileSystem::Note(const std::string& path_in_folder, NameChange change) {
  folders_[InodeOf(fs::path(path_in_folder).parent_path())].push_back(std::move(change));
}

IOStatus FaultyFileSystem::GetChildren(const std::string& path, const IOOptions& options,
                                       std::vector<std::string>* names, IODebugContext* debug) {
  const IOStatus status = Pass(Operation::kRead, path);
  return status.ok() ? FileSystemWrapper::GetChildren(path, options, names, debug) : status;
}

IOStatus FaultyFileSystem::NewDirectory(const std::string& path, const IOOptions&,
                                        std::unique_ptr<rocksdb::FSDirectory>* folder,
                                        IODebugContext*) {
  const IOStatus status = Pass(Operation::kRead, path);
  if (status.ok()) *folder = std::make_unique<Directory>(path, this);
  return status;
}

IOStatus FaultyFileSystem::SyncFolder(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const IOStatus status = PassLocked(Operation::kSyncFolder, path);
  if (!status.ok()) return status;
  for (const NameChange& change : folders_[InodeOf(path)]) {
    if (!change.buried.empty()) fs::remove(change.buried);
  }
  folders_.erase(InodeOf(path));
  return status;
}

IOStatus FaultyFileSystem::DeleteFile(const std::string& path, const IOOptions& options,
                                      IODebugContext* debug) {
  const std::lock_guard lock(mutex_);
  IOStatus status = PassLocked(Operation::kDelete, path);
  if (!status.ok()) return status;
  std::string buried = Bury(path);
  status = FileSystemWrapper::DeleteFile(path, options, debug);
  if (status.ok()) {
    Note(path, {.removed = fs::path(path).filename(), .buried = std::move(buried)});
  }
  return status;
}

IOStatus FaultyFileSystem::MakeFolder(const std::string& path, int mode) {
  const std::lock_guard lock(mutex_);
  const IOStatus status = PassLocked(Operation::kName, path);
  if (!status.ok()) return status;
  if (::mkdirat(AT_FDCWD, path.c_str(), static_cast<mode_t>(mode)) != 0) {
    return IOStatus::IOError(path, "cannot make it");
  }
  folders_.erase(InodeOf(path));
  Note(path, {.made = fs::path(path).filename()});
  return status;
}

IOStatus FaultyFileSystem::CreateDir(const std::string& path, const IOOptions&, IODebugContext*) {
  return MakeFolder(path, 0755);
}

IOStatus FaultyFileSystem::CreateDirIfMissing(const std::string& path, const IOOptions&,
                                              IODebugContext*) {
  return fs::exists(path) ? Pass(Operation::kRead, path) : MakeFolder(path, 0755);
}

IOStatus FaultyFileSystem::RenameFile(const std::string& from, const std::string& to,
                                      const IOOptions& options, IODebugContext* debug) {
  const std::lock_guard lock(mutex_);
  IOStatus status = PassLocked(Operation::kName, from);
  if (!status.ok()) return status;
  std::string buried = fs::is_regular_file(to) ? Bury(to) : std::string();
  status = FileSystemWrapper::RenameFile(from, to, options, debug);
  if (status.ok()) {
    Note(to, {.made = fs::path(to).filename(),
              .removed = fs::path(from).filename(),
              .buried = std::move(buried),
              .renamed = true});
  }
  return status;
}

IOStatus FaultyFileSystem::LinkFile(const std::string& from, const std::string& to,
                                    const IOOptions& options, IODebugContext* debug) {
  const std::lock_guard lock(mutex_);
  IOStatus status = PassLocked(Operation::kName, to);
  if (!status.ok()) return status;
  status = FileSystemWrapper::LinkFile(from, to, options, debug);
  if (status.ok()) Note(to, {.made = fs::path(to).filename()});
  return status;
}

// ---- Power loss

void FaultyFileSystem::Undo(const std::string& folder, const NameChange& change) {
  std::error_code ignored;
  const fs::path made = fs::path(folder) / change.made;
  if (change.renamed) {
    fs::rename(made, fs::path(folder) / change.removed, ignored);
    if (!change.buried.empty()) fs::rename(change.buried, made, ignored);
  } else if (!change.made.empty()) {
    fs::remove_all(made, ignored);
  } else if (!change.buried.empty()) {
    fs::rename(change.buried, fs::path(folder) / change.removed, ignored);
  }
}

void FaultyFileSystem::LosePower(std::mt19937_64& random) {
  const std::lock_guard lock(mutex_);
  // 0 and `most` a third of the time each.
  const auto draw = [&random](uint64_t most) -> uint64_t {
    const uint64_t kind = random() % 3;
    return kind == 0 ? 0 : kind == 1 ? most : random() % (most + 1);
  };
  std::vector<std::string> folders = {root_};
  std::set<ino_t> cut;
  for (const std::string& place : {root_, graveyard_}) {
    for (const auto& entry : fs::recursive_directory_iterator(place)) {
      if (entry.is_directory() && place == root_) folders.push_back(entry.path());
      if (!entry.is_regular_file()) continue;
      const ino_t inode = InodeOf(entry.path());
      const auto found = files_.find(inode);
      if (found == files_.end() || !cut.insert(inode).second) continue;
      const FileState& file = *found->second;
      const uint64_t size = std::min<uint64_t>(file.size, entry.file_size());
      if (size <= file.synced) continue;
      const uint64_t kept = file.synced + draw(size - file.synced);
      fs::resize_file(entry.path(), kept);
      // It may have grown before the disk had what it grew by: zeros.
      if (random() % 2 == 0) fs::resize_file(entry.path(), kept + draw(size - kept));
    }
  }
  // What lies deeper first: undoing a folder's own name may move or remove it.
  std::sort(folders.begin(), folders.end(),
            [](const auto& a, const auto& b) { return a.size() > b.size(); });
  for (const std::string& folder : folders) {
    const auto found = folders_.find(InodeOf(folder));
    if (found == folders_.end()) continue;
    std::vector<NameChange>& changes = found->second;
    const uint64_t kept = draw(changes.size());
    for (size_t i = changes.size(); i > kept; --i) Undo(folder, changes[i - 1]);
  }
  files_.clear();
  folders_.clear();
  for (const auto& entry : fs::directory_iterator(graveyard_)) fs::remove(entry.path());
  until_fault_ = -1;
  failing_ = false;
}

}  // namespace tidemark::testing

// ---- The program's own calls

extern "C" {
int __real_fsync(int file);
int __real_mkdir(const char* path, mode_t mode);
int __real_rename(const char* from, const char* to);

static int ErrorOf(const rocksdb::IOStatus& status) {
  if (status.ok()) return 0;
  errno = status.IsNoSpace() ? ENOSPC : EIO;
  return -1;
}

int __wrap_fsync(int file) {
  tidemark::testing::FaultyFileSystem* system = tidemark::testing::active;
  std::error_code error;
  const std::filesystem::path path =
      std::filesystem::read_symlink(fmt::format("/proc/self/fd/{}", file), error);
  if (system == nullptr || error || !std::filesystem::is_directory(path) ||
      !system->Watches(path.string())) {
    return __real_fsync(file);
  }
  return ErrorOf(system->SyncFolder(path.string()));
}

int __wrap_mkdir(const char* path, mode_t mode) {
  tidemark::testing::FaultyFileSystem* system = tidemark::testing::active;
  if (system == nullptr || !system->Watches(path) || access(path, F_OK) == 0) {
    return __real_mkdir(path, mode);
  }
  return ErrorOf(system->MakeFolder(path, static_cast<int>(mode)));
}

int __wrap_rename(const char* from, const char* to) {
  tidemark::testing::FaultyFileSystem* system = tidemark::testing::active;
  if (system == nullptr || !system->Watches(from)) return __real_rename(from, to);
  return ErrorOf(system->RenameFile(from, to, rocksdb::IOOptions(), nullptr));
}
}
