#include "tidemark/state/checkpoint_rewind.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "fmt/format.h"
#include "tidemark/state/crash_point.h"
#include "tidemark/state/rocksdb_env.h"

namespace tidemark {
namespace {

namespace fs = std::filesystem;

// A file in the database that is to replace the present one (a rewind), or that was the present one
// and is to go (an undone rewind): it tells whether the two have changed places yet.
constexpr std::string_view kMark = "tidemark-rewind";

std::string RewindsFolder(const CheckpointFolder& folder) { return folder.path() + "/rewound"; }
std::string RewoundFolder(const CheckpointFolder& folder, int64_t epoch) {
  return fmt::format("{}/{}", folder.path(), RewoundName(epoch));
}
std::string MarkIn(const std::string& database) { return fmt::format("{}/{}", database, kMark); }

absl::Status ToStatus(const CheckpointFolder& folder, std::string_view what,
                      const std::error_code& error) {
  return error ? FolderError(folder.path(), what, error.value()) : absl::OkStatus();
}

absl::Status Rename(const CheckpointFolder& folder, const std::string& from,
                    const std::string& to) {
  std::error_code error;
  fs::rename(from, to, error);
  return ToStatus(folder, fmt::format("cannot rename {} to {}", from, to), error);
}

absl::Status Remove(const CheckpointFolder& folder, const std::string& path) {
  std::error_code error;
  fs::remove_all(path, error);
  return ToStatus(folder, fmt::format("cannot remove {}", path), error);
}

absl::Status MakeFolder(const CheckpointFolder& folder, const std::string& path) {
  std::error_code error;
  fs::create_directory(path, error);
  return ToStatus(folder, fmt::format("cannot make {}", path), error);
}

bool Exists(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

absl::Status SyncFile(const CheckpointFolder& folder, const std::string& path, int flags) {
  const int fd = open(path.c_str(), flags | O_WRONLY | O_CLOEXEC, 0666);
  const int result = fd < 0 ? -1 : fsync(fd);
  const int error = errno;
  if (fd >= 0) close(fd);
  return result == 0 ? absl::OkStatus()
                     : FolderError(folder.path(), fmt::format("cannot write {}", path), error);
}

// Table files are never changed, so the copy shares them; the few others are copied.
absl::Status CopyDatabase(const CheckpointFolder& folder, const std::string& from,
                          const std::string& to) {
  std::error_code error;
  fs::directory_iterator files(from, error);
  for (; !error && files != fs::directory_iterator(); files.increment(error)) {
    const fs::path& file = files->path();
    const std::string copy = fmt::format("{}/{}", to, file.filename().string());
    std::error_code linked(EPERM, std::generic_category());
    if (file.extension() == ".sst") fs::create_hard_link(file, copy, linked);
    if (!linked) continue;
    fs::copy_file(file, copy, error);
    if (error) break;
    if (absl::Status status = SyncFile(folder, copy, 0); !status.ok()) return status;
  }
  if (error) return ToStatus(folder, fmt::format("cannot copy {} to {}", from, to), error);
  return SyncNames(to);
}

// One step: whoever looks sees either both at their old places or both at their new ones.
absl::Status ChangePlaces(const CheckpointFolder& folder, const std::string& other) {
  absl::Status status;
  if (!Exists(folder.database())) {
    status = Rename(folder, other, folder.database());
  } else if (renameat2(AT_FDCWD, folder.database().c_str(), AT_FDCWD, other.c_str(),
                       RENAME_EXCHANGE) != 0) {
    status = FolderError(folder.path(),
                         fmt::format("cannot let {} and {} change places in one step (the file "
                                     "system must be able to exchange two folders)",
                                     folder.database(), other),
                         errno);
  }
  if (status.ok()) status = SyncNames(folder.path());
  return status.ok() ? SyncNames(fs::path(other).parent_path().string()) : status;
}

// Moves the snapshots past `after` from one folder to another.
absl::Status MoveSnapshots(const CheckpointFolder& folder, const std::string& from,
                           const std::string& to, int64_t after) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entries(from, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const std::string name = entries->path().filename().string();
    const std::optional<int64_t> batch_id = ParseDigits(name);
    if (batch_id.has_value() && *batch_id > after) names.push_back(name);
  }
  if (names.empty()) return absl::OkStatus();
  absl::Status status = MakeFolder(folder, to);
  for (const std::string& name : names) {
    if (status.ok()) status = Rename(folder, from + "/" + name, to + "/" + name);
  }
  if (status.ok()) status = SyncNames(to);
  return status.ok() ? SyncNames(from) : status;
}

// A rewind whose databases have not changed places never was.
absl::Status TakeBack(const CheckpointFolder& folder, const std::string& staging) {
  absl::Status status = MoveSnapshots(folder, staging + "/snapshots", folder.snapshots(), -1);
  // Not half of it under the name of a whole one.
  if (status.ok() && Exists(staging + "/state")) {
    status = Remove(folder, staging + "/building");
    if (status.ok()) status = Rename(folder, staging + "/state", staging + "/building");
  }
  return status.ok() ? Remove(folder, staging) : status;
}

absl::Status Finish(const CheckpointFolder& folder, const std::string& staging, int64_t epoch) {
  absl::Status status = Remove(folder, MarkIn(folder.database()));
  if (status.ok()) status = SyncNames(folder.database());
  if (status.ok()) status = Rename(folder, staging, RewoundFolder(folder, epoch));
  return status.ok() ? SyncNames(RewindsFolder(folder)) : status;
}

absl::Status FinishUndo(const CheckpointFolder& folder, const std::string& staging) {
  absl::Status status = MoveSnapshots(folder, staging + "/snapshots", folder.snapshots(), -1);
  if (status.ok() && Exists(staging + "/state")) {
    status = Remove(folder, staging + "/dropped");
    if (status.ok()) status = Rename(folder, staging + "/state", staging + "/dropped");
  }
  return status.ok() ? Remove(folder, staging) : status;
}

absl::Status TakeBackUndo(const CheckpointFolder& folder, const std::string& staging,
                          int64_t epoch) {
  absl::Status status = Remove(folder, MarkIn(folder.database()));
  return status.ok() ? Rename(folder, staging, RewoundFolder(folder, epoch)) : status;
}

}  // namespace

std::string RewoundName(int64_t epoch) { return fmt::format("rewound/{}", epoch); }

std::vector<int64_t> ListRewinds(const CheckpointFolder& folder) {
  std::vector<int64_t> epochs;
  std::error_code error;
  fs::directory_iterator entries(RewindsFolder(folder), error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const auto epoch = ParseDigits(entries->path().filename().string());
    if (epoch.has_value()) epochs.push_back(*epoch);
  }
  std::sort(epochs.begin(), epochs.end());
  return epochs;
}

absl::Status RewindCheckpoint(
    CheckpointFolder& folder, int64_t batch_id, int64_t epoch,
    const std::function<absl::Status(std::unique_ptr<CheckpointStore>)>& edit) {
  absl::Status status = SettleRewinds(folder);
  if (status.ok()) status = MakeFolder(folder, RewindsFolder(folder));
  const std::string staging = RewoundFolder(folder, epoch) + ".new";
  const std::string building = staging + "/building";
  if (status.ok()) status = MakeFolder(folder, staging);
  if (status.ok()) status = MakeFolder(folder, building);
  if (status.ok()) status = SyncFile(folder, MarkIn(building), O_CREAT);
  if (status.ok()) status = CopyDatabase(folder, folder.snapshot(batch_id), building);
  if (status.ok()) {
    absl::StatusOr<std::unique_ptr<CheckpointStore>> store =
        OpenDatabase(folder.path(), RewoundName(epoch) + ".new/building");
    status = store.ok() ? edit(*std::move(store)) : store.status();
  }
  if (status.ok()) status = SyncNames(building);
  const std::string replacing = staging + "/state";
  if (status.ok()) status = Rename(folder, building, replacing);
  if (status.ok()) status = SyncNames(staging);
  if (status.ok()) status = SyncNames(RewindsFolder(folder));
  if (status.ok()) status = SyncNames(folder.path());
  if (status.ok()) {
    status = MoveSnapshots(folder, folder.snapshots(), staging + "/snapshots", batch_id);
  }
  if (status.ok()) status = ChangePlaces(folder, replacing);
  const absl::Status settled = SettleRewinds(folder);
  return status.ok() ? settled : status;
}

absl::Status UndoRewind(CheckpointFolder& folder, int64_t epoch) {
  absl::Status status = SettleRewinds(folder);
  const std::string staging = RewoundFolder(folder, epoch) + ".undo";
  if (status.ok()) status = SyncFile(folder, MarkIn(folder.database()), O_CREAT);
  if (status.ok()) status = SyncNames(folder.database());
  if (status.ok()) status = Rename(folder, RewoundFolder(folder, epoch), staging);
  if (status.ok()) status = SyncNames(RewindsFolder(folder));
  if (status.ok()) status = ChangePlaces(folder, staging + "/state");
  const absl::Status settled = SettleRewinds(folder);
  return status.ok() ? settled : status;
}

absl::Status SettleRewinds(CheckpointFolder& folder) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator entries(RewindsFolder(folder), error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    names.push_back(entries->path().filename().string());
  }
  absl::Status status = absl::OkStatus();
  for (const std::string& name : names) {
    const size_t dot = std::min(name.find('.'), name.size());
    const std::optional<int64_t> epoch = ParseDigits(std::string_view(name).substr(0, dot));
    if (!status.ok() || !epoch.has_value()) continue;
    const std::string staging = fmt::format("{}/{}", RewindsFolder(folder), name);
    const bool has_state = Exists(staging + "/state");
    const bool has_mark = Exists(MarkIn(staging + "/state"));
    if (name.substr(dot) == ".new") {
      // A database that was lost leaves nothing behind when it is replaced.
      const bool replaced = has_state ? !has_mark : Exists(MarkIn(folder.database()));
      status = replaced ? Finish(folder, staging, *epoch) : TakeBack(folder, staging);
    } else if (name.substr(dot) == ".undo") {
      status = has_state && !has_mark ? TakeBackUndo(folder, staging, *epoch)
                                      : FinishUndo(folder, staging);
    }
  }
  return status;
}

}  // namespace tidemark
