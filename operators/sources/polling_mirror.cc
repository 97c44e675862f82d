#include "tidemark/operators/sources/polling_mirror.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <system_error>

#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

absl::Status Failed(const char* what, const std::string& path) {
  return absl::UnavailableError(fmt::format(
      "cannot {} the offset's mirror '{}': {}; make room, or give a path that this user "
      "may write to",
      what, path, std::generic_category().message(errno)));
}

bool WriteAll(int fd, const std::string& text) {
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t wrote = ::write(fd, text.data() + done, text.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) return false;
    done += static_cast<size_t>(wrote);
  }
  return ::fsync(fd) == 0;
}

}  // namespace

std::string MirrorText(const MirroredOffset& offset) {
  std::string text = "{\"source\":";
  AppendJsonString(offset.source, &text);
  text += fmt::format(",\"rows\":{}", offset.rows);
  if (offset.last.has_value() && offset.mode == PollingMode::kId) {
    text += fmt::format(",\"last_id\":{}", *offset.last);
  } else if (offset.last.has_value()) {
    text += ",\"last_timestamp\":\"";
    AppendTimestamp(*offset.last, &text);
    text += '"';
  }
  return text + "}\n";
}

absl::Status WriteMirrorFile(const std::string& path, const MirroredOffset& offset) {
  const std::string hidden = path + ".tmp";
  const int fd = ::open(hidden.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (fd < 0) return Failed("create", hidden);
  const bool written = WriteAll(fd, MirrorText(offset));
  const int error = errno;
  ::close(fd);
  errno = error;
  if (!written) return Failed("write", hidden);
  if (std::rename(hidden.c_str(), path.c_str()) != 0) return Failed("replace", path);
  const size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const int folder_fd = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder_fd < 0) return Failed("sync the folder of", path);
  ::fsync(folder_fd);  // some file systems have nothing to sync in a folder and say so
  ::close(folder_fd);
  return absl::OkStatus();
}

absl::Status MirrorTableStatus(MirrorFault fault, const PollingMirror& mirror,
                               std::string_view make) {
  const std::string table =
      fmt::format("the table {} that is to show the offset (--offset-table)", mirror.table);
  switch (fault) {
    case MirrorFault::kNoTable:
      return absl::InvalidArgumentError(
          fmt::format("{} is not there; check the name, or run: {}", table, make));
    case MirrorFault::kNoColumns:
      return absl::InvalidArgumentError(
          fmt::format("{} has no columns '{}' and '{}' of the right types; name another one, or "
                      "have it as of: {}",
                      table, mirror.source_column, mirror.offset_column, make));
    case MirrorFault::kNoRight:
      break;
  }
  return absl::InvalidArgumentError(
      fmt::format("this user may not read {}; let an administrator run: GRANT SELECT, INSERT, "
                  "UPDATE ON {} TO the user",
                  table, mirror.table));
}

absl::Status MirrorValueStatus(const PollingMirror& mirror, PollingMode mode,
                               std::string_view text) {
  return absl::InvalidArgumentError(fmt::format(
      "the offset in the table {} (--offset-table) is '{}', which is no {}; correct it, or delete "
      "its row",
      mirror.table, text, mode == PollingMode::kId ? "id" : "time"));
}

}  // namespace tidemark
