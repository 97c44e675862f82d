#include "tidemark/operators/formats/json_field.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "absl/strings/charconv.h"
#include "tidemark/operators/formats/zoned_time.h"
#include "tidemark/operators/rows/digits.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

bool IsString(std::string_view token) { return token[0] == '"'; }
bool IsNumber(std::string_view token) {
  return token[0] == '-' || (token[0] >= '0' && token[0] <= '9');
}

// The token is followed by readable padding (JsonText).
inline JsonOutcome ReadInt64(std::string_view token, int64_t* out) {
  if (token.size() <= 8) [[likely]] {
    const uint64_t digits = LoadDigits(token.data(), token.size());
    if (AreDigits(digits)) [[likely]] {
      *out = static_cast<int64_t>(DigitsValue(digits));
      return JsonOutcome::kStored;
    }
  }
  const bool negative = token[0] == '-';
  const std::string_view digits = token.substr(negative);
  if (digits.size() <= 16) [[likely]] {
    const size_t low_count = std::min<size_t>(digits.size(), 8);
    const uint64_t low = LoadDigits(digits.data() + digits.size() - low_count, low_count);
    if (!AreDigits(low)) return JsonOutcome::kWrongType;
    uint64_t value = DigitsValue(low);
    if (digits.size() > 8) {
      const uint64_t high = LoadDigits(digits.data(), digits.size() - 8);
      if (!AreDigits(high)) return JsonOutcome::kWrongType;
      value += DigitsValue(high) * 100'000'000;
    }
    *out = negative ? -static_cast<int64_t>(value) : static_cast<int64_t>(value);
    return JsonOutcome::kStored;
  }
  if (!std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; })) {
    return JsonOutcome::kWrongType;
  }
  const std::from_chars_result result =
      std::from_chars(token.data(), token.data() + token.size(), *out);
  return result.ec == std::errc() ? JsonOutcome::kStored : JsonOutcome::kOutOfRange;
}

JsonOutcome ReadInt32(std::string_view token, int32_t* out) {
  int64_t value;
  const JsonOutcome outcome = ReadInt64(token, &value);
  if (outcome != JsonOutcome::kStored) return outcome;
  *out = static_cast<int32_t>(value);
  return *out == value ? JsonOutcome::kStored : JsonOutcome::kOutOfRange;
}

JsonOutcome ReadBool(std::string_view token, uint8_t* out) {
  if (token[0] != 't' && token[0] != 'f') return JsonOutcome::kWrongType;
  *out = token[0] == 't';
  return JsonOutcome::kStored;
}

std::optional<double> NonFinite(std::string_view text) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (text == "Infinity" || text == "+Infinity" || text == "+INF") return kInfinity;
  if (text == "-Infinity" || text == "-INF") return -kInfinity;
  return std::nullopt;
}

JsonOutcome ReadDouble(std::string_view token, double* out) {
  const char* end = token.data() + token.size();
  const std::from_chars_result result = std::from_chars(token.data(), end, *out);
  if (result.ec == std::errc::result_out_of_range) {
    // Too small is as good as zero, too large is not.
    absl::from_chars(token.data(), end, *out);
    if (std::abs(*out) >= 1) return JsonOutcome::kOutOfRange;
  }
  return std::isinf(*out) ? JsonOutcome::kOutOfRange : JsonOutcome::kStored;
}

// Told from `inf` and the like, which from_chars takes too.
bool IsNumberText(std::string_view text) {
  if (text.find_first_not_of("0123456789+-.eE") != std::string_view::npos) return false;
  if (text.starts_with('+')) text.remove_prefix(1);
  double value;
  const std::from_chars_result result =
      std::from_chars(text.data(), text.data() + text.size(), value);
  return result.ec != std::errc::invalid_argument && result.ptr == text.data() + text.size();
}

// Digits after the point of a microsecond count written in this unit.
int MicrosScale(TimeEncoding encoding) {
  switch (encoding) {
    case TimeEncoding::kEpochSeconds:
      return 6;
    case TimeEncoding::kEpochMillis:
      return 3;
    default:
      return 0;
  }
}

JsonOutcome ReadEpoch(std::string_view token, TimeEncoding encoding, int64_t* out) {
  if (!IsNumber(token)) return JsonOutcome::kWrongType;
  const int scale = MicrosScale(encoding);
  int64_t value;
  if (ReadInt64(token, &value) == JsonOutcome::kStored) [[likely]] {
    const int64_t factor = scale == 6 ? 1'000'000 : scale == 3 ? 1'000 : 1;
    return __builtin_mul_overflow(value, factor, out) ? JsonOutcome::kOutOfRange
                                                      : JsonOutcome::kStored;
  }
  const std::optional<Int128> micros = ParseDecimal(token, 38, scale, Rounding::kDown);
  if (!micros.has_value()) return JsonOutcome::kOutOfRange;
  *out = static_cast<int64_t>(*micros);
  return *out == *micros ? JsonOutcome::kStored : JsonOutcome::kOutOfRange;
}

// A string's content; of any other value the text without the blanks between its tokens.
std::string_view TextOf(const JsonText& value, Arena* arena) {
  if (IsString(value.text)) {
    const std::string_view quoted = value.text.substr(1, value.text.size() - 2);
    if (!value.escaped) return arena->Copy(quoted);
    char* const text = arena->Allocate(quoted.size());
    return {text, UnescapeJson(quoted, text)};
  }
  char* const text = arena->Allocate(value.text.size());
  char* end = text;
  bool in_string = false;
  for (size_t i = 0; i < value.text.size(); ++i) {
    const char c = value.text[i];
    if (in_string && c == '\\') {
      *end++ = c;
      *end++ = value.text[++i];
      continue;
    }
    in_string ^= c == '"';
    if (in_string || static_cast<unsigned char>(c) > ' ') *end++ = c;
  }
  return {text, static_cast<size_t>(end - text)};
}

}  // namespace

absl::StatusOr<JsonField> JsonField::Make(const Field& field) {
  const absl::StatusOr<absl::TimeZone> zone = LoadZone(field);
  if (!zone.ok()) return zone.status();
  return JsonField(field, *zone);
}

std::string_view JsonField::StringOf(const JsonText& value) {
  const std::string_view quoted = value.text.substr(1, value.text.size() - 2);
  if (!value.escaped || quoted.find('\\') == std::string_view::npos) return quoted;
  unescaped_.resize(quoted.size());
  return {unescaped_.data(), UnescapeJson(quoted, unescaped_.data())};
}

JsonOutcome JsonField::Store(const JsonText& value, Arena* arena, Column* column, size_t row) {
  if (value.text.empty() || value.text[0] == 'n') return JsonOutcome::kNull;
  switch (field_.type.id) {
    case TypeId::kBool:
      return ReadBool(value.text, column->mutable_values<uint8_t>() + row);
    case TypeId::kInt32:
      return ReadInt32(value.text, column->mutable_values<int32_t>() + row);
    case TypeId::kInt64:
      return ReadInt64(value.text, column->mutable_values<int64_t>() + row);
    case TypeId::kDouble:
      return StoreDouble(value, column->mutable_values<double>() + row);
    case TypeId::kDecimal:
      return StoreDecimal(value, column->mutable_values<Int128>() + row);
    case TypeId::kString:
      column->mutable_values<std::string_view>()[row] = TextOf(value, arena);
      return JsonOutcome::kStored;
    case TypeId::kBytes:
      return StoreBytes(value, arena, column->mutable_values<std::string_view>() + row);
    case TypeId::kDate:
      return StoreDate(value, column->mutable_values<int32_t>() + row);
    case TypeId::kTimestamp:
      return StoreTimestamp(value, column->mutable_values<int64_t>() + row);
  }
  return JsonOutcome::kWrongType;
}

JsonOutcome JsonField::StoreDouble(const JsonText& value, double* out) {
  if (IsNumber(value.text)) return ReadDouble(value.text, out);
  if (!IsString(value.text)) return JsonOutcome::kWrongType;
  const std::optional<double> named = NonFinite(StringOf(value));
  if (!named.has_value()) return JsonOutcome::kWrongType;
  *out = *named;
  return JsonOutcome::kStored;
}

JsonOutcome JsonField::StoreDecimal(const JsonText& value, Int128* out) {
  if (!IsNumber(value.text) && !IsString(value.text)) return JsonOutcome::kWrongType;
  const std::string_view text = IsString(value.text) ? StringOf(value) : value.text;
  const std::optional<Int128> parsed = ParseDecimal(text, field_.type.precision, field_.type.scale);
  if (parsed.has_value()) {
    *out = *parsed;
    return JsonOutcome::kStored;
  }
  return IsNumberText(text) ? JsonOutcome::kOutOfRange : JsonOutcome::kWrongType;
}

JsonOutcome JsonField::StoreBytes(const JsonText& value, Arena* arena, std::string_view* out) {
  if (!IsString(value.text)) return JsonOutcome::kWrongType;
  const std::optional<std::string> bytes = ParseBase64(StringOf(value));
  if (!bytes.has_value()) return JsonOutcome::kWrongType;
  *out = arena->Copy(*bytes);
  return JsonOutcome::kStored;
}

JsonOutcome JsonField::StoreDate(const JsonText& value, int32_t* out) {
  if (!IsString(value.text)) return JsonOutcome::kWrongType;
  const std::string_view text = StringOf(value);
  const std::optional<int32_t> days = ParseDate(text);
  if (!days.has_value()) {
    return IsFarTime(text) ? JsonOutcome::kOutOfRange : JsonOutcome::kWrongType;
  }
  *out = *days;
  return JsonOutcome::kStored;
}

JsonOutcome JsonField::StoreTimestamp(const JsonText& value, int64_t* out) {
  if (field_.time_encoding != TimeEncoding::kIso8601) {
    return ReadEpoch(value.text, field_.time_encoding, out);
  }
  if (!IsString(value.text)) return JsonOutcome::kWrongType;
  const std::string_view text = StringOf(value);
  bool has_zone = false;
  std::optional<int64_t> micros = ParseTimestamp(text, &has_zone, &day_);
  if (!micros.has_value()) {
    return IsFarTime(text) ? JsonOutcome::kOutOfRange : JsonOutcome::kWrongType;
  }
  if (!has_zone && !field_.zone.empty()) {
    micros = LocalToUtc(*micros, zone_);
    if (!micros.has_value()) return JsonOutcome::kOutOfRange;
  }
  *out = *micros;
  return JsonOutcome::kStored;
}

std::string JsonField::Complaint(std::string_view value, JsonOutcome outcome) const {
  return fmt::format("field '{}': {} {} {}", field_.name, Excerpt(value),
                     outcome == JsonOutcome::kOutOfRange ? "does not fit" : "is no",
                     field_.type.ToString());
}

}  // namespace tidemark
