#include "tidemark/operators/rows/text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <limits>

#include "tidemark/operators/rows/digits.h"

namespace tidemark {
namespace {

constexpr int64_t kMicrosPerSecond = 1'000'000;
constexpr int64_t kSecondsPerDay = 86'400;
constexpr int kMaxDecimalDigits = 38;
constexpr std::string_view kBase64Alphabet =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char* PutTwoDigits(unsigned value, char* to) {
  to[0] = static_cast<char>('0' + value / 10);
  to[1] = static_cast<char>('0' + value % 10);
  return to + 2;
}

// `value` with leading zeros up to `digits`.
char* PutPadded(uint64_t value, int digits, char* to) {
  for (int i = digits - 1; i >= 0; --i) {
    to[i] = static_cast<char>('0' + value % 10);
    value /= 10;
  }
  return to + digits;
}

char* PutDate(CivilDate date, char* to) {
  uint64_t year = static_cast<uint64_t>(date.year);
  if (date.year < 0) {
    *to++ = '-';
    year = -year;
  } else if (date.year > 9999) {
    *to++ = '+';
  }
  if (year <= 9999) {
    to = PutPadded(year, 4, to);
  } else {
    to = std::to_chars(to, to + 20, year).ptr;
  }
  *to++ = '-';
  to = PutTwoDigits(date.month, to);
  *to++ = '-';
  return PutTwoDigits(date.day, to);
}

unsigned Digit(char c) { return static_cast<unsigned>(static_cast<unsigned char>(c)) - '0'; }
bool IsDigit(char c) { return Digit(c) <= 9; }

// Two digits at `from`; sets `*bad` if they are none.
unsigned TwoDigits(const char* from, bool* bad) {
  const unsigned tens = Digit(from[0]);
  const unsigned ones = Digit(from[1]);
  *bad |= (tens > 9) | (ones > 9);
  return tens * 10 + ones;
}

bool IsLeapYear(int64_t year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

bool IsDayOfMonth(int64_t year, unsigned month, unsigned day) {
  static constexpr std::array<uint8_t, 16> kDays = {0,  31, 28, 31, 30, 31, 30, 31,
                                                    31, 30, 31, 30, 31, 0,  0,  0};
  if (month > 12 || day == 0) return false;
  return day <= kDays[month] || (month == 2 && day == 29 && IsLeapYear(year));
}

// Reads `2025-01-02`, or with a sign a year of 4 to 9 digits; moves `*at` past it.
bool ReadDate(const char** at, const char* end, int64_t* days) {
  const char* p = *at;
  int64_t year = 0;
  if (p < end && (*p == '+' || *p == '-')) [[unlikely]] {
    const bool negative = *p++ == '-';
    const char* first = p;
    for (; p < end && IsDigit(*p) && p - first <= 9; ++p) year = year * 10 + Digit(*p);
    if (p - first < 4 || p - first > 9) return false;
    if (negative) year = -year;
  } else {
    if (end - p < 4) return false;
    bool bad = false;
    year = TwoDigits(p, &bad) * 100;
    year += TwoDigits(p + 2, &bad);
    if (bad) return false;
    p += 4;
  }
  if (end - p < 6) return false;
  bool bad = (p[0] != '-') | (p[3] != '-');
  const unsigned month = TwoDigits(p + 1, &bad);
  const unsigned day = TwoDigits(p + 4, &bad);
  if (bad || !IsDayOfMonth(year, month, day)) return false;
  *days = DaysFromCivil(year, month, day);
  *at = p + 6;
  return true;
}

// `14:05:09`, eight readable bytes, all fields at once; false if they are none.
inline bool ReadHourMinuteSecond(const char* p, unsigned* hour, unsigned* minute,
                                 unsigned* second) {
  constexpr uint64_t kColonBytes = uint64_t{0xFF} << 16 | uint64_t{0xFF} << 40;
  constexpr uint64_t kColons = 0x3A3A3A3A3A3A3A3A & kColonBytes;
  constexpr uint64_t kZeros = 0x3030303030303030;
  uint64_t word;
  std::memcpy(&word, p, sizeof(word));
  const uint64_t digits = (word & ~kColonBytes) | (kZeros & kColonBytes);
  if ((word & kColonBytes) != kColons || !AreDigits(digits)) return false;
  const uint64_t values = digits - kZeros;
  const uint64_t pairs = values * 10 + (values >> 8);  // in the bytes 0, 3 and 6
  *hour = pairs & 0xFF;
  *minute = pairs >> 24 & 0xFF;
  *second = pairs >> 48 & 0xFF;
  return true;
}

// Reads `T14:05` or `T14:05:09`, with `t` or a blank for the T.
bool ReadClock(const char** at, const char* end, int64_t* seconds) {
  const char* p = *at;
  if (end - p < 6 || (*p != 'T' && *p != 't' && *p != ' ')) return false;
  ++p;
  unsigned hour = 0;
  unsigned minute = 0;
  unsigned second = 0;
  if (end - p >= 8 && p[5] == ':') {
    if (!ReadHourMinuteSecond(p, &hour, &minute, &second)) return false;
    p += 8;
  } else {
    bool bad = p[2] != ':';
    hour = TwoDigits(p, &bad);
    minute = TwoDigits(p + 3, &bad);
    if (bad) return false;
    p += 5;
    if (p < end && (*p == ':' || *p == '.')) return false;
  }
  if (hour > 23 || minute > 59 || second > 59) return false;
  *seconds = static_cast<int64_t>(hour * 3600 + minute * 60 + second);
  *at = p;
  return true;
}

// Reads the fraction after the point: 1 to 9 digits, cut to microseconds.
bool ReadFraction(const char** at, const char* end, int64_t* micros) {
  static constexpr std::array<int32_t, 7> kScale = {1'000'000, 100'000, 10'000, 1'000, 100, 10, 1};
  const char* first = *at;
  const char* p = first;
  int64_t value = 0;
  for (; p < end && p - first < 6 && IsDigit(*p); ++p) value = value * 10 + Digit(*p);
  if (p == first) return false;
  *micros = value * kScale[static_cast<size_t>(p - first)];
  for (; p < end && IsDigit(*p); ++p) {
    if (p - first == 9) return false;
  }
  *at = p;
  return true;
}

// Reads `Z`, `+02:00`, `+0200` or `+02` up to `end`: all that may follow a time.
bool ReadZone(const char* p, const char* end, int64_t* offset_seconds) {
  if (*p == 'Z' || *p == 'z') {
    *offset_seconds = 0;
    return end - p == 1;
  }
  if (*p != '+' && *p != '-') return false;
  const int64_t sign = *p++ == '-' ? -1 : 1;
  bool bad = false;
  unsigned hours = 0;
  unsigned minutes = 0;
  switch (end - p) {
    case 2:
      hours = TwoDigits(p, &bad);
      break;
    case 4:
      hours = TwoDigits(p, &bad);
      minutes = TwoDigits(p + 2, &bad);
      break;
    case 5:
      bad = p[2] != ':';
      hours = TwoDigits(p, &bad);
      minutes = TwoDigits(p + 3, &bad);
      break;
    default:
      return false;
  }
  *offset_seconds = sign * static_cast<int64_t>(hours * 3600 + minutes * 60);
  return !bad && hours <= 23 && minutes <= 59;
}

std::optional<int64_t> ToMicros(int64_t seconds, int64_t micros) {
  // Before 1970 the product alone may be too small while the sum still fits.
  if (seconds < 0 && micros > 0) {
    seconds += 1;
    micros -= kMicrosPerSecond;
  }
  int64_t result;
  if (__builtin_mul_overflow(seconds, kMicrosPerSecond, &result) ||
      __builtin_add_overflow(result, micros, &result)) {
    return std::nullopt;
  }
  return result;
}

constexpr std::array<UInt128, kMaxDecimalDigits + 1> kPowersOfTen = [] {
  std::array<UInt128, kMaxDecimalDigits + 1> powers{1};
  for (size_t i = 1; i < powers.size(); ++i) powers[i] = powers[i - 1] * 10;
  return powers;
}();

// The parts of `[+-]digits[.digits][e[+-]digits]`; views into the text.
struct NumberParts {
  bool negative = false;
  std::string_view whole;
  std::string_view fraction;
  int64_t exponent = 0;
};

std::string_view ReadDigits(const char** at, const char* end) {
  const char* first = *at;
  while (*at < end && IsDigit(**at)) ++*at;
  return {first, static_cast<size_t>(*at - first)};
}

std::optional<NumberParts> SplitNumber(std::string_view text) {
  // Far past every digit that counts, and far from overflow when digit counts are added to it.
  constexpr int64_t kExponentLimit = int64_t{1} << 40;
  NumberParts parts;
  const char* p = text.data();
  const char* end = p + text.size();
  if (p < end && (*p == '+' || *p == '-')) parts.negative = *p++ == '-';
  parts.whole = ReadDigits(&p, end);
  if (p < end && *p == '.') parts.fraction = ReadDigits(&++p, end);
  if (parts.whole.empty() && parts.fraction.empty()) return std::nullopt;
  if (p < end && (*p == 'e' || *p == 'E')) {
    ++p;
    const bool negative = p < end && *p == '-';
    if (p < end && (*p == '+' || *p == '-')) ++p;
    const std::string_view digits = ReadDigits(&p, end);
    if (digits.empty()) return std::nullopt;
    for (char c : digits) {
      if (parts.exponent < kExponentLimit) parts.exponent = parts.exponent * 10 + Digit(c);
    }
    if (negative) parts.exponent = -parts.exponent;
  }
  if (p != end) return std::nullopt;
  return parts;
}

char JsonEscapeOf(char c) {
  switch (c) {
    case '"':
      return '"';
    case '\\':
      return '\\';
    case '\b':
      return 'b';
    case '\f':
      return 'f';
    case '\n':
      return 'n';
    case '\r':
      return 'r';
    case '\t':
      return 't';
    default:
      return 'u';
  }
}

// Bytes of the well-formed UTF-8 sequence at `p` (Unicode 15, table 3-7), or 0.
size_t Utf8SequenceLength(const unsigned char* p, const unsigned char* end) {
  const auto follows = [&](ptrdiff_t i, unsigned low, unsigned high) {
    return end - p > i && p[i] >= low && p[i] <= high;
  };
  const unsigned lead = p[0];
  if (lead < 0x80) return 1;
  if (lead < 0xC2) return 0;
  if (lead < 0xE0) return follows(1, 0x80, 0xBF) ? 2 : 0;
  if (lead < 0xF0) {
    const unsigned low = lead == 0xE0 ? 0xA0 : 0x80;
    const unsigned high = lead == 0xED ? 0x9F : 0xBF;  // no surrogates
    return follows(1, low, high) && follows(2, 0x80, 0xBF) ? 3 : 0;
  }
  if (lead > 0xF4) return 0;
  const unsigned low = lead == 0xF0 ? 0x90 : 0x80;
  const unsigned high = lead == 0xF4 ? 0x8F : 0xBF;
  return follows(1, low, high) && follows(2, 0x80, 0xBF) && follows(3, 0x80, 0xBF) ? 4 : 0;
}

}  // namespace

int64_t DaysFromCivil(int64_t year, unsigned month, unsigned day) {
  year -= month <= 2 ? 1 : 0;
  const int64_t era = FloorDiv(year, 400);
  const unsigned year_of_era = static_cast<unsigned>(year - era * 400);
  const unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  const unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146'097 + static_cast<int64_t>(day_of_era) - 719'468;
}

CivilDate CivilFromDays(int64_t days) {
  days += 719'468;
  const int64_t era = FloorDiv(days, 146'097);
  const unsigned day_of_era = static_cast<unsigned>(days - era * 146'097);
  const unsigned year_of_era =
      (day_of_era - day_of_era / 1'460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const unsigned day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const unsigned shifted_month = (5 * day_of_year + 2) / 153;  // March is 0
  const unsigned day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
  const unsigned month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  return {static_cast<int64_t>(year_of_era) + era * 400 + (month <= 2 ? 1 : 0), month, day};
}

void AppendTimestamp(int64_t micros, std::string* out) {
  const int64_t seconds = FloorDiv(micros, kMicrosPerSecond);
  const unsigned fraction = static_cast<unsigned>(FloorMod(micros, kMicrosPerSecond));
  const int64_t days = FloorDiv(seconds, kSecondsPerDay);
  const unsigned second_of_day = static_cast<unsigned>(seconds - days * kSecondsPerDay);
  char buffer[48];
  char* to = PutDate(CivilFromDays(days), buffer);
  *to++ = 'T';
  to = PutTwoDigits(second_of_day / 3600, to);
  *to++ = ':';
  to = PutTwoDigits(second_of_day / 60 % 60, to);
  *to++ = ':';
  to = PutTwoDigits(second_of_day % 60, to);
  if (fraction != 0) {
    *to++ = '.';
    to = fraction % 1000 == 0 ? PutPadded(fraction / 1000, 3, to) : PutPadded(fraction, 6, to);
  }
  *to++ = 'Z';
  out->append(buffer, static_cast<size_t>(to - buffer));
}

void AppendDate(int32_t days, std::string* out) {
  char buffer[32];
  out->append(buffer, static_cast<size_t>(PutDate(CivilFromDays(days), buffer) - buffer));
}

void AppendDecimal(Int128 unscaled, int scale, std::string* out) {
  UInt128 magnitude = static_cast<UInt128>(unscaled);
  if (unscaled < 0) magnitude = -magnitude;
  char buffer[48];
  char* const end = buffer + sizeof(buffer);
  char* to = end;
  int digits = 0;
  // At least one digit before the point.
  while (magnitude != 0 || digits <= scale) {
    if (digits == scale && scale > 0) *--to = '.';
    if (magnitude <= std::numeric_limits<uint64_t>::max()) {
      const uint64_t low = static_cast<uint64_t>(magnitude);
      *--to = static_cast<char>('0' + low % 10);
      magnitude = low / 10;
    } else {
      *--to = static_cast<char>('0' + static_cast<int>(magnitude % 10));
      magnitude /= 10;
    }
    ++digits;
  }
  if (unscaled < 0) *--to = '-';
  out->append(to, static_cast<size_t>(end - to));
}

void AppendDouble(double value, std::string* out) {
  if (std::isnan(value)) {
    out->append("NaN");
    return;
  }
  if (std::isinf(value)) {
    out->append(value < 0 ? "-Infinity" : "Infinity");
    return;
  }
  char buffer[40];
  char* const limit = buffer + sizeof(buffer);
  const double magnitude = std::fabs(value);
  if (magnitude == 0 || (magnitude >= 1e-3 && magnitude < 1e7)) {
    char* end = std::to_chars(buffer, limit, value, std::chars_format::fixed).ptr;
    const std::string_view text(buffer, static_cast<size_t>(end - buffer));
    out->append(text);
    if (text.find('.') == std::string_view::npos) out->append(".0");
    return;
  }
  char* end = std::to_chars(buffer, limit, value, std::chars_format::scientific).ptr;
  std::string_view text(buffer, static_cast<size_t>(end - buffer));
  size_t e = text.find('e');
  if (magnitude < std::numeric_limits<double>::min() && text.find('.') > e) {
    // Java never writes fewer than two digits, and takes the nearest such number: 4.9E-324.
    end = std::to_chars(buffer, limit, value, std::chars_format::scientific, 1).ptr;
    text = {buffer, static_cast<size_t>(end - buffer)};
    e = text.find('e');
  }
  const std::string_view mantissa = text.substr(0, e);
  std::string_view exponent = text.substr(e + 1);
  out->append(mantissa);
  if (mantissa.find('.') == std::string_view::npos) out->append(".0");
  out->push_back('E');
  if (exponent[0] == '-') out->push_back('-');
  exponent.remove_prefix(exponent.find_first_not_of("+-0"));
  out->append(exponent);
}

void AppendBase64(std::string_view bytes, std::string* out) {
  const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
  size_t left = bytes.size();
  out->reserve(out->size() + (left + 2) / 3 * 4);
  for (; left >= 3; p += 3, left -= 3) {
    const uint32_t group = uint32_t{p[0]} << 16 | uint32_t{p[1]} << 8 | p[2];
    const char quad[4] = {kBase64Alphabet[group >> 18], kBase64Alphabet[group >> 12 & 63],
                          kBase64Alphabet[group >> 6 & 63], kBase64Alphabet[group & 63]};
    out->append(quad, 4);
  }
  if (left == 0) return;
  const uint32_t group = uint32_t{p[0]} << 16 | (left == 2 ? uint32_t{p[1]} << 8 : 0);
  const char quad[4] = {kBase64Alphabet[group >> 18], kBase64Alphabet[group >> 12 & 63],
                        left == 2 ? kBase64Alphabet[group >> 6 & 63] : '=', '='};
  out->append(quad, 4);
}

void AppendValueText(const Column& column, size_t row, std::string* out) {
  char buffer[24];
  switch (column.type().id) {
    case TypeId::kBool:
      out->append(column.values<uint8_t>()[row] != 0 ? "true" : "false");
      return;
    case TypeId::kInt32:
      out->append(buffer, std::to_chars(buffer, buffer + 24, column.values<int32_t>()[row]).ptr);
      return;
    case TypeId::kInt64:
      out->append(buffer, std::to_chars(buffer, buffer + 24, column.values<int64_t>()[row]).ptr);
      return;
    case TypeId::kDouble:
      return AppendDouble(column.values<double>()[row], out);
    case TypeId::kDecimal:
      return AppendDecimal(column.values<Int128>()[row], column.type().scale, out);
    case TypeId::kString:
      out->append(column.text(row));
      return;
    case TypeId::kBytes:
      return AppendBase64(column.text(row), out);
    case TypeId::kDate:
      return AppendDate(column.values<int32_t>()[row], out);
    case TypeId::kTimestamp:
      return AppendTimestamp(column.values<int64_t>()[row], out);
  }
}

void AppendJsonString(std::string_view text, std::string* out) {
  static constexpr char kHex[] = "0123456789abcdef";
  out->push_back('"');
  size_t clean_from = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\') [[likely]]
      continue;
    out->append(text.substr(clean_from, i - clean_from));
    clean_from = i + 1;
    const char escape = JsonEscapeOf(c);
    out->push_back('\\');
    out->push_back(escape);
    if (escape == 'u') out->append({'0', '0', kHex[(c >> 4) & 15], kHex[c & 15]});
  }
  out->append(text.substr(clean_from));
  out->push_back('"');
}

void AppendJsonValue(const Column& column, size_t row, std::string* out) {
  if (column.IsNull(row)) {
    out->append("null");
    return;
  }
  bool quoted = false;
  switch (column.type().id) {
    case TypeId::kString:
      return AppendJsonString(column.text(row), out);
    case TypeId::kDouble:
      quoted = !std::isfinite(column.values<double>()[row]);
      break;
    case TypeId::kBytes:
    case TypeId::kDate:
    case TypeId::kTimestamp:
      quoted = true;
      break;
    default:
      break;
  }
  if (quoted) out->push_back('"');
  AppendValueText(column, row, out);
  if (quoted) out->push_back('"');
}

std::optional<int64_t> ParseTimestamp(std::string_view text, bool* has_zone, ParsedDay* day) {
  if (has_zone != nullptr) *has_zone = false;
  const char* p = text.data();
  const char* const end = p + text.size();
  int64_t days;
  if (day != nullptr && text.size() >= sizeof(day->text) &&
      std::memcmp(p, day->text, sizeof(day->text)) == 0) {
    days = day->days;
    p += sizeof(day->text);
  } else {
    if (!ReadDate(&p, end, &days)) return std::nullopt;
    if (day != nullptr && p - text.data() == sizeof(day->text)) {
      std::memcpy(day->text, text.data(), sizeof(day->text));
      day->days = days;
    }
  }
  const int64_t midnight = days * kSecondsPerDay;
  if (p == end) return ToMicros(midnight, 0);

  int64_t seconds = 0;
  int64_t micros = 0;
  if (!ReadClock(&p, end, &seconds)) return std::nullopt;
  if (p < end && *p == '.' && !ReadFraction(&++p, end, &micros)) return std::nullopt;
  int64_t offset = 0;
  if (p < end) {
    if (!ReadZone(p, end, &offset)) return std::nullopt;
    if (has_zone != nullptr) *has_zone = true;
  }
  return ToMicros(midnight + seconds - offset, micros);
}

std::optional<int32_t> ParseDate(std::string_view text) {
  const char* p = text.data();
  const char* const end = p + text.size();
  int64_t days;
  if (!ReadDate(&p, end, &days) || p != end) return std::nullopt;
  if (days < std::numeric_limits<int32_t>::min() || days > std::numeric_limits<int32_t>::max()) {
    return std::nullopt;
  }
  return static_cast<int32_t>(days);
}

std::optional<Int128> ParseDecimal(std::string_view text, int precision, int scale,
                                   Rounding rounding) {
  const std::optional<NumberParts> parts = SplitNumber(text);
  if (!parts.has_value()) return std::nullopt;
  const UInt128 limit =
      kPowersOfTen[static_cast<size_t>(std::clamp(precision, 0, kMaxDecimalDigits))];
  const UInt128 tenth = limit / 10;  // a value past it has no room for one more digit
  const int64_t written = static_cast<int64_t>(parts->whole.size() + parts->fraction.size());
  const auto digit = [&](int64_t i) {
    const int64_t whole = static_cast<int64_t>(parts->whole.size());
    return Digit(i < whole ? parts->whole[static_cast<size_t>(i)]
                           : parts->fraction[static_cast<size_t>(i - whole)]);
  };
  // How many of the written digits, or zeros after them, lie at or before the scale's last place.
  const int64_t kept = static_cast<int64_t>(parts->whole.size()) + parts->exponent + scale;
  UInt128 value = 0;
  for (int64_t i = 0; i < kept && i < written; ++i) {
    if (value >= tenth) return std::nullopt;
    value = value * 10 + digit(i);
  }
  for (int64_t i = written; i < kept && value != 0; ++i) {
    if (value >= tenth) return std::nullopt;
    value *= 10;
  }
  if (rounding == Rounding::kHalfUp) {
    if (kept >= 0 && kept < written && digit(kept) >= 5) ++value;
  } else if (parts->negative) {
    for (int64_t i = std::max<int64_t>(kept, 0); i < written; ++i) {
      if (digit(i) == 0) continue;
      ++value;
      break;
    }
  }
  if (value >= limit) return std::nullopt;
  return parts->negative ? -static_cast<Int128>(value) : static_cast<Int128>(value);
}

std::optional<std::string> ParseBase64(std::string_view text) {
  static constexpr auto kValues = [] {
    std::array<int8_t, 256> values{};
    values.fill(-1);
    for (size_t i = 0; i < kBase64Alphabet.size(); ++i) {
      values[static_cast<unsigned char>(kBase64Alphabet[i])] = static_cast<int8_t>(i);
    }
    return values;
  }();
  if (text.size() % 4 != 0) return std::nullopt;
  size_t padding = 0;
  while (padding < 2 && padding < text.size() && text[text.size() - 1 - padding] == '=') ++padding;
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3);
  for (size_t at = 0; at < text.size(); at += 4) {
    const size_t missing = at + 4 == text.size() ? padding : 0;
    uint32_t group = 0;
    for (size_t i = 0; i < 4; ++i) {
      const int8_t value = i < 4 - missing ? kValues[static_cast<unsigned char>(text[at + i])] : 0;
      if (value < 0) return std::nullopt;
      group = group << 6 | static_cast<uint32_t>(value);
    }
    const char triple[3] = {static_cast<char>(group >> 16), static_cast<char>(group >> 8),
                            static_cast<char>(group)};
    for (size_t i = 3 - missing; i < 3; ++i) {
      if (triple[i] != 0) return std::nullopt;  // bits behind the last byte
    }
    bytes.append(triple, 3 - missing);
  }
  return bytes;
}

std::string Excerpt(std::string_view text, size_t max_characters) {
  const bool is_utf8 = IsValidUtf8(text);
  std::string excerpt;
  size_t characters = 0;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool continues = is_utf8 && (byte & 0xC0) == 0x80;
    if (!continues && characters++ == max_characters) return excerpt + "...";
    if (byte < 0x20 || byte == 0x7F || (byte >= 0x80 && !is_utf8)) {
      static constexpr char kHex[] = "0123456789abcdef";
      excerpt.append({'\\', 'x', kHex[byte >> 4], kHex[byte & 15]});
    } else {
      excerpt += c;
    }
  }
  return excerpt;
}

bool IsValidUtf8(std::string_view bytes) {
  const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
  const unsigned char* const end = p + bytes.size();
  while (p < end) {
    uint64_t word;
    while (end - p >= 8) {
      std::memcpy(&word, p, 8);
      if ((word & 0x8080808080808080ULL) != 0) break;
      p += 8;
    }
    if (p == end) break;
    const size_t length = Utf8SequenceLength(p, end);
    if (length == 0) return false;
    p += length;
  }
  return true;
}

}  // namespace tidemark
