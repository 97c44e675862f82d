#include "tidemark/operators/formats/json_shape.h"

#include <algorithm>
#include <cstring>

#include "tidemark/operators/rows/raw_records.h"

namespace tidemark {
namespace {

constexpr uint32_t kMaxTokens = 1024;
constexpr uint32_t kMaxPatience = 1024;
constexpr size_t kWord = sizeof(uint64_t);
static_assert(kRecordPadding >= kWord);

// Whole words: both texts have kWord readable bytes behind them, and the last word is masked.
inline bool SameText(const char* a, const char* b, uint32_t size) {
  uint64_t x;
  uint64_t y;
  for (; size > kWord; size -= kWord, a += kWord, b += kWord) {
    std::memcpy(&x, a, kWord);
    std::memcpy(&y, b, kWord);
    if (x != y) return false;
  }
  std::memcpy(&x, a, kWord);
  std::memcpy(&y, b, kWord);
  return (x ^ y) << (8 * (kWord - size)) == 0;
}

}  // namespace

bool JsonShape::Matches(const JsonDocument& document) {
  if (document.token_count() != token_count_) return false;
  uint32_t i = 0;
  for (const Step& step : steps_) {
    switch (step.kind) {
      case Step::kName:
        // The colon is the next token, and stands where it stood: right behind the name.
        if (document.Begin(i + 1) - document.Begin(i) != step.size - 1 ||
            !SameText(document.At(i), names_.data() + step.text_begin, step.size)) {
          return false;
        }
        i += 2;
        break;
      case Step::kScalar:
        if (!document.IsScalar(i)) return false;
        ++i;
        break;
      default:
        if (document.Kind(i) != step.kind) return false;
        ++i;
    }
  }
  patience_ = 1;
  return true;
}

void JsonShape::Learn(const JsonDocument& document, const JsonValue* found, size_t count) {
  if (++misses_ < patience_) return;
  misses_ = 0;
  patience_ = std::min(patience_ * 2, kMaxPatience);
  steps_.clear();
  names_.clear();
  token_count_ = 0;
  const uint32_t tokens = document.token_count();
  if (tokens > kMaxTokens) return;
  for (uint32_t i = 0; i < tokens; ++i) {
    Step step;
    const char kind = document.Kind(i);
    const bool is_name = kind == '"' && i + 1 < tokens && document.Kind(i + 1) == ':';
    if (is_name) {
      const uint32_t size = document.Begin(i + 1) - document.Begin(i) + 1;
      step = {Step::kName, size, static_cast<uint32_t>(names_.size())};
      names_.append(document.At(i), size);
      ++i;
    } else if (std::strchr("{}[],", kind) != nullptr) {
      step.kind = kind;
    }
    steps_.push_back(step);
  }
  names_.append(kWord, '\0');
  values_.assign(found, found + count);
  token_count_ = tokens;
}

}  // namespace tidemark
