#ifndef TIDEMARK_ENGINE_TEXT_ROWS_H_
#define TIDEMARK_ENGINE_TEXT_ROWS_H_

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"

namespace tidemark {

/// A name as one word of a checkpoint row: blanks, control characters and `%` as `%20`. A Kafka
/// topic has none of them, a polled table may.
inline std::string TextWord(std::string_view text) {
  std::string word;
  for (const char c : text) {
    if (static_cast<unsigned char>(c) > ' ' && c != '%' && c != '\x7f') {
      word += c;
    } else {
      constexpr std::string_view kHex = "0123456789ABCDEF";
      word += {'%', kHex[static_cast<unsigned char>(c) >> 4], kHex[c & 15]};
    }
  }
  return word;
}

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
  /// A partition's number.
  int32_t Partition() {
    const int64_t value = Int();
    if (value < 0 || value > INT32_MAX) Fail();
    return static_cast<int32_t>(value);
  }
  /// What TextWord made a word of.
  std::string Text() {
    std::string text;
    for (std::string_view word = Take(); !word.empty();) {
      unsigned byte = static_cast<unsigned char>(word[0]);
      const bool escaped = word[0] == '%';
      if (escaped && (word.size() < 3 ||
                      std::from_chars(&word[1], &word[1] + 2, byte, 16).ptr != &word[1] + 2)) {
        Fail();
        return "";
      }
      text += static_cast<char>(byte);
      word.remove_prefix(escaped ? 3 : 1);
    }
    return text;
  }
  /// No word is left.
  void End() {
    if (!rest_.empty()) Fail();
  }

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
  TextRows(std::string_view text, std::string_view what) : text_(text), rest_(text), what_(what) {}

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
  absl::Status Check() const { return Check(text_); }
  /// DataLoss if anything did not read as it should, or is not exactly what would be written:
  /// `written` is the encoding of what was read.
  absl::Status Check(std::string_view written) const {
    if (!bad_ && text_ == written) return absl::OkStatus();
    return absl::DataLossError(
        "the checkpoint is damaged: " + std::string(what_) +
        " cannot be read; restore the checkpoint folder or start with a new one");
  }

 private:
  std::string_view text_;
  std::string_view rest_;
  std::string_view what_;
  bool bad_ = false;
};

}  // namespace tidemark

#endif  // TIDEMARK_ENGINE_TEXT_ROWS_H_
