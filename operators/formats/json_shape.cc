#include "tidemark/operators/formats/json_shape.h"

#include <simdjson.h>

#include <algorithm>
#include <bit>
#include <cstring>

#include "tidemark/operators/rows/raw_records.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace tidemark {
namespace {

constexpr uint32_t kMaxTokens = 1024;
constexpr uint32_t kMaxPatience = 1024;
// What is compared and looked at in one step.
constexpr size_t kBlock = 16;
static_assert(kRecordPadding >= 2 * kBlock);

#ifdef __SSE2__

__m128i Load(const char* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }

// A bit for each of kBlock bytes from `p` on that ends the plain part of a string: a quote, a
// backslash, a control character, or one that is not ASCII (negative, so below the blank too).
inline uint32_t NotPlain(const char* p) {
  const __m128i block = Load(p);
  const __m128i odd = _mm_or_si128(_mm_cmplt_epi8(block, _mm_set1_epi8(' ')),
                                   _mm_or_si128(_mm_cmpeq_epi8(block, _mm_set1_epi8('"')),
                                                _mm_cmpeq_epi8(block, _mm_set1_epi8('\\'))));
  return static_cast<uint32_t>(_mm_movemask_epi8(odd));
}

// A bit for each of kBlock bytes that are not the same.
inline uint32_t Different(const char* a, const char* b) {
  return static_cast<uint32_t>(_mm_movemask_epi8(_mm_cmpeq_epi8(Load(a), Load(b)))) ^ 0xFFFF;
}

#else

inline uint32_t NotPlain(const char* p) {
  uint32_t bits = 0;
  for (size_t i = 0; i < kBlock; ++i) {
    const signed char c = static_cast<signed char>(p[i]);
    bits |= static_cast<uint32_t>(c < ' ' || c == '"' || c == '\\') << i;
  }
  return bits;
}

inline uint32_t Different(const char* a, const char* b) {
  uint32_t bits = 0;
  for (size_t i = 0; i < kBlock; ++i) bits |= static_cast<uint32_t>(a[i] != b[i]) << i;
  return bits;
}

#endif

// Both texts have kBlock readable bytes behind them.
inline bool SameText(const char* a, const char* b, size_t size) {
  for (; size > kBlock; size -= kBlock, a += kBlock, b += kBlock) {
    if (Different(a, b) != 0) return false;
  }
  return (Different(a, b) & ((uint32_t{1} << size) - 1)) == 0;
}

// The rest of a string from its first byte that is not plain: past its quote, or null.
const char* OddStringEnd(const char* begin, const char* p, const char* end, bool* escaped) {
  bool ascii = true;
  for (; p < end && *p != '"'; ++p) {
    const signed char c = static_cast<signed char>(*p);
    if (c >= 0 && c < ' ') return nullptr;
    ascii &= c >= 0;
    if (c != '\\') continue;
    *escaped = true;
    ++p;
  }
  if (p >= end) return nullptr;
  const std::string_view quoted(begin, static_cast<size_t>(p - begin));
  if (*escaped && !AreJsonEscapesValid(quoted)) return nullptr;
  if (!ascii && !simdjson::validate_utf8(quoted.data(), quoted.size())) return nullptr;
  return p + 1;
}

// `p`: behind the first quote.
inline const char* StringEnd(const char* p, const char* end, bool* escaped) {
  const char* const begin = p;
  while (p < end) {
    const uint32_t odd = NotPlain(p);
    if (odd == 0) {
      p += kBlock;
      continue;
    }
    p += std::countr_zero(odd);
    if (*p == '"') [[likely]]
      return p + 1;
    return OddStringEnd(begin, p, end, escaped);
  }
  return nullptr;
}

inline const char* DigitsEnd(const char* p, const char* end) {
  while (p < end) {
    uint64_t word;
    std::memcpy(&word, p, sizeof(word));
    word ^= 0x3030303030303030;
    // The lowest byte of these that has its upper bit set is the first that is no digit.
    const uint64_t others = (word | (word + 0x7676767676767676)) & 0x8080808080808080;
    if (others != 0) return p + std::countr_zero(others) / 8;
    p += sizeof(word);
  }
  return p;
}

inline const char* NumberEnd(const char* p, const char* end) {
  const char* const begin = p;
  p += *p == '-';
  const char* const digits = p;
  p = DigitsEnd(p, end);
  const bool whole = p > digits && (*digits != '0' || p == digits + 1);
  if (whole && *p != '.' && (*p | 0x20) != 'e') [[likely]]
    return p;
  constexpr std::string_view kMore = "0123456789+-.eE";
  while (p < end && kMore.find(*p) != std::string_view::npos) ++p;
  return IsJsonNumber({begin, static_cast<size_t>(p - begin)}) ? p : nullptr;
}

// Past the scalar that begins at `p`, or null if none does. Never far past `end`: within the
// padding.
inline const char* ScalarEnd(const char* p, const char* end, bool* escaped) {
  if (*p == '"') return StringEnd(p + 1, end, escaped);
  if (*p == '-' || (*p >= '0' && *p <= '9')) return NumberEnd(p, end);
  for (const std::string_view word : {"true", "false", "null"}) {
    if (std::memcmp(p, word.data(), word.size()) == 0) return p + word.size();
  }
  return nullptr;
}

bool IsBracket(char kind) { return std::strchr("{}[],:", kind) != nullptr; }

}  // namespace

bool JsonShape::Matches(std::string_view text) {
  if (steps_.empty()) return false;
  const char* p = text.data();
  const char* const end = p + text.size();
  const size_t last = steps_.size() - 1;
  for (size_t i = 0;; ++i) {
    const Step& step = steps_[i];
    if (end - p < static_cast<ptrdiff_t>(step.size) ||
        !SameText(p, texts_.data() + step.begin, step.size)) {
      return false;
    }
    at_[i] = p;
    p += step.size;
    if (i == last) break;
    bool escaped = false;
    const char* const begin = p;
    if (p >= end) return false;
    p = ScalarEnd(p, end, &escaped);
    if (p == nullptr) return false;
    if (step.value != kUnwanted) {
      values_[step.value] = {{begin, static_cast<size_t>(p - begin)}, escaped};
    }
  }
  if (p != end) return false;
  for (const Container& container : containers_) {
    const char* const begin = at_[container.first_step] + container.first_byte;
    const char* const past = at_[container.last_step] + container.past_byte;
    const size_t size = static_cast<size_t>(past - begin);
    values_[container.value] = {{begin, size}, std::memchr(begin, '\\', size) != nullptr};
  }
  patience_ = 1;
  return true;
}

void JsonShape::Learn(const JsonDocument& document, const JsonValue* found, size_t count) {
  if (++misses_ < patience_) return;
  misses_ = 0;
  patience_ = std::min(patience_ * 2, kMaxPatience);
  steps_.clear();
  texts_.clear();
  containers_.clear();
  const uint32_t tokens = document.token_count();
  if (tokens > kMaxTokens) return;

  // By token: in which step's text it stands, and where; the scalar behind a step has none.
  std::vector<std::pair<uint32_t, uint32_t>> places(tokens);
  std::vector<uint32_t> step_of(tokens, kUnwanted);
  const char* text = document.text().data();
  const auto add_step = [&](const char* until) {
    const size_t size = static_cast<size_t>(until - text);
    steps_.push_back({static_cast<uint32_t>(size), static_cast<uint32_t>(texts_.size())});
    texts_.append(text, size);
  };
  for (uint32_t i = 0; i < tokens; ++i) {
    const char kind = document.Kind(i);
    const bool is_name = kind == '"' && i + 1 < tokens && document.Kind(i + 1) == ':';
    if (is_name || IsBracket(kind)) {
      places[i] = {static_cast<uint32_t>(steps_.size()),
                   static_cast<uint32_t>(document.At(i) - text)};
      continue;
    }
    step_of[i] = static_cast<uint32_t>(steps_.size());
    add_step(document.At(i));
    const std::string_view scalar = document.Text(i, i + 1);
    text = scalar.data() + scalar.size();
  }
  add_step(document.text().data() + document.text().size());
  texts_.append(kBlock, '\0');
  at_.resize(steps_.size());

  values_.assign(count, JsonText());
  for (uint32_t value = 0; value < count; ++value) {
    const auto [first, next] = found[value];
    if (next == 0) continue;
    if (step_of[first] != kUnwanted) {
      steps_[step_of[first]].value = value;
    } else {
      const auto [last_step, last_byte] = places[next - 1];
      containers_.push_back(
          {value, places[first].first, places[first].second, last_step, last_byte + 1});
    }
  }
}

}  // namespace tidemark
