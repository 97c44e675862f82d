#include "tidemark/operators/formats/json_document.h"

#include <simdjson.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "tidemark/operators/rows/raw_records.h"

namespace tidemark {
namespace {

static_assert(kRecordPadding >= simdjson::SIMDJSON_PADDING);

// The parser needs some 14 bytes a byte of capacity: it shrinks again after a record that is larger than this.
constexpr size_t kKeptCapacity = size_t{1} << 20;
constexpr size_t kFirstCapacity = size_t{1} << 12;

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsNumberByte(char c) {
  return IsDigit(c) || c == '-' || c == '+' || c == '.' || c == 'e' || c == 'E';
}

// RFC 8259, section 6.
bool IsNumber(const char* p, const char* end) {
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

// Checks every number outside of strings and writes `0` and blanks over it. What it takes for a string in a document that
// is broken in other ways does not matter: it changes nothing but numbers, so the parser still sees that.
bool BlankNumbers(char* p, char* end) {
  while (p < end) {
    if (*p == '"') {
      for (++p; p < end && *p != '"'; ++p) p += *p == '\\';
      ++p;
    } else if (*p == '-' || IsDigit(*p)) {
      char* begin = p;
      while (p < end && IsNumberByte(*p)) ++p;
      if (!IsNumber(begin, p)) return false;
      std::fill(begin, p, ' ');
      *begin = '0';
    } else {
      ++p;
    }
  }
  return true;
}

const char* CopyPadded(const char* text, size_t size, std::string* copy) {
  copy->assign(text, size);
  copy->append(kRecordPadding, ' ');
  return copy->data();
}

uint32_t HexDigits(const char* p) {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = p[i];
    value = value << 4 | static_cast<uint32_t>(IsDigit(c) ? c - '0' : (c | 0x20) - 'a' + 10);
  }
  return value;
}

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

JsonDocument::Error ErrorOf(simdjson::error_code code) {
  switch (code) {
    case simdjson::UTF8_ERROR:
      return {BadReason::kInvalidUtf8, "the document is not valid UTF-8"};
    case simdjson::DEPTH_ERROR:
      return {BadReason::kTooDeep, "the document is nested too deep"};
    case simdjson::CAPACITY:
    case simdjson::MEMALLOC:
      return {BadReason::kTooLarge, "there is no memory to parse the document"};
    case simdjson::EMPTY:
      return {BadReason::kParseError, "the document is empty"};
    case simdjson::STRING_ERROR:
      return {BadReason::kParseError, "a string has a bad escape"};
    case simdjson::UNESCAPED_CHARS:
      return {BadReason::kParseError, "a string has an unescaped control character"};
    case simdjson::UNCLOSED_STRING:
      return {BadReason::kParseError, "a string is not closed"};
    case simdjson::NUMBER_ERROR:
      return {BadReason::kParseError, "a number is malformed"};
    case simdjson::T_ATOM_ERROR:
    case simdjson::F_ATOM_ERROR:
    case simdjson::N_ATOM_ERROR:
      return {BadReason::kParseError, "a bare word is not true, false or null"};
    default:
      return {BadReason::kParseError,
              "the structure is broken: a comma, brace, name or value is missing or too many"};
  }
}

}  // namespace

JsonDocument::JsonDocument(size_t max_depth) : max_depth_(max_depth) {}
JsonDocument::~JsonDocument() = default;

int JsonDocument::ParsePadded(const char* text, size_t size) {
  const bool shrink = capacity_ > kKeptCapacity && size <= kKeptCapacity;
  if (capacity_ < size || shrink || parser_ == nullptr) {
    capacity_ = std::max(kFirstCapacity, std::bit_ceil(size));
    parser_ = std::make_unique<simdjson::dom::parser>();
    // simdjson's limit is one more than the objects and arrays that may be open at once, empty ones not counted.
    simdjson::error_code error = parser_->allocate(capacity_, max_depth_ + 1);
    if (error == simdjson::SUCCESS) error = parser_->doc.allocate(capacity_);
    if (error != simdjson::SUCCESS) {
      parser_ = nullptr;
      return error;
    }
  }
  return parser_->parse(text, size, /*realloc_if_needed=*/false).error();
}

std::optional<JsonDocument::Error> JsonDocument::Parse(std::string_view text, bool padded) {
  if (text.empty()) return ErrorOf(simdjson::EMPTY);
  if (text.starts_with("\xEF\xBB\xBF")) {
    return Error{BadReason::kParseError, "the document begins with a byte order mark"};
  }
  text_ = padded ? text.data() : CopyPadded(text.data(), text.size(), &copy_);
  int error = ParsePadded(text_, text.size());
  if (error == simdjson::NUMBER_ERROR) {
    // Valid, perhaps, but past 64 bits. The blanked copy has the same tokens at the same places.
    CopyPadded(text_, text.size(), &blanked_);
    if (BlankNumbers(blanked_.data(), blanked_.data() + text.size())) {
      error = ParsePadded(blanked_.data(), text.size());
    }
  }
  if (error != simdjson::SUCCESS) return ErrorOf(static_cast<simdjson::error_code>(error));
  starts_ = parser_->implementation->structural_indexes.get();
  token_count_ = parser_->implementation->n_structural_indexes;
  if (Kind(0) != '{') return Error{BadReason::kNotAnObject, "the document is not a JSON object"};
  // Two bytes a level at least, so that short documents need not be looked through.
  if (text.size() > 2 * max_depth_ && IsTooDeep()) return ErrorOf(simdjson::DEPTH_ERROR);
  has_escapes_ = std::memchr(text_, '\\', text.size()) != nullptr;
  return std::nullopt;
}

bool JsonDocument::IsTooDeep() const {
  size_t depth = 0;
  for (uint32_t i = 0; i < token_count_; ++i) {
    const char kind = Kind(i);
    if (kind == '{' || kind == '[') {
      if (++depth > max_depth_) return true;
    } else if (kind == '}' || kind == ']') {
      --depth;
    }
  }
  return false;
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
      case 'b': *out++ = '\b'; break;
      case 'f': *out++ = '\f'; break;
      case 'n': *out++ = '\n'; break;
      case 'r': *out++ = '\r'; break;
      case 't': *out++ = '\t'; break;
      case 'u': {
        uint32_t code_point = HexDigits(p);
        p += 4;
        if (code_point >= 0xD800 && code_point < 0xDC00) {
          code_point = 0x10000 + ((code_point - 0xD800) << 10) + (HexDigits(p + 2) - 0xDC00);
          p += 6;
        }
        out = AppendUtf8(code_point, out);
        break;
      }
      default: *out++ = code;  // a quote, a backslash or a slash
    }
  }
  return static_cast<size_t>(out - begin);
}

}  // namespace tidemark
