#ifndef TIDEMARK_OPERATORS_SINKS_DURABLE_FILE_H_
#define TIDEMARK_OPERATORS_SINKS_DURABLE_FILE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace tidemark {

// Files that are there whole or not at all, for sinks that write to a folder. Errors: a full disk
// is ResourceExhausted, a device's error Unavailable, everything else (no right, no such folder, a
// file in the way) InvalidArgument.

/// A file that gets its name only when it is complete and on disk: Create, Append as often as
/// needed, Sync, Publish, and then SyncFolder once for all files of the folder. Until Publish it
/// has the hidden name `.<name>.tmp`, which goes with the object, or after a crash with RemoveFile.
/// One thread at a time.
class DurableFile {
 public:
  /// Replaces what an earlier try left under the hidden name.
  static absl::StatusOr<DurableFile> Create(const std::string& folder, const std::string& name);
  /// The hidden name of `name`, and back (empty if it is no hidden name).
  static std::string HiddenName(std::string_view name);
  static std::string ShownName(std::string_view hidden_name);

  DurableFile(DurableFile&& other) noexcept;
  DurableFile& operator=(DurableFile&&) = delete;
  ~DurableFile();

  const std::string& folder() const { return folder_; }
  const std::string& name() const { return name_; }
  /// Bytes appended so far.
  int64_t bytes() const { return bytes_; }
  absl::Status Append(std::string_view bytes);
  /// Everything appended is on disk; nothing can be appended any more.
  absl::Status Sync();
  /// Gives a synced file its name, replacing a file that has it.
  absl::Status Publish();

 private:
  DurableFile(std::string folder, std::string name, int fd);
  absl::Status WriteBuffer();
  std::string HiddenPath() const;

  std::string folder_;
  std::string name_;
  std::string buffer_;
  int fd_ = -1;
  bool hidden_ = true;  // the hidden name exists
  int64_t bytes_ = 0;
};

/// What a failed system call means: `<what> '<path>': <reason>`, with advice.
absl::Status FileError(int error_number, std::string_view what, const std::string& path);

/// Makes `folder` and the folders above it, each synced into its parent.
absl::Status MakeFolder(const std::string& folder);
/// Names made, renamed or removed in `folder` are on disk.
absl::Status SyncFolder(const std::string& folder);
/// The names in `folder`, unsorted; none if there is no such folder.
absl::StatusOr<std::vector<std::string>> ListFolder(const std::string& folder);
absl::StatusOr<int64_t> FileBytes(const std::string& path);
bool IsFolder(const std::string& path);
/// OK too if there is no such file.
absl::Status RemoveFile(const std::string& path);
/// The whole of a small file (up to 16 MiB; InvalidArgument past that).
absl::StatusOr<std::string> ReadSmallFile(const std::string& path);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_SINKS_DURABLE_FILE_H_
