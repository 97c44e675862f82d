#ifndef TIDEMARK_OPERATORS_ROWS_TEXT_H_
#define TIDEMARK_OPERATORS_ROWS_TEXT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "tidemark/operators/rows/column.h"
#include "tidemark/operators/rows/types.h"

namespace tidemark {

// The text of values, the same everywhere (JSON, RowKey, casts; semantics, section 4). The Append
// functions add to `out`.

/// `2025-01-02T10:15:22.123Z`: no fraction if zero, 3 digits if they suffice, else 6. Years past
/// 9999 get a `+`.
void AppendTimestamp(int64_t micros, std::string* out);
/// `2025-01-02`.
void AppendDate(int32_t days, std::string* out);
/// `-12.30` for unscaled -1230 and scale 2.
void AppendDecimal(Int128 unscaled, int scale, std::string* out);
/// The shortest text that reads back as the same double: `1.5`, `1.0`, `1.0E10`, `NaN`, `Infinity`,
/// as Java and Spark write it.
void AppendDouble(double value, std::string* out);
void AppendBase64(std::string_view bytes, std::string* out);
/// The text of value `row` of `column` (which is not null there), by its type; bytes as base64,
/// bool as true/false.
void AppendValueText(const Column& column, size_t row, std::string* out);
/// A JSON string literal with quotes, escaped as RFC 8259 asks and no more (UTF-8 passes through).
void AppendJsonString(std::string_view text, std::string* out);
/// The JSON value of a cell: numbers and booleans bare, the rest quoted, NaN and infinities as
/// strings, null as `null`.
void AppendJsonValue(const Column& column, size_t row, std::string* out);

/// ISO 8601 to microseconds UTC: `2025-01-02T10:15:22.123456789+02:00`. A blank, `T` or `t`
/// between; seconds may be left out; 0 to 9 fraction digits (past the sixth: cut towards the past);
/// `Z`, `z` or an offset (`+02:00`, `+0200`, `+02`); years of other than 4 digits with a sign.
/// Without a zone the time is read as UTC and `*has_zone` is false, so that the caller can apply
/// its own. A bare date means midnight. Nothing if it is not a valid time (second 60 and hour 24
/// are not) or does not fit int64 microseconds.
/// `day`, if given, remembers the date from one call to the next: most times of a column fall on
/// the same day.
struct ParsedDay {
  char text[10] = {};  ///< `2025-01-02`
  int64_t days = 0;    ///< since 1970
};
std::optional<int64_t> ParseTimestamp(std::string_view text, bool* has_zone = nullptr,
                                      ParsedDay* day = nullptr);
std::optional<int32_t> ParseDate(std::string_view text);
/// What becomes of digits past the scale: half up (away from zero), or down (to the next lower
/// number, for times: towards the past).
enum class Rounding : uint8_t { kHalfUp, kDown };
/// Plain or scientific decimal text to an unscaled value; nothing if it is no number or needs more
/// than `precision` digits.
std::optional<Int128> ParseDecimal(std::string_view text, int precision, int scale,
                                   Rounding rounding = Rounding::kHalfUp);
std::optional<std::string> ParseBase64(std::string_view text);
/// The beginning of a text that somebody else wrote, for a message: at most `max_characters`, in
/// one line, control characters (of what is not UTF-8 all that is not ASCII) as `\x0a`.
std::string Excerpt(std::string_view text, size_t max_characters = 64);
/// True if the bytes are valid UTF-8.
bool IsValidUtf8(std::string_view bytes);

/// Days since 1970-01-01 of a proleptic Gregorian date, and back (algorithms: Howard Hinnant,
/// "chrono-compatible low-level date algorithms").
int64_t DaysFromCivil(int64_t year, unsigned month, unsigned day);
struct CivilDate {
  int64_t year;
  unsigned month;
  unsigned day;
};
CivilDate CivilFromDays(int64_t days);

/// Floor division, right for negative numerators; `divisor` > 0.
constexpr int64_t FloorDiv(int64_t value, int64_t divisor) {
  int64_t quotient = value / divisor;
  return quotient - (value % divisor < 0 ? 1 : 0);
}
/// value - FloorDiv(value, divisor) * divisor, in [0, divisor).
constexpr int64_t FloorMod(int64_t value, int64_t divisor) {
  int64_t remainder = value % divisor;
  return remainder < 0 ? remainder + divisor : remainder;
}

}  // namespace tidemark

#endif  // TIDEMARK_OPERATORS_ROWS_TEXT_H_
