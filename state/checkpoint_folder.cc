#include "tidemark/state/checkpoint_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <optional>
#include <system_error>
#include <utility>

#include "fmt/format.h"
#include "tidemark/state/crash_point.h"

namespace tidemark {
absl::Status FolderError(std::string_view folder, std::string_view what, int error) {
  const std::string problem =
      fmt::format("checkpoint folder {}: {}: {}", folder, what, std::strerror(error));
  if (error == ENOSPC || error == EDQUOT) {
    return absl::ResourceExhaustedError(problem + "; free some space on its disk");
  }
  if (error == EIO || error == EMFILE || error == ENFILE || error == ENOMEM) {
    return absl::UnavailableError(problem);
  }
  return absl::FailedPreconditionError(
      problem + "; make it readable and writable for this user, or use another folder");
}

absl::Status SyncNames(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return FolderError(path, "cannot open it", errno);
  const int result = fsync(fd);
  const int error = errno;
  close(fd);
  return result == 0 ? absl::OkStatus() : FolderError(path, "cannot sync it", error);
}

std::optional<int64_t> ParseDigits(std::string_view text) {
  int64_t value = 0;
  const auto error = std::from_chars(text.data(), text.data() + text.size(), value).ec;
  if (error != std::errc() || value < 0 || fmt::format_int(value).str() != text) {
    return std::nullopt;
  }
  return value;
}

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kLockName = "lock";
constexpr size_t kMaxLockBytes = 32;
constexpr std::string_view kBegunName = "begun";
constexpr std::string_view kBegunText = "a Tidemark query has begun here\n";
constexpr size_t kMaxSmallFileBytes = 64;

/// `12.new`, `12.new.tmp`, `12.removed`: a snapshot in the making or on its way out.
bool IsUnfinishedSnapshot(std::string_view name) {
  const size_t dot = name.find('.');
  return dot != std::string_view::npos && ParseDigits(name.substr(0, dot)).has_value();
}

std::string ReadSmallFile(const std::string& path) {
  std::string text(kMaxSmallFileBytes + 1, '\0');
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return {};
  const ssize_t size = pread(fd, text.data(), text.size(), 0);
  close(fd);
  text.resize(size > 0 ? static_cast<size_t>(size) : 0);
  return text;
}

/// A lock file of ours holds a process id, or nothing if its owner died early.
bool IsLockFile(const std::string& path) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return false;
  std::string text = ReadSmallFile(path);
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text.empty() || (text.size() < kMaxLockBytes && ParseDigits(text).has_value());
}

/// A mark of ours, or one whose text a power cut took.
bool IsBegunFile(const std::string& path) {
  struct stat info;
  if (lstat(path.c_str(), &info) != 0 || !S_ISREG(info.st_mode)) return false;
  const std::string text = ReadSmallFile(path);
  return text.empty() || text == kBegunText;
}

/// The number twice: what does not agree was not written whole, or damaged.
std::string CommitNote(uint64_t commit) { return fmt::format("{0:020} {0:020}\n", commit); }

}  // namespace

CheckpointFolder::CheckpointFolder(std::string path, std::string_view database)
    : path_(std::move(path)), database_(fmt::format("{}/{}", path_, database)) {}

CheckpointFolder::~CheckpointFolder() {
  // Closing ends the lock. The file stays: removing it would race with a process that opens it.
  if (lock_fd_ >= 0) close(lock_fd_);
  if (note_fd_ >= 0) close(note_fd_);
}

absl::StatusOr<CheckpointFolder::Content> CheckpointFolder::Inspect() const {
  struct stat info;
  if (stat(path_.c_str(), &info) != 0) {
    if (errno == ENOENT) return Content::kNothing;
    return FolderError(path_, "cannot look at it", errno);
  }
  if (!S_ISDIR(info.st_mode)) {
    return absl::FailedPreconditionError(
        fmt::format("checkpoint folder {}: this is a file, not a folder; use another path", path_));
  }
  std::error_code error;
  fs::directory_iterator entries(path_, error);
  bool has_database = false;
  bool has_copies = false;
  bool begun = false;
  std::string foreign;
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const std::string name = entries->path().filename().string();
    if (name == "state") {
      has_database = true;
    } else if (name == "snapshots") {
      has_copies |= !ListSnapshots().empty();
    } else if (name == "rewound") {
      has_copies = true;
    } else if (name == kLockName) {
      if (!IsLockFile(entries->path().string())) foreign = name;
    } else if (name == kBegunName) {
      begun = IsBegunFile(entries->path().string());
      if (!begun) foreign = name;
    } else if (name != "state.new" && name != "dead_letters" && name != "lost+found") {
      foreign = name;
    }
  }
  if (error) return FolderError(path_, "cannot list it", error.value());
  if (has_database) return Content::kDatabase;
  if (!foreign.empty()) {
    return absl::FailedPreconditionError(
        fmt::format("checkpoint folder {}: it holds something else than a checkpoint ({}), so "
                    "nothing was written there; use an empty or a new folder",
                    path_, foreign));
  }
  if (has_copies || begun) {
    return absl::DataLossError(
        fmt::format("checkpoint folder {}: the database {} is missing{}; {}", path_, database(),
                    begun ? ", and a query has begun here" : "", RestoreAdvice({})));
  }
  return Content::kNothing;
}

absl::Status CheckpointFolder::Make() {
  std::vector<fs::path> missing;
  std::error_code error;
  for (fs::path path = fs::absolute(path_, error); !fs::exists(path, error);
       path = path.parent_path()) {
    if (error) return FolderError(path_, "cannot look at it", error.value());
    missing.push_back(path);
    if (path == path.parent_path()) break;
  }
  std::reverse(missing.begin(), missing.end());
  for (const fs::path& path : missing) {
    if (path.filename().empty()) continue;  // written with a slash at the end
    if (mkdir(path.c_str(), 0777) != 0 && errno != EEXIST) {
      return FolderError(path_, fmt::format("cannot make {}", path.string()), errno);
    }
    // Its name must survive a power cut; a parent that may not be read cannot be synced.
    SyncNames(path.parent_path().string()).IgnoreError();
  }
  return absl::OkStatus();
}

absl::Status CheckpointFolder::Sync() {
  std::error_code error;
  fs::path path = fs::absolute(path_, error);
  if (path.filename().empty()) path = path.parent_path();  // written with a slash at the end
  // A parent that may not be read cannot be synced.
  SyncNames(path.parent_path().string()).IgnoreError();
  return SyncNames(path_);
}

bool CheckpointFolder::has_lock_file() const {
  std::error_code error;
  return fs::exists(fmt::format("{}/{}", path_, kLockName), error);
}

absl::Status CheckpointFolder::MarkBegun() {
  const std::string mark = fmt::format("{}/{}", path_, kBegunName);
  const int fd = open(mark.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (fd < 0) return FolderError(path_, "cannot make the file begun", errno);
  const bool written = pwrite(fd, kBegunText.data(), kBegunText.size(), 0) ==
                           static_cast<ssize_t>(kBegunText.size()) &&
                       fsync(fd) == 0;
  const int error = errno;
  close(fd);
  if (!written) return FolderError(path_, "cannot write the file begun", error);
  return SyncNames(path_);
}

bool CheckpointFolder::has_begun() const {
  std::error_code error;
  return fs::exists(fmt::format("{}/{}", path_, kBegunName), error);
}

absl::Status CheckpointFolder::Lock() {
  const std::string lock_path = fmt::format("{}/{}", path_, kLockName);
  const int fd = open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (fd < 0) return FolderError(path_, "cannot write its lock file", errno);
  return TakeLock(fd, /*write_holder=*/true);
}

absl::Status CheckpointFolder::LockToRead() {
  const std::string lock_path = fmt::format("{}/{}", path_, kLockName);
  int fd = open(lock_path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  const bool writable = fd >= 0;
  if (!writable && errno != ENOENT) fd = open(lock_path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0 && errno == ENOENT) return absl::OkStatus();
  if (fd < 0) return FolderError(path_, "cannot read its lock file", errno);
  return TakeLock(fd, writable);
}

absl::Status CheckpointFolder::TakeLock(int fd, bool write_holder) {
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    close(fd);
    if (error != EWOULDBLOCK) return FolderError(path_, "cannot lock it", error);
    std::string holder = ReadSmallFile(fmt::format("{}/{}", path_, kLockName));
    if (!holder.empty() && holder.back() == '\n') holder.pop_back();
    return absl::FailedPreconditionError(
        fmt::format("checkpoint folder {}: in use by process {}; stop that process, or use another "
                    "folder",
                    path_, holder.empty() ? "(starting)" : holder));
  }
  const std::string text = fmt::format("{}\n", getpid());
  // Written before it is cut, so that a full disk does not stop a process that opens it again.
  if (write_holder &&
      (pwrite(fd, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()) ||
       ftruncate(fd, static_cast<off_t>(text.size())) != 0)) {
    const int error = errno;
    close(fd);
    return FolderError(path_, "cannot write its lock file", error);
  }
  lock_fd_ = fd;
  return absl::OkStatus();
}

absl::Status CheckpointFolder::RemoveUnfinishedDatabase() {
  std::error_code error;
  fs::remove_all(unfinished_database(), error);
  if (error) return FolderError(path_, "cannot remove state.new", error.value());
  return absl::OkStatus();
}

absl::Status CheckpointFolder::FinishDatabase() {
  if (rename(unfinished_database().c_str(), database().c_str()) != 0) {
    return FolderError(path_, "cannot rename state.new to state", errno);
  }
  return Sync();
}

void CheckpointFolder::NoteCommit(uint64_t commit) {
  if (note_fd_ < 0) {
    note_fd_ = open(commit_note().c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  }
  const std::string note = CommitNote(commit);
  [[maybe_unused]] const ssize_t written = pwrite(note_fd_, note.data(), note.size(), 0);
}

std::optional<uint64_t> CheckpointFolder::NotedCommit() const {
  const std::string note = ReadSmallFile(commit_note());
  uint64_t commit = 0;
  const auto error = std::from_chars(note.data(), note.data() + note.size(), commit).ec;
  if (error != std::errc() || note != CommitNote(commit)) return std::nullopt;
  return commit;
}

std::string CheckpointFolder::snapshot(int64_t batch_id) const {
  return fmt::format("{}/{}", snapshots(), batch_id);
}

absl::Status CheckpointFolder::MakeSnapshots() {
  if (mkdir(snapshots().c_str(), 0777) == 0) return SyncNames(path_);
  return errno == EEXIST ? absl::OkStatus() : FolderError(path_, "cannot make snapshots", errno);
}

std::vector<int64_t> CheckpointFolder::ListSnapshots() const {
  std::vector<int64_t> batch_ids;
  std::error_code error;
  fs::directory_iterator entries(snapshots(), error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const auto batch_id = ParseDigits(entries->path().filename().string());
    if (batch_id.has_value()) batch_ids.push_back(*batch_id);
  }
  std::sort(batch_ids.begin(), batch_ids.end());
  return batch_ids;
}

absl::Status CheckpointFolder::FinishSnapshot(int64_t batch_id) {
  if (rename((snapshot(batch_id) + ".new").c_str(), snapshot(batch_id).c_str()) != 0) {
    return FolderError(path_, fmt::format("cannot finish snapshot {}", batch_id), errno);
  }
  return SyncNames(snapshots());
}

absl::Status CheckpointFolder::RemoveSnapshot(int64_t batch_id) {
  const std::string removed = snapshot(batch_id) + ".removed";
  if (rename(snapshot(batch_id).c_str(), removed.c_str()) != 0) {
    return FolderError(path_, fmt::format("cannot rename snapshot {}", batch_id), errno);
  }
  CrashPoint("purge middle");
  // Its name goes for good before any of its files does.
  if (absl::Status status = SyncNames(snapshots()); !status.ok()) return status;
  std::error_code error;
  fs::remove_all(removed, error);
  if (!error) return absl::OkStatus();
  return FolderError(path_, fmt::format("cannot remove snapshot {}", batch_id), error.value());
}

absl::Status CheckpointFolder::RemoveUnfinishedSnapshots() {
  std::vector<fs::path> leftovers;
  std::error_code error;
  fs::directory_iterator entries(snapshots(), error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    if (IsUnfinishedSnapshot(entries->path().filename().string())) {
      leftovers.push_back(entries->path());
    }
  }
  for (const fs::path& path : leftovers) {
    if (!error) fs::remove_all(path, error);
  }
  if (!error) return absl::OkStatus();
  return absl::UnavailableError(fmt::format("cannot tidy up {}: {}", snapshots(), error.message()));
}

std::string CheckpointFolder::RestoreAdvice(std::string_view damaged_file) const {
  if (database_ != path_ + "/state") {
    return fmt::format(
        "no job needs this copy: remove it with rm -r {}, so that nobody goes back to "
        "it",
        database_);
  }
  std::vector<int64_t> batch_ids = ListSnapshots();
  std::reverse(batch_ids.begin(), batch_ids.end());
  for (int64_t batch_id : batch_ids) {
    std::error_code error;
    const std::string copy = snapshot(batch_id);
    // Snapshots share files with the database by hard links: damage in one is damage in both.
    if (!damaged_file.empty() &&
        fs::equivalent(fmt::format("{}/{}", copy, damaged_file),
                       fmt::format("{}/{}", database(), damaged_file), error)) {
      continue;
    }
    return fmt::format(
        "go back to the snapshot of batch {}: stop the job, then run "
        "`tidemark checkpoint rewind {} --to {}`, which says what that means",
        batch_id, path_, batch_id);
  }
  return fmt::format(
      "there is no snapshot to go back to: restore {} from a backup, or start over "
      "in a new folder",
      path_);
}

}  // namespace tidemark
