#ifndef TIDEMARK_ENGINE_TEXT_ROWS_H_
#define TIDEMARK_ENGINE_TEXT_ROWS_H_

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace tidemark {

/// One line of a checkpoint row: words separated by single blanks, taken from left to right. A
/// mistake is remembered by the TextRows it came from; values read after it are empty or 0.
class TextRow {
 public:
  TextRow() = default;
  TextRow(std::string_view line, bool* bad) : rest_(line), bad_(bad) {}

  /// True if the next word is this; then it is taken.
  bool Is(std::string_view word) {
    if (NextWord() != word) return false;
    Take();
    return true;
  }
  void Word(std::string_view word) {
    if (!Is(word)) Fail();
  }
  void Constant(int64_t value) {
    if (Int() != value) Fail();
  }
  int64_t Int() { return Number<int64_t>(); }
  uint64_t Unsigned() { return Number<uint64_t>(); }
  std::string Text() { return std::string(Take()); }

 private:
  template <typename T>
  T Number() {
    const std::string_view word = Take();
    T value = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || end != word.data() + word.size()) Fail();
    return value;
  }
  std::string_view NextWord() const { return rest_.substr(0, rest_.find(' ')); }
  std::string_view Take() {
    const std::string_view word = NextWord();
    if (word.empty()) Fail();
    rest_.remove_prefix(std::min(rest_.size(), word.size() + 1));
    return word;
  }
  void Fail() {
    if (bad_ != nullptr) *bad_ = true;
  }

  std::string_view rest_;
  bool* bad_ = nullptr;
};

/// The lines of a checkpoint row (each ends with a newline).
class TextRows {
 public:
  /// `what` names the row in the error.
  TextRows(std::string_view text, std::string_view what) : rest_(text), what_(what) {}

  bool more() const { return !rest_.empty() && !bad_; }
  TextRow Next() {
    const size_t end = rest_.find('\n');
    if (end == std::string_view::npos) {
      bad_ = true;
      return TextRow({}, &bad_);
    }
    const std::string_view line = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return TextRow(line, &bad_);
  }
  /// DataLoss if anything did not read as it should.
  absl::Status Check() const {
    if (!bad_) return absl::OkStatus();
    return absl::DataLossError(
        "the checkpoint is damaged: " + std::string(what_) +
        " cannot be read; restore the checkpoint folder or start with a new one");
  }

 private:
  std::string_view rest_;
  std::string_view what_;
  bool bad_ = false;
};

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_TEXT_ROWS_H_
