#ifndef TIDEMARK_OPERATORS_FORMATS_JSON_DOCUMENT_H_
#define TIDEMARK_OPERATORS_FORMATS_JSON_DOCUMENT_H_

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tidemark/operators/rows/bad_record.h"

namespace simdjson::internal {
class dom_parser_implementation;
}  // namespace simdjson::internal

namespace tidemark {

/// A value inside a JsonDocument: the tokens [first, next). next == 0: no value.
struct JsonValue {
  uint32_t first = 0;
  uint32_t next = 0;
};

/// A value as it is written, with readable padding behind it. Empty: no value.
struct JsonText {
  std::string_view text;
  bool escaped = false;  ///< false: no string in it holds a backslash
};

/// One validated JSON document as its tokens in source order: each of `{ } [ ] : ,` and each
/// string, number, true, false and null is one. A token's text is the source's own, so numbers keep
/// all their digits.
///
/// The first stage of simdjson's DOM parser finds the tokens and checks UTF-8 and the quotes; the
/// grammar (RFC 8259) is checked here, over the tokens. simdjson's second stage would do that too,
/// but refuses documents with a number past 64 bits anywhere, and builds a tree that nobody needs.
///
/// One document belongs to one thread and is used again for every record: Parse, and if that went
/// well everything else, until the next Parse. The text given to Parse must live as long.
class JsonDocument {
 public:
  struct Error {
    BadReason reason;
    std::string_view detail;  ///< a literal
  };

  /// Documents nested deeper than `max_depth` objects and arrays are refused.
  explicit JsonDocument(size_t max_depth);
  ~JsonDocument();
  JsonDocument(const JsonDocument&) = delete;
  JsonDocument& operator=(const JsonDocument&) = delete;

  /// Nothing if `text`, of less than 4 GiB, is valid and one object. `padded`: kRecordPadding bytes
  /// after it may be read, so that it is parsed where it is; otherwise it is copied first.
  std::optional<Error> Parse(std::string_view text, bool padded);

  /// Where it was parsed.
  std::string_view text() const { return {text_, starts_[token_count_]}; }
  uint32_t token_count() const { return token_count_; }
  /// Where token `i` begins in the text; for token_count, where the text ends.
  uint32_t Begin(uint32_t i) const { return starts_[i]; }
  const char* At(uint32_t i) const { return text_ + starts_[i]; }
  /// The first byte of token `i`, which tells its kind.
  char Kind(uint32_t i) const { return text_[starts_[i]]; }
  /// The text of the tokens [first, next), as written. kRecordPadding bytes after it may be read.
  std::string_view Text(uint32_t first, uint32_t next) const {
    const char* end = text_ + starts_[next];
    while (static_cast<unsigned char>(end[-1]) <= ' ' && IsBlank(end[-1])) [[unlikely]]-- end;
    const char* begin = text_ + starts_[first];
    return {begin, static_cast<size_t>(end - begin)};
  }
  JsonText Text(JsonValue value) const {
    if (value.next == 0) return {};
    return {Text(value.first, value.next), has_escapes_};
  }
  /// The text between the quotes of string token `i`, escapes as written.
  std::string_view Quoted(uint32_t i) const {
    const std::string_view token = Text(i, i + 1);
    return {token.data() + 1, token.size() - 2};
  }
  /// The token after the value that begins at token `i`.
  uint32_t Skip(uint32_t i) const {
    const char kind = Kind(i);
    return kind == '{' || kind == '[' ? SkipContainer(i) : i + 1;
  }
  /// False: no string of the document holds a backslash.
  bool has_escapes() const { return has_escapes_; }

 private:
  static bool IsBlank(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }
  std::optional<Error> FindTokens(std::string_view text);
  bool IsScalar(std::string_view token) const;
  std::optional<Error> CheckTokens();
  const char* ScalarProblem(std::string_view token) const;
  uint32_t SkipContainer(uint32_t i) const;

  std::unique_ptr<simdjson::internal::dom_parser_implementation> scanner_;
  size_t capacity_ = 0;  // of the scanner, in bytes of text
  std::string copy_;     // the record, when it came without padding
  const char* text_ = nullptr;
  const uint32_t* starts_ =
      nullptr;  // where each token begins, then where the text ends; inside the scanner
  uint32_t token_count_ = 0;
  bool has_escapes_ = false;
  std::vector<char> open_;  // the brackets around the current token, during CheckTokens
};

/// A number by the grammar (RFC 8259, section 6).
bool IsJsonNumber(std::string_view text);
/// Whether the backslashes in the inside of a string are followed by what may follow them. The
/// byte behind it is its quote.
bool AreJsonEscapesValid(std::string_view quoted);

/// Writes the text that the inside of a valid JSON string stands for to `out`, which has room for
/// `escaped.size()` bytes; returns the size.
size_t UnescapeJson(std::string_view escaped, char* out);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_JSON_DOCUMENT_H_
