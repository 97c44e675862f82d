#include "tidemark/operators/sinks/console_sink.h"

#include <fmt/format.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <ctime>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

constexpr size_t kMinimumColumnWidth = 3;
constexpr std::string_view kRule = "-------------------------------------------\n";

// A whole sequence of UTF-8; a byte that is none (never in a string column) stands for itself.
size_t CharacterBytes(std::string_view text, size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  const size_t bytes = lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  return std::min(bytes, text.size() - at);
}

// Spark counts Java's characters: one beyond U+FFFF is two.
size_t JavaLength(std::string_view text) {
  size_t length = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = CharacterBytes(text, at);
    length += bytes == 4 ? 2 : 1;
    at += bytes;
  }
  return length;
}

// The first `length` of Java's characters; half of a pair prints as Java prints it.
std::string JavaPrefix(std::string_view text, size_t length) {
  size_t at = 0;
  while (at < text.size() && length > 0) {
    const size_t bytes = CharacterBytes(text, at);
    if (bytes == 4 && length == 1) return std::string(text.substr(0, at)) + '?';
    length -= bytes == 4 ? 2 : 1;
    at += bytes;
  }
  return std::string(text.substr(0, at));
}

// The ranges that Spark takes for characters of double width (all of three bytes in UTF-8).
bool IsFullWidth(std::string_view character) {
  if (character.size() != 3) return false;
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(character[i]); };
  const unsigned code = (byte(0) & 0x0Fu) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu);
  constexpr std::array<std::pair<unsigned, unsigned>, 8> kRanges = {{{0x1100, 0x115F},
                                                                     {0x2E80, 0xA4CF},
                                                                     {0xAC00, 0xD7A3},
                                                                     {0xF900, 0xFAFF},
                                                                     {0xFE10, 0xFE19},
                                                                     {0xFE30, 0xFE6F},
                                                                     {0xFF00, 0xFF60},
                                                                     {0xFFE0, 0xFFE6}}};
  return std::any_of(kRanges.begin(), kRanges.end(),
                     [code](auto range) { return code >= range.first && code <= range.second; });
}

size_t Width(std::string_view text) {
  size_t width = JavaLength(text);
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = CharacterBytes(text, at);
    if (IsFullWidth(text.substr(at, bytes))) ++width;
    at += bytes;
  }
  return width;
}

std::string Escaped(std::string_view text) {
  std::string escaped;
  for (char c : text) {
    switch (c) {
      case '\n':
        escaped += "\\n";
        break;
      case '\r':
        escaped += "\\r";
        break;
      case '\t':
        escaped += "\\t";
        break;
      case '\f':
        escaped += "\\f";
        break;
      case '\b':
        escaped += "\\b";
        break;
      case '\v':
        escaped += "\\v";
        break;
      case '\a':
        escaped += "\\a";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F) {
          escaped += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        } else {
          escaped += c;
        }
    }
  }
  return escaped;
}

// `2025-01-02 10:15:22.12` for `2025-01-02T10:15:22.120Z`.
std::string SparkTimestamp(int64_t micros) {
  std::string text;
  AppendTimestamp(micros, &text);
  text.pop_back();
  text[text.find('T')] = ' ';
  if (text.find('.') != std::string::npos) text.erase(text.find_last_not_of('0') + 1);
  return text;
}

std::string SparkBytes(std::string_view bytes) {
  std::string text = "[";
  for (char c : bytes) {
    if (text.size() > 1) text += ' ';
    text += fmt::format("{:02X}", static_cast<unsigned char>(c));
  }
  return text + "]";
}

std::string CellText(const Column& column, uint32_t row) {
  if (column.IsNull(row)) return "NULL";
  switch (column.type().id) {
    case TypeId::kTimestamp:
      return SparkTimestamp(column.values<int64_t>()[row]);
    case TypeId::kBytes:
      return SparkBytes(column.text(row));
    case TypeId::kString:
      return Escaped(column.text(row));
    default: {
      std::string text;
      AppendValueText(column, row, &text);
      return text;
    }
  }
}

// A batch as Spark's Dataset.show prints it: rule, header, rows, all cells of a column equally
// wide.
class Table {
 public:
  Table(const Schema& schema, size_t truncate) : truncate_(truncate) {
    for (const Field& field : schema.fields()) {
      header_.push_back(Escaped(field.name));
      widths_.push_back(std::max(kMinimumColumnWidth, Width(header_.back())));
    }
  }

  size_t num_rows() const { return rows_.size(); }

  void AddRow(const RowBatch& batch, uint32_t row) {
    std::vector<std::string> cells;
    for (size_t i = 0; i < widths_.size(); ++i) {
      cells.push_back(Cut(CellText(batch.column(i), row)));
      widths_[i] = std::max(widths_[i], Width(cells.back()));
    }
    rows_.push_back(std::move(cells));
  }

  std::string ToString() const {
    std::string rule = "+";
    for (size_t width : widths_) rule.append(width, '-') += '+';
    rule += '\n';
    std::string text = rule;
    AppendLine(header_, &text);
    text += rule;
    for (const std::vector<std::string>& cells : rows_) AppendLine(cells, &text);
    return text + rule;
  }

 private:
  std::string Cut(std::string text) const {
    if (truncate_ == 0 || JavaLength(text) <= truncate_) return text;
    if (truncate_ < 4) return JavaPrefix(text, truncate_);
    return JavaPrefix(text, truncate_ - 3) + "...";
  }

  void AppendLine(const std::vector<std::string>& cells, std::string* out) const {
    *out += '|';
    for (size_t i = 0; i < cells.size(); ++i) {
      const size_t blanks = widths_[i] - Width(cells[i]);
      if (truncate_ > 0) out->append(blanks, ' ');
      *out += cells[i];
      if (truncate_ == 0) out->append(blanks, ' ');
      *out += '|';
    }
    *out += '\n';
  }

  const size_t truncate_;
  std::vector<std::string> header_;
  std::vector<size_t> widths_;
  std::vector<std::vector<std::string>> rows_;
};

// Keeps this thread from getting SIGPIPE while it lives; a SIGPIPE of its own is swallowed.
class NoBrokenPipeSignal {
 public:
  NoBrokenPipeSignal() {
    sigemptyset(&pipe_);
    sigaddset(&pipe_, SIGPIPE);
    sigset_t pending;
    sigpending(&pending);
    was_pending_ = sigismember(&pending, SIGPIPE) == 1;
    pthread_sigmask(SIG_BLOCK, &pipe_, &before_);
  }
  ~NoBrokenPipeSignal() {
    constexpr timespec kAtOnce = {0, 0};
    if (!was_pending_) {
      while (sigtimedwait(&pipe_, nullptr, &kAtOnce) < 0 && errno == EINTR) continue;
    }
    pthread_sigmask(SIG_SETMASK, &before_, nullptr);
  }
  NoBrokenPipeSignal(const NoBrokenPipeSignal&) = delete;
  NoBrokenPipeSignal& operator=(const NoBrokenPipeSignal&) = delete;

 private:
  sigset_t pipe_;
  sigset_t before_;
  bool was_pending_;
};

class ConsoleSink : public Sink {
 public:
  ConsoleSink(ConsoleOptions options, std::FILE* out) : options_(options), out_(out) {}

  std::string description() const override {
    return fmt::format("Console[num_rows={}, truncate={}]", options_.num_rows, options_.truncate);
  }
  bool exactly_once() const override { return false; }

  absl::Status Open(const SinkContext& context) override {
    if (options_.num_rows < 0 || options_.truncate < 0) {
      return absl::InvalidArgumentError(fmt::format(
          "the console shows {} rows cut to {} characters: neither may be negative (0 characters: "
          "cells are not cut)",
          options_.num_rows, options_.truncate));
    }
    context_ = context;
    return absl::OkStatus();
  }

  absl::StatusOr<SinkMarker> Commit(const SinkBatch& batch, RowStream& rows) override {
    Table table(context_.schema, static_cast<size_t>(options_.truncate));
    const size_t limit = static_cast<size_t>(options_.num_rows);
    while (true) {
      const absl::StatusOr<const RowBatch*> next = rows.Next();
      if (!next.ok()) return next.status();
      if (*next == nullptr) break;
      const Selection& selected = (*next)->selection();
      for (size_t i = 0; i < selected.size() && table.num_rows() < limit; ++i) {
        table.AddRow(**next, selected[i]);
      }
    }
    std::string text =
        fmt::format("{}Batch: {}\n{}{}", kRule, batch.batch_id, kRule, table.ToString());
    if (rows.row_count() > options_.num_rows) {
      text += fmt::format("only showing top {} {}\n", options_.num_rows,
                          options_.num_rows == 1 ? "row" : "rows");
    } else {
      text += '\n';
    }
    absl::Status status = Print(text);
    if (!status.ok()) return status;
    return MarkerOf(context_, batch, rows);
  }

  void Cancel() override { cancelled_ = true; }

 private:
  absl::Status Print(std::string_view text) {
    constexpr int kWaitMs = 100;
    // What poll says may be written to a pipe without waiting for its reader.
    constexpr size_t kPieceBytes = 4096;
    const NoBrokenPipeSignal no_signal;
    // What others printed into the stream comes before the table.
    if (std::fflush(out_) != 0) return PrintError(errno);
    const int fd = fileno(out_);
    if (fd < 0) return PrintError(EBADF);
    while (!text.empty()) {
      pollfd ready = {fd, POLLOUT, 0};
      const int polled = poll(&ready, 1, kWaitMs);
      if (polled <= 0) {
        if (polled < 0 && errno != EINTR) return PrintError(errno);
        if (cancelled_) return absl::CancelledError("the console's reader does not read; stopped");
        continue;
      }
      const ssize_t wrote = write(fd, text.data(), std::min(text.size(), kPieceBytes));
      if (wrote < 0 && errno != EINTR && errno != EAGAIN) return PrintError(errno);
      if (wrote > 0) text.remove_prefix(static_cast<size_t>(wrote));
    }
    return absl::OkStatus();
  }

  static absl::Status PrintError(int error_number) {
    if (error_number == EPIPE || error_number == EBADF) {
      return absl::InvalidArgumentError(
          "cannot print a batch: nobody reads the output any more (it is closed); keep its reader "
          "running, or write to another sink");
    }
    const std::string reason = std::generic_category().message(error_number);
    if (error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG) {
      return absl::ResourceExhaustedError(
          fmt::format("cannot print a batch: {}; make room, the query goes on by itself", reason));
    }
    return absl::InvalidArgumentError(
        fmt::format("cannot print a batch: {}; check where standard output goes to", reason));
  }

  const ConsoleOptions options_;
  std::FILE* const out_;
  SinkContext context_;
  std::atomic<bool> cancelled_ = false;
};

}  // namespace

std::unique_ptr<Sink> MakeConsoleSink(ConsoleOptions options, std::FILE* out) {
  return std::make_unique<ConsoleSink>(options, out);
}

}  // namespace tidemark
