#ifndef TIDEMARK_OPERATORS_FORMATS_JSON_DOCUMENT_H_
#define TIDEMARK_OPERATORS_FORMATS_JSON_DOCUMENT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "tidemark/operators/rows/bad_record.h"

namespace simdjson::dom {
class parser;
}  // namespace simdjson::dom

namespace tidemark {

/// A value inside a JsonDocument: the tokens [first, next). next == 0: no value.
struct JsonValue {
  uint32_t first = 0;
  uint32_t next = 0;
};

/// One validated JSON document as its tokens in source order: each of `{ } [ ] : ,` and each string, number, true, false and
/// null is one. A token's text is the source's own, so numbers keep all their digits.
///
/// simdjson's DOM parser validates (the whole document, UTF-8 included) and finds the tokens. Its tree is not used: it holds
/// numbers as 64 bits only. One document belongs to one thread and is used again for every record: Parse, then, if that went
/// well, everything else, until the next Parse. The text given to Parse must live as long.
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

  /// Reads `text`; nothing if it is valid and one object. `padded`: kRecordPadding bytes after it may be read, so that it
  /// is parsed where it is; otherwise it is copied first.
  std::optional<Error> Parse(std::string_view text, bool padded);

  /// The first byte of token `i`, which tells its kind.
  char Kind(uint32_t i) const { return text_[starts_[i]]; }
  /// The text of the tokens [first, next), as written. Not for the document's last token.
  std::string_view Text(uint32_t first, uint32_t next) const {
    const char* end = text_ + starts_[next];
    while (IsBlank(end[-1])) --end;
    const char* begin = text_ + starts_[first];
    return {begin, static_cast<size_t>(end - begin)};
  }
  std::string_view Text(JsonValue value) const { return Text(value.first, value.next); }
  /// The text between the quotes of string token `i`, escapes as written. At least 8 bytes from its start may be read.
  std::string_view Quoted(uint32_t i) const {
    std::string_view token = Text(i, i + 1);
    return token.substr(1, token.size() - 2);
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
  int ParsePadded(const char* text, size_t size);
  uint32_t SkipContainer(uint32_t i) const;
  bool IsTooDeep() const;

  const size_t max_depth_;
  std::unique_ptr<simdjson::dom::parser> parser_;
  size_t capacity_ = 0;
  std::string copy_;       // the record, when it came without padding
  std::string blanked_;    // the record with its numbers blanked out
  const char* text_ = nullptr;
  const uint32_t* starts_ = nullptr;  // where each token begins; inside the parser
  uint32_t token_count_ = 0;
  bool has_escapes_ = false;
};

/// Writes the text that the inside of a valid JSON string stands for to `out`, which has room for `escaped.size()` bytes;
/// returns the size.
size_t UnescapeJson(std::string_view escaped, char* out);

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_FORMATS_JSON_DOCUMENT_H_
