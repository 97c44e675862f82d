#include "tidemark/operators/formats/json_document.h"

#include <simdjson.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "tidemark/operators/rows/digits.h"
#include "tidemark/operators/rows/raw_records.h"

namespace tidemark {
namespace {

static_assert(kRecordPadding >= simdjson::SIMDJSON_PADDING);

// The scanner takes four bytes for a byte of capacity: it shrinks again after a record that is
// larger than this.
constexpr size_t kKeptCapacity = size_t{1} << 20;
constexpr size_t kFirstCapacity = size_t{1} << 12;

constexpr const char* kBrokenStructure =
    "the structure is broken: a comma, brace, name or value is missing or too many";

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// Most numbers. Tells nothing if false.
bool IsShortInteger(std::string_view token) {
  return (token.size() <= 8) & ((token[0] != '0') | (token.size() == 1)) &
         AreDigits(LoadDigits(token.data(), std::min<size_t>(token.size(), 8)));
}

// The value of four hexadecimal digits; past 0xFFFF if they are none.
uint32_t HexDigits(const char* p) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = p[i];
    const char lower = static_cast<char>(c | 0x20);
    if (IsDigit(c)) {
      value = value << 4 | static_cast<uint32_t>(c - '0');
    } else if (lower >= 'a' && lower <= 'f') {
      value = value << 4 | static_cast<uint32_t>(lower - 'a' + 10);
    } else {
      return UINT32_MAX;
    }
  }
  return value;
}

bool IsHighSurrogate(uint32_t unit) { return unit >= 0xD800 && unit < 0xDC00; }
bool IsLowSurrogate(uint32_t unit) { return unit >= 0xDC00 && unit < 0xE000; }

char* AppendUtf8(uint32_t code_point, char* out) {
  const auto byte = [&](uint32_t value) { *out++ = static_cast<char>(value); };
  if (code_point < 0x80) {
    byte(code_point);
  } else if (code_point < 0x800) {
    byte(0xC0 | code_point >> 6);
    byte(0x80 | (code_point & 0x3F));
  } else if (code_point < 0x10000) {
    byte(0xE0 | code_point >> 12);
    byte(0x80 | (code_point >> 6 & 0x3F));
    byte(0x80 | (code_point & 0x3F));
  } else {
    byte(0xF0 | code_point >> 18);
    byte(0x80 | (code_point >> 12 & 0x3F));
    byte(0x80 | (code_point >> 6 & 0x3F));
    byte(0x80 | (code_point & 0x3F));
  }
  return out;
}

JsonDocument::Error ParseError(const char* detail) { return {BadReason::kParseError, detail}; }

JsonDocument::Error ErrorOf(simdjson::error_code code) {
  switch (code) {
    case simdjson::UTF8_ERROR:
      return {BadReason::kInvalidUtf8, "the document is not valid UTF-8"};
    case simdjson::CAPACITY:
    case simdjson::MEMALLOC:
      return {BadReason::kTooLarge, "there is no memory to parse the document"};
    case simdjson::EMPTY:
      return ParseError("the document is empty");
    case simdjson::UNESCAPED_CHARS:
      return ParseError("a string has an unescaped control character");
    case simdjson::UNCLOSED_STRING:
      return ParseError("a string is not closed");
    default:
      return ParseError(kBrokenStructure);
  }
}

}  // namespace

bool IsJsonNumber(std::string_view text) {
  const char* p = text.data();
  const char* const end = p + text.size();
  const auto digits = [&] {
    const char* begin = p;
    while (p < end && IsDigit(*p)) ++p;
    return p > begin;
  };
  if (p < end && *p == '-') ++p;
  if (p < end && *p == '0') {
    ++p;
  } else if (!digits()) {
    return false;
  }
  if (p < end && *p == '.' && (++p, !digits())) return false;
  if (p < end && (*p == 'e' || *p == 'E')) {
    ++p;
    if (p < end && (*p == '-' || *p == '+')) ++p;
    if (!digits()) return false;
  }
  return p == end;
}

bool AreJsonEscapesValid(std::string_view quoted) {
  const char* p = quoted.data();
  const char* const end = p + quoted.size();
  while ((p = static_cast<const char*>(std::memchr(p, '\\', static_cast<size_t>(end - p)))) !=
         nullptr) {
    const char code = p[1];
    p += 2;
    if (code == 'u') {
      const uint32_t unit = HexDigits(p);
      if (unit > 0xFFFF || IsLowSurrogate(unit)) return false;
      p += 4;
      if (!IsHighSurrogate(unit)) continue;
      if (p[0] != '\\' || p[1] != 'u' || !IsLowSurrogate(HexDigits(p + 2))) return false;
      p += 6;
    } else if (code == '\0' || std::strchr("\"\\/bfnrt", code) == nullptr) {
      return false;
    }
  }
  return true;
}

JsonDocument::JsonDocument(size_t max_depth) : open_(max_depth) {}
JsonDocument::~JsonDocument() = default;

std::optional<JsonDocument::Error> JsonDocument::Parse(std::string_view text, bool padded) {
  if (text.empty()) return ErrorOf(simdjson::EMPTY);
  if (text.starts_with("\xEF\xBB\xBF")) {
    return ParseError("the document begins with a byte order mark");
  }
  if (!padded) {
    copy_.assign(text);
    copy_.append(kRecordPadding, ' ');
    text = {copy_.data(), text.size()};
  }
  text_ = text.data();
  if (std::optional<Error> error = FindTokens(text); error.has_value()) return error;
  has_escapes_ = std::memchr(text_, '\\', text.size()) != nullptr;
  if (std::optional<Error> error = CheckTokens(); error.has_value()) return error;
  if (Kind(0) != '{') return Error{BadReason::kNotAnObject, "the document is not a JSON object"};
  return std::nullopt;
}

std::optional<JsonDocument::Error> JsonDocument::FindTokens(std::string_view text) {
  const bool shrink = capacity_ > kKeptCapacity && text.size() <= kKeptCapacity;
  if (capacity_ < text.size() || shrink) [[unlikely]] {
    capacity_ = std::max(kFirstCapacity, std::bit_ceil(text.size()));
    const simdjson::error_code error =
        simdjson::get_active_implementation()->create_dom_parser_implementation(
            capacity_, /*max_depth=*/1, scanner_);
    if (error != simdjson::SUCCESS) {
      capacity_ = 0;
      return ErrorOf(error);
    }
  }
  const simdjson::error_code error = scanner_->stage1(reinterpret_cast<const uint8_t*>(text.data()),
                                                      text.size(), simdjson::stage1_mode::regular);
  if (error != simdjson::SUCCESS) return ErrorOf(error);
  starts_ = scanner_->structural_indexes.get();
  token_count_ = scanner_->n_structural_indexes;
  return std::nullopt;
}

bool JsonDocument::IsScalar(std::string_view token) const {
  // One branch for the two most common kinds, so that their order cannot be mispredicted.
  if (((token[0] == '"') & !has_escapes_) | IsShortInteger(token)) [[likely]]
    return true;
  return ScalarProblem(token) == nullptr;
}

// What is wrong with a token that should be a string, number, true, false or null.
const char* JsonDocument::ScalarProblem(std::string_view token) const {
  switch (token[0]) {
    case '"':
      if (!has_escapes_ || AreJsonEscapesValid(token.substr(1, token.size() - 2))) return nullptr;
      return "a string has a bad escape";
    case 't':
      return token == "true" ? nullptr : "a bare word is not true, false or null";
    case 'f':
      return token == "false" ? nullptr : "a bare word is not true, false or null";
    case 'n':
      return token == "null" ? nullptr : "a bare word is not true, false or null";
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
      return IsJsonNumber(token) ? nullptr : "a number is malformed";
    default:
      return kBrokenStructure;
  }
}

// A loop over the values and what stands between them. The last token of a document whose first
// opens a bracket is known to close one, so that only the step from one value to the next can run
// into the end.
std::optional<JsonDocument::Error> JsonDocument::CheckTokens() {
  uint32_t i = 0;
  size_t depth = 0;
  bool in_object = false;
  const char first = Kind(0);
  const char last = Kind(token_count_ - 1);
  if ((first == '{' || first == '[') && last != '}' && last != ']') {
    return ParseError("an object or array is not closed");
  }
  while (true) {
    if (in_object) {
      if (Kind(i) != '"' || Kind(i + 1) != ':') return ParseError(kBrokenStructure);
      if (has_escapes_ && !AreJsonEscapesValid(Quoted(i))) {
        return ParseError("a string has a bad escape");
      }
      i += 2;
    }
    const char kind = Kind(i);
    if (kind == '{' || kind == '[') {
      if (depth == open_.size())
        return Error{BadReason::kTooDeep, "the document is nested too deep"};
      open_[depth++] = kind;
      in_object = kind == '{';
      ++i;
      // `]` is `[` + 2, as `}` is `{` + 2.
      if (Kind(i) != kind + 2) continue;
    } else {
      const std::string_view token = Text(i, i + 1);
      if (!IsScalar(token)) return ParseError(ScalarProblem(token));
      ++i;
    }
    while (depth > 0 && i < token_count_ && Kind(i) == open_[depth - 1] + 2) {
      ++i;
      --depth;
    }
    if (depth == 0 || i == token_count_) break;
    if (Kind(i++) != ',') return ParseError(kBrokenStructure);
    in_object = open_[depth - 1] == '{';
  }
  if (depth > 0 || i < token_count_) return ParseError(kBrokenStructure);
  return std::nullopt;
}

uint32_t JsonDocument::SkipContainer(uint32_t i) const {
  size_t depth = 0;
  do {
    const char kind = Kind(i++);
    depth += kind == '{' || kind == '[';
    depth -= kind == '}' || kind == ']';
  } while (depth != 0);
  return i;
}

size_t UnescapeJson(std::string_view escaped, char* out) {
  const char* p = escaped.data();
  const char* const end = p + escaped.size();
  char* const begin = out;
  while (p < end) {
    if (*p != '\\') {
      *out++ = *p++;
      continue;
    }
    const char code = p[1];
    p += 2;
    switch (code) {
      case 'b':
        *out++ = '\b';
        break;
      case 'f':
        *out++ = '\f';
        break;
      case 'n':
        *out++ = '\n';
        break;
      case 'r':
        *out++ = '\r';
        break;
      case 't':
        *out++ = '\t';
        break;
      case 'u': {
        uint32_t code_point = HexDigits(p);
        p += 4;
        if (IsHighSurrogate(code_point)) {
          code_point = 0x10000 + ((code_point - 0xD800) << 10) + (HexDigits(p + 2) - 0xDC00);
          p += 6;
        }
        out = AppendUtf8(code_point, out);
        break;
      }
      default:
        *out++ = code;  // a quote, a backslash or a slash
    }
  }
  return static_cast<size_t>(out - begin);
}

}  // namespace tidemark
