#include "tidemark/operators/sinks/durable_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

namespace tidemark {
namespace {

constexpr size_t kBufferBytes = size_t{256} << 10;
constexpr size_t kMaxSmallFileBytes = size_t{16} << 20;

std::string PathOf(const std::string& folder, std::string_view name) {
  return fmt::format("{}/{}", folder, name);
}

std::string ParentOf(const std::string& path) {
  const size_t last = path.find_last_not_of('/');
  const size_t slash = last == std::string::npos ? last : path.rfind('/', last);
  if (slash == std::string::npos) return ".";
  const size_t end = path.find_last_not_of('/', slash);
  return end == std::string::npos ? "/" : path.substr(0, end + 1);
}

}  // namespace

absl::Status FileError(int error_number, std::string_view what, const std::string& path) {
  const std::string failed =
      fmt::format("{} '{}': {}", what, path, std::generic_category().message(error_number));
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return absl::ResourceExhaustedError(failed + "; make room, the query goes on by itself");
    case EIO:
    case ESTALE:
    case ETIMEDOUT:
      return absl::UnavailableError(failed + "; the device does not answer as it should");
    default:
      return absl::InvalidArgumentError(failed + "; give a folder that this user may write to");
  }
}

absl::Status MakeFolder(const std::string& folder) {
  if (mkdir(folder.c_str(), 0777) == 0) return SyncFolder(ParentOf(folder));
  if (errno == ENOENT && ParentOf(folder) != folder) {
    absl::Status status = MakeFolder(ParentOf(folder));
    if (!status.ok()) return status;
    if (mkdir(folder.c_str(), 0777) == 0) return SyncFolder(ParentOf(folder));
  }
  const int error_number = errno;
  struct stat info;
  if (error_number == EEXIST && stat(folder.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
    return absl::OkStatus();
  }
  return FileError(error_number == EEXIST ? ENOTDIR : error_number, "cannot make the folder",
                   folder);
}

absl::Status SyncFolder(const std::string& folder) {
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return FileError(errno, "cannot open the folder", folder);
  const int error_number = fsync(fd) == 0 ? 0 : errno;
  close(fd);
  // Some file systems have nothing to sync in a folder and say so.
  if (error_number == 0 || error_number == EINVAL) return absl::OkStatus();
  return FileError(error_number, "cannot sync the folder", folder);
}

absl::StatusOr<std::vector<std::string>> ListFolder(const std::string& folder) {
  std::vector<std::string> names;
  DIR* entries = opendir(folder.c_str());
  if (entries == nullptr) {
    if (errno == ENOENT) return names;
    return FileError(errno, "cannot list the folder", folder);
  }
  errno = 0;
  while (const dirent* entry = readdir(entries)) names.emplace_back(entry->d_name);
  const int error_number = errno;
  closedir(entries);
  if (error_number != 0) return FileError(error_number, "cannot list the folder", folder);
  std::erase_if(names, [](const std::string& name) { return name == "." || name == ".."; });
  return names;
}

absl::StatusOr<int64_t> FileBytes(const std::string& path) {
  struct stat info;
  if (stat(path.c_str(), &info) != 0) return FileError(errno, "cannot look at the file", path);
  return static_cast<int64_t>(info.st_size);
}

bool IsFolder(const std::string& path) {
  struct stat info;
  return stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

absl::Status RemoveFile(const std::string& path) {
  if (unlink(path.c_str()) == 0 || errno == ENOENT) return absl::OkStatus();
  return FileError(errno, "cannot remove the file", path);
}

absl::StatusOr<std::string> ReadSmallFile(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return FileError(errno, "cannot open the file", path);
  std::string text;
  char block[8192];
  ssize_t got;
  while ((got = read(fd, block, sizeof(block))) != 0) {
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 || text.size() > kMaxSmallFileBytes) break;
    text.append(block, static_cast<size_t>(got));
  }
  const int error_number = got < 0 ? errno : 0;
  close(fd);
  if (error_number != 0) return FileError(error_number, "cannot read the file", path);
  if (text.size() > kMaxSmallFileBytes) {
    return absl::InvalidArgumentError(fmt::format("the file '{}' is too large", path));
  }
  return text;
}

DurableFile::DurableFile(std::string folder, std::string name, int fd)
    : folder_(std::move(folder)), name_(std::move(name)), fd_(fd) {}

DurableFile::DurableFile(DurableFile&& other) noexcept
    : folder_(std::move(other.folder_)),
      name_(std::move(other.name_)),
      buffer_(std::move(other.buffer_)),
      fd_(std::exchange(other.fd_, -1)),
      hidden_(std::exchange(other.hidden_, false)),
      bytes_(other.bytes_) {}

DurableFile::~DurableFile() {
  if (fd_ >= 0) close(fd_);
  if (hidden_) unlink(HiddenPath().c_str());
}

std::string DurableFile::HiddenName(std::string_view name) { return fmt::format(".{}.tmp", name); }

std::string DurableFile::ShownName(std::string_view hidden_name) {
  constexpr std::string_view kSuffix = ".tmp";
  if (hidden_name.size() <= 1 + kSuffix.size() || !hidden_name.starts_with('.') ||
      !hidden_name.ends_with(kSuffix)) {
    return "";
  }
  hidden_name.remove_prefix(1);
  return std::string(hidden_name.substr(0, hidden_name.size() - kSuffix.size()));
}

std::string DurableFile::HiddenPath() const { return PathOf(folder_, HiddenName(name_)); }

absl::StatusOr<DurableFile> DurableFile::Create(const std::string& folder,
                                                const std::string& name) {
  const std::string path = PathOf(folder, HiddenName(name));
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (fd < 0) return FileError(errno, "cannot create the file", path);
  return DurableFile(folder, name, fd);
}

absl::Status DurableFile::Append(std::string_view bytes) {
  buffer_.append(bytes);
  bytes_ += static_cast<int64_t>(bytes.size());
  return buffer_.size() < kBufferBytes ? absl::OkStatus() : WriteBuffer();
}

absl::Status DurableFile::WriteBuffer() {
  size_t written = 0;
  while (written < buffer_.size()) {
    const ssize_t wrote = write(fd_, buffer_.data() + written, buffer_.size() - written);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return FileError(errno, "cannot write the file", HiddenPath());
    written += static_cast<size_t>(wrote);
  }
  buffer_.clear();
  return absl::OkStatus();
}

absl::Status DurableFile::Sync() {
  absl::Status status = WriteBuffer();
  if (!status.ok()) return status;
  std::string().swap(buffer_);  // thousands of files may wait for their names
  const int error_number = fsync(fd_) == 0 ? 0 : errno;
  const int close_error = close(std::exchange(fd_, -1)) == 0 ? 0 : errno;
  if (error_number != 0) return FileError(error_number, "cannot sync the file", HiddenPath());
  if (close_error != 0) return FileError(close_error, "cannot close the file", HiddenPath());
  return absl::OkStatus();
}

absl::Status DurableFile::Publish() {
  const std::string path = PathOf(folder_, name_);
  if (rename(HiddenPath().c_str(), path.c_str()) != 0) {
    return FileError(errno, "cannot rename a finished file to", path);
  }
  hidden_ = false;
  return absl::OkStatus();
}

}  // namespace tidemark
