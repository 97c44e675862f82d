#include "tidemark/operators/formats/json_field.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>

#include "absl/strings/charconv.h"
#include "tidemark/operators/formats/json_digits.h"
#include "tidemark/operators/formats/zoned_time.h"
#include "tidemark/operators/rows/text.h"

namespace tidemark {
namespace {

bool IsString(std::string_view token) { return token[0] == '"'; }
bool IsNumber(std::string_view token) {
  return token[0] == '-' || (token[0] >= '0' && token[0] <= '9');
}

// The token is followed by readable padding (JsonDocument::Text).
JsonOutcome ReadInt64(std::string_view token, int64_t* out) {
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

// A time whose only fault is its year: a valid one with the year 2000 (a leap year) in its place.
bool IsFarTime(std::string_view text) {
  const std::string_view unsigned_text =
      text.substr(!text.empty() && (text[0] == '+' || text[0] == '-'));
  const size_t digits = std::min(unsigned_text.find('-'), unsigned_text.size());
  if (digits < 5 || !std::ranges::all_of(unsigned_text.substr(0, digits),
                                         [](char c) { return c >= '0' && c <= '9'; })) {
    return false;
  }
  return ParseTimestamp("2000" + std::string(unsigned_text.substr(digits))).has_value();
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
  // Nine more digits than are kept, so that cutting is told from rounding.
  constexpr int kMoreDigits = 9;
  constexpr Int128 kMore = 1'000'000'000;
  const std::optional<Int128> exact = ParseDecimal(token, 38, scale + kMoreDigits);
  if (!exact.has_value()) return JsonOutcome::kOutOfRange;
  const Int128 micros = *exact / kMore - (*exact % kMore < 0 ? 1 : 0);
  *out = static_cast<int64_t>(micros);
  return *out == micros ? JsonOutcome::kStored : JsonOutcome::kOutOfRange;
}

// At most 64 characters, in one line.
std::string Excerpt(std::string_view text) {
  constexpr size_t kMaxCharacters = 64;
  std::string excerpt;
  size_t characters = 0;
  for (char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool continues = (byte & 0xC0) == 0x80;
    if (!continues && characters++ == kMaxCharacters) return excerpt + "...";
    if (byte < 0x20 || byte == 0x7F) {
      excerpt += fmt::format("\\x{:02x}", byte);
    } else {
      excerpt += c;
    }
  }
  return excerpt;
}

}  // namespace

absl::StatusOr<JsonField> JsonField::Make(const Field& field) {
  const absl::StatusOr<absl::TimeZone> zone = LoadZone(field);
  if (!zone.ok()) return zone.status();
  return JsonField(field, *zone);
}

std::string_view JsonField::StringOf(const JsonDocument& document, std::string_view token) {
  const std::string_view quoted = token.substr(1, token.size() - 2);
  if (!document.has_escapes() || quoted.find('\\') == std::string_view::npos) return quoted;
  unescaped_.resize(quoted.size());
  return {unescaped_.data(), UnescapeJson(quoted, unescaped_.data())};
}

JsonOutcome JsonField::Store(const JsonDocument& document, JsonValue value, Arena* arena,
                             Column* column, size_t row) {
  if (value.next == 0) return JsonOutcome::kNull;
  const std::string_view token = document.Text(value);
  if (token[0] == 'n') return JsonOutcome::kNull;
  switch (field_.type.id) {
    case TypeId::kBool:
      return ReadBool(token, column->mutable_values<uint8_t>() + row);
    case TypeId::kInt32:
      return ReadInt32(token, column->mutable_values<int32_t>() + row);
    case TypeId::kInt64:
      return ReadInt64(token, column->mutable_values<int64_t>() + row);
    case TypeId::kDouble:
      return StoreDouble(document, token, column->mutable_values<double>() + row);
    case TypeId::kDecimal:
      return StoreDecimal(document, token, column->mutable_values<Int128>() + row);
    case TypeId::kString:
      return StoreText(document, value, arena, column->mutable_values<std::string_view>() + row);
    case TypeId::kBytes:
      return StoreBytes(document, token, arena, column->mutable_values<std::string_view>() + row);
    case TypeId::kDate:
      return StoreDate(document, token, column->mutable_values<int32_t>() + row);
    case TypeId::kTimestamp:
      return StoreTimestamp(document, token, column->mutable_values<int64_t>() + row);
  }
  return JsonOutcome::kWrongType;
}

JsonOutcome JsonField::StoreDouble(const JsonDocument& document, std::string_view token,
                                   double* out) {
  if (IsNumber(token)) return ReadDouble(token, out);
  if (!IsString(token)) return JsonOutcome::kWrongType;
  const std::optional<double> value = NonFinite(StringOf(document, token));
  if (!value.has_value()) return JsonOutcome::kWrongType;
  *out = *value;
  return JsonOutcome::kStored;
}

JsonOutcome JsonField::StoreDecimal(const JsonDocument& document, std::string_view token,
                                    Int128* out) {
  if (!IsNumber(token) && !IsString(token)) return JsonOutcome::kWrongType;
  const std::string_view text = IsString(token) ? StringOf(document, token) : token;
  const std::optional<Int128> value = ParseDecimal(text, field_.type.precision, field_.type.scale);
  if (value.has_value()) {
    *out = *value;
    return JsonOutcome::kStored;
  }
  return IsNumberText(text) ? JsonOutcome::kOutOfRange : JsonOutcome::kWrongType;
}

JsonOutcome JsonField::StoreText(const JsonDocument& document, JsonValue value, Arena* arena,
                                 std::string_view* out) {
  if (document.Kind(value.first) == '"') {
    const std::string_view quoted = document.Quoted(value.first);
    if (!document.has_escapes()) {
      *out = arena->Copy(quoted);
      return JsonOutcome::kStored;
    }
    char* text = arena->Allocate(quoted.size());
    *out = {text, UnescapeJson(quoted, text)};
    return JsonOutcome::kStored;
  }
  char* const text = arena->Allocate(document.Text(value).size());
  char* end = text;
  for (uint32_t i = value.first; i < value.next; ++i) {
    const std::string_view token = document.Text(i, i + 1);
    end = std::copy(token.begin(), token.end(), end);
  }
  *out = {text, static_cast<size_t>(end - text)};
  return JsonOutcome::kStored;
}

JsonOutcome JsonField::StoreBytes(const JsonDocument& document, std::string_view token,
                                  Arena* arena, std::string_view* out) {
  if (!IsString(token)) return JsonOutcome::kWrongType;
  const std::optional<std::string> bytes = ParseBase64(StringOf(document, token));
  if (!bytes.has_value()) return JsonOutcome::kWrongType;
  *out = arena->Copy(*bytes);
  return JsonOutcome::kStored;
}

JsonOutcome JsonField::StoreDate(const JsonDocument& document, std::string_view token,
                                 int32_t* out) {
  if (!IsString(token)) return JsonOutcome::kWrongType;
  const std::string_view text = StringOf(document, token);
  const std::optional<int32_t> days = ParseDate(text);
  if (!days.has_value()) {
    return IsFarTime(text) ? JsonOutcome::kOutOfRange : JsonOutcome::kWrongType;
  }
  *out = *days;
  return JsonOutcome::kStored;
}

JsonOutcome JsonField::StoreTimestamp(const JsonDocument& document, std::string_view token,
                                      int64_t* out) {
  if (field_.time_encoding != TimeEncoding::kIso8601) {
    return ReadEpoch(token, field_.time_encoding, out);
  }
  if (!IsString(token)) return JsonOutcome::kWrongType;
  const std::string_view text = StringOf(document, token);
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

std::string JsonField::Complaint(const JsonDocument& document, JsonValue value,
                                 JsonOutcome outcome) const {
  return fmt::format("field '{}': {} {} {}", field_.name, Excerpt(document.Text(value)),
                     outcome == JsonOutcome::kOutOfRange ? "does not fit" : "is no",
                     field_.type.ToString());
}

}  // namespace tidemark
